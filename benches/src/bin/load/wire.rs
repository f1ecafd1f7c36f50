//! HTTP/1.1 as far as a load needs it: requests made once, and of an answer its status, its length
//! and what it begins with.

use anyhow::{Result, bail};

/// Most bytes of a head, as those of the servers are far smaller.
const HEAD_MAX: usize = 16 * 1024;

/// A request, ready to be sent as often as one likes.
pub fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nuser-agent: load/1\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if method != "GET" {
        text.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    text.push_str("\r\n");
    text.push_str(body);
    text.into_bytes()
}

/// A form that is posted.
pub fn post_form(path: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    let pairs: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("{name}={}", encoded(value)))
        .collect();
    let kind = [("content-type", "application/x-www-form-urlencoded")];
    request("POST", path, &kind, &pairs.join("&"))
}

/// As forms have it (WHATWG URL §5.2).
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' ' => out.push('+'),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'*' => {
                out.push(char::from(byte));
            }
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

/// What is known of an answer when its head is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The status code.
    pub status: u16,
    /// Bytes of the head, with the empty line.
    pub len: usize,
    /// Bytes of the body.
    pub body: usize,
    /// Whether it says when to come again.
    pub retry_after: bool,
    /// Whether the server closes the connection after it.
    pub close: bool,
}

impl Head {
    /// Reads the head at the beginning of `bytes`; nothing, if there is not all of it yet.
    ///
    /// # Errors
    /// It is none, or of a kind that this does not read: in chunks, say.
    pub fn read(bytes: &[u8]) -> Result<Option<Self>> {
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            if bytes.len() > HEAD_MAX {
                bail!("the head of an answer has no end");
            }
            return Ok(None);
        };
        let mut lines = bytes[..end].split(|byte| *byte == b'\n');
        let first = lines.next().unwrap_or_default();
        let status = first
            .strip_prefix(b"HTTP/1.1 ")
            .and_then(|rest| number(rest.get(..3)?))
            .and_then(|status| u16::try_from(status).ok());
        let Some(status) = status else {
            bail!("not HTTP/1.1: {}", String::from_utf8_lossy(first));
        };
        let mut head = Self {
            status,
            len: end + 4,
            body: 0,
            retry_after: false,
            close: false,
        };
        let mut counted = status == 204 || status == 304;
        for line in lines {
            let Some(colon) = line.iter().position(|byte| *byte == b':') else {
                bail!("not a header: {}", String::from_utf8_lossy(line));
            };
            let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
            if name.eq_ignore_ascii_case(b"content-length") {
                let Some(length) = number(value) else {
                    bail!("not a length: {}", String::from_utf8_lossy(value));
                };
                head.body = length;
                counted = true;
            } else if name.eq_ignore_ascii_case(b"retry-after") {
                head.retry_after = true;
            } else if name.eq_ignore_ascii_case(b"connection") {
                head.close = value.eq_ignore_ascii_case(b"close");
            }
        }
        if !counted {
            bail!("an answer without content-length");
        }
        Ok(Some(head))
    }
}

fn number(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() || digits.len() > 9 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = |sum, digit: &u8| sum * 10 + usize::from(digit - b'0');
    Some(digits.iter().fold(0, value))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const ANSWER: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 12\r\n\
        RETRY-AFTER: 1\r\nconnection: close\r\n\r\nhello, world";

    #[test]
    fn a_head_is_read_when_all_of_it_is_there() {
        let whole = ANSWER.len() - 12;
        for cut in 0..whole {
            assert_eq!(Head::read(&ANSWER[..cut]).unwrap(), None, "{cut}");
        }
        let head = Head {
            status: 503,
            len: whole,
            body: 12,
            retry_after: true,
            close: true,
        };
        for cut in whole..=ANSWER.len() {
            assert_eq!(Head::read(&ANSWER[..cut]).unwrap(), Some(head));
        }
    }

    #[test]
    fn an_answer_that_cannot_be_delimited_is_an_error() {
        for bad in [
            "HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 2x0 OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 12345678901\r\n\r\n",
            "HTTP/1.1 200 OK\r\nnonsense\r\n\r\n",
        ] {
            assert!(Head::read(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(Head::read(&vec![b'a'; HEAD_MAX + 1]).is_err());
        let empty = Head::read(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
        assert_eq!(empty.unwrap().body, 0);
    }

    #[test]
    fn a_form_is_encoded_and_counted() {
        let form = post_form("/t", &[("scope", "a:b c"), ("x", "1&2=%")]);
        let text = String::from_utf8(form).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, "scope=a%3Ab+c&x=1%262%3D%25");
        assert!(head.starts_with("POST /t HTTP/1.1\r\nhost: localhost\r\n"));
        assert!(head.ends_with(&format!("content-length: {}", body.len())));
    }
}
