//! Server-Sent Events (HTML Living Standard §9.2.6), as they are read from a connection.

use std::io::{self, BufRead, BufReader, Read};

/// Longest line, in bytes: an event is far below.
const LINE_BYTES: u64 = 1 << 20;

/// The messages of a stream.
pub struct Messages<R> {
    lines: BufReader<R>,
}

/// What stands between two blank lines.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Where the stream is with it.
    pub id: Option<String>,
    /// Its data; nothing where it only says where the stream is.
    pub data: Option<String>,
}

impl<R: Read> Messages<R> {
    /// Reads from a connection.
    pub fn new(connection: R) -> Self {
        Self {
            lines: BufReader::new(connection),
        }
    }

    /// Waits for the next message; nothing at the end. One that is not whole does not count.
    pub fn next(&mut self) -> io::Result<Option<Message>> {
        let mut message = Message::default();
        loop {
            let mut line = String::new();
            (&mut self.lines).take(LINE_BYTES).read_line(&mut line)?;
            let Some(line) = line.strip_suffix('\n') else {
                return match line.len() as u64 {
                    LINE_BYTES => Err(io::ErrorKind::InvalidData.into()),
                    _ => Ok(None),
                };
            };
            let line = line.strip_suffix('\r').unwrap_or(line);
            if line.is_empty() {
                match message == Message::default() {
                    true => continue,
                    false => return Ok(Some(message)),
                }
            }
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match (field, &mut message.data) {
                ("id", _) => message.id = Some(value.to_owned()),
                ("data", Some(data)) => {
                    data.push('\n');
                    data.push_str(value);
                }
                ("data", data) => *data = Some(value.to_owned()),
                // Kinds are in the data too; comments and what a later server says are passed over.
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn read(text: &str) -> Vec<(Option<String>, Option<String>)> {
        let mut messages = Messages::new(text.as_bytes());
        let next = std::iter::from_fn(|| messages.next().unwrap());
        next.map(|message| (message.id, message.data)).collect()
    }

    #[test]
    fn messages_end_with_a_blank_line() {
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            read(
                "id: 7\nretry: 2000\n\n: nothing new\n\n\
                  id: 8\r\nevent: x\r\ndata: {\"a\":\r\ndata:1}\r\nnew\r\n\r\n\
                  data\n\nid: 9\ndata: {\"half\""
            ),
            [
                (text("7"), None),
                (text("8"), text("{\"a\":\n1}")),
                (None, text("")),
            ]
        );
        assert_eq!(read(""), []);
    }

    #[test]
    fn a_line_has_a_limit() {
        let endless = io::repeat(b'x');
        let error = Messages::new(endless).next().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
