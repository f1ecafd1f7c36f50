//! Events as stored bytes, and back. One JSON object an event, with this order of members:
//!
//! ```text
//! {"v":1, "id":…, "time":RFC 3339, "kind":"application.created", "kv":1, "actor":{…}, "cmd":…,
//!  "seq":0, "of":1, "idem":{…}?, "reason":hex?, "corr":…?, "cause":…?, "data":{…}}
//! ```
//!
//! The bytes are hashed as stored and never written again, so a reader must take every version
//! that was ever written. Upcasters, when a kind gets a second version, live here and are pure.

use crate::event::{Event, Idempotency, Recorded};
use crate::{Actor, CommandId, EventId, Millis, Position, limits};
use serde::de::{DeserializeSeed, Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The version of the envelope.
const ENVELOPE: u8 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<'a> {
    v: u8,
    id: EventId,
    time: Millis,
    #[serde(borrow)]
    kind: Cow<'a, str>,
    kv: u16,
    actor: Actor,
    cmd: CommandId,
    seq: u32,
    of: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    idem: Option<Idempotency>,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "hex32_option"
    )]
    reason: Option<[u8; 32]>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    corr: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cause: Option<Box<str>>,
    #[serde(borrow)]
    data: &'a RawValue,
}

/// An envelope whose data was read where it stands, which saves going over it once more: that needs
/// the kind, which stands before it in everything that this crate writes.
struct InOrder {
    id: EventId,
    time: Millis,
    actor: Actor,
    cmd: CommandId,
    seq: u32,
    of: u32,
    idem: Option<Idempotency>,
    reason: Option<[u8; 32]>,
    corr: Option<Box<str>>,
    cause: Option<Box<str>>,
    event: Event,
}

impl<'de> Deserialize<'de> for InOrder {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(InOrderVisitor)
    }
}

struct InOrderVisitor;

impl<'de> Visitor<'de> for InOrderVisitor {
    type Value = InOrder;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an event as it is written")
    }

    /// The members in their order. Whatever is not as this crate writes it is an error, and left to
    /// the reader that takes members in any order and knows what to say.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<InOrder, A::Error> {
        let mut name = map.next_key::<&str>()?;
        let v: u8 = member(&mut map, &mut name, "v")?;
        if v != ENVELOPE {
            return Err(A::Error::custom("another version"));
        }
        let id = member(&mut map, &mut name, "id")?;
        let time = member(&mut map, &mut name, "time")?;
        let kind: &str = member(&mut map, &mut name, "kind")?;
        let kv: u16 = member(&mut map, &mut name, "kv")?;
        let actor = member(&mut map, &mut name, "actor")?;
        let cmd = member(&mut map, &mut name, "cmd")?;
        let seq = member(&mut map, &mut name, "seq")?;
        let of = member(&mut map, &mut name, "of")?;
        let idem = option(&mut map, &mut name, "idem")?;
        let reason = option::<_, Reason>(&mut map, &mut name, "reason")?;
        let corr = option(&mut map, &mut name, "corr")?;
        let cause = option(&mut map, &mut name, "cause")?;
        if name != Some("data") {
            return Err(A::Error::custom("no data here"));
        }
        let event = map.next_value_seed(Data { kind, kv })?;
        if map.next_key::<&str>()?.is_some() {
            return Err(A::Error::custom("something behind the data"));
        }
        Ok(InOrder {
            id,
            time,
            actor,
            cmd,
            seq,
            of,
            idem,
            reason: reason.map(|Reason(hash)| hash),
            corr,
            cause,
            event,
        })
    }
}

/// The member that must be next, and the name of the one after it.
fn member<'de, A: MapAccess<'de>, T: Deserialize<'de>>(
    map: &mut A,
    name: &mut Option<&'de str>,
    wanted: &str,
) -> Result<T, A::Error> {
    if *name != Some(wanted) {
        return Err(A::Error::custom("another member"));
    }
    let value = map.next_value()?;
    *name = map.next_key()?;
    Ok(value)
}

/// A member that can be left out.
fn option<'de, A: MapAccess<'de>, T: Deserialize<'de>>(
    map: &mut A,
    name: &mut Option<&'de str>,
    wanted: &str,
) -> Result<Option<T>, A::Error> {
    match *name == Some(wanted) {
        true => member(map, name, wanted).map(Some),
        false => Ok(None),
    }
}

#[derive(Deserialize)]
#[serde(transparent)]
struct Reason(#[serde(with = "hex32")] [u8; 32]);

/// The data of an event of a kind.
struct Data<'a> {
    kind: &'a str,
    kv: u16,
}

impl<'de> DeserializeSeed<'de> for Data<'_> {
    type Value = Event;

    fn deserialize<D: Deserializer<'de>>(self, data: D) -> Result<Event, D::Error> {
        Event::read(self.kind, self.kv, data)
    }
}

/// As much of an envelope of another version as is needed to say so.
#[derive(Deserialize)]
struct NewerEnvelope<'a> {
    v: u64,
    #[serde(borrow)]
    kind: Cow<'a, str>,
}

/// An event cannot be stored.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// Over [`limits::EVENT_BYTES`].
    #[error(
        "an event of {bytes} bytes is over the limit of {}",
        limits::EVENT_BYTES
    )]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// A bug: every event is made to be written.
    #[error("an event cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// Stored bytes cannot be read as an event. The log must not be opened: leaving out an event that
/// is not understood could leave out a revocation.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not an event of any version.
    #[error("the event at position {position} is damaged: {source}")]
    Damaged {
        /// Its place.
        position: Position,
        /// What the reader stumbled over.
        source: serde_json::Error,
    },
    /// Written by a newer Writ.
    #[error(
        "the event at position {position} is of a kind this version of Writ does not know: {kind} v{version}; a newer version wrote it, use that one"
    )]
    Unknown {
        /// Its place.
        position: Position,
        /// Its kind.
        kind: String,
        /// The version of its kind, or 0 for an unknown envelope.
        version: u16,
    },
}

/// The bytes to store.
///
/// # Errors
/// When they would be more than [`limits::EVENT_BYTES`].
pub fn encode(recorded: &Recorded) -> Result<Vec<u8>, EncodeError> {
    let data = recorded.event.data()?;
    let bytes = serde_json::to_vec(&Envelope {
        v: ENVELOPE,
        id: recorded.id,
        time: recorded.at,
        kind: Cow::Borrowed(recorded.event.kind()),
        kv: recorded.event.kind_version(),
        actor: recorded.actor.clone(),
        cmd: recorded.command,
        seq: recorded.sequence,
        of: recorded.of,
        idem: recorded.idempotency,
        reason: recorded.reason,
        corr: recorded.correlation.clone(),
        cause: recorded.cause.clone(),
        data: &data,
    })?;
    if bytes.len() > limits::EVENT_BYTES {
        return Err(EncodeError::TooLarge { bytes: bytes.len() });
    }
    Ok(bytes)
}

/// The event in stored bytes.
///
/// # Errors
/// When they are damaged, or of a kind or version that this code does not know.
pub fn decode(position: Position, bytes: &[u8]) -> Result<Recorded, DecodeError> {
    // As text: what was looked at once as a whole is not looked at again, string by string.
    let text = std::str::from_utf8(bytes);
    if let Ok(Ok(read)) = text.map(serde_json::from_str::<InOrder>) {
        return Ok(Recorded {
            position,
            id: read.id,
            at: read.time,
            actor: read.actor,
            command: read.cmd,
            sequence: read.seq,
            of: read.of,
            idempotency: read.idem,
            reason: read.reason,
            correlation: read.corr,
            cause: read.cause,
            event: read.event,
        });
    }
    decode_in_any_order(position, bytes)
}

/// The same for members in any order, and with what is wrong.
fn decode_in_any_order(position: Position, bytes: &[u8]) -> Result<Recorded, DecodeError> {
    let damaged = |source| DecodeError::Damaged { position, source };
    let envelope: Envelope<'_> = match serde_json::from_slice(bytes) {
        Ok(envelope) => envelope,
        // A newer envelope may have members that this one lacks: that is no damage.
        Err(source) => match serde_json::from_slice::<NewerEnvelope<'_>>(bytes) {
            Ok(newer) if newer.v > u64::from(ENVELOPE) => {
                return Err(DecodeError::Unknown {
                    position,
                    kind: newer.kind.into_owned(),
                    version: 0,
                });
            }
            _ => return Err(damaged(source)),
        },
    };
    let unknown = |version| DecodeError::Unknown {
        position,
        kind: envelope.kind.to_string(),
        version,
    };
    if envelope.v != ENVELOPE {
        return Err(unknown(0));
    }
    let event = Event::from_data(&envelope.kind, envelope.kv, envelope.data)
        .ok_or_else(|| unknown(envelope.kv))?
        .map_err(damaged)?;
    Ok(Recorded {
        position,
        id: envelope.id,
        at: envelope.time,
        actor: envelope.actor,
        command: envelope.cmd,
        sequence: envelope.seq,
        of: envelope.of,
        idempotency: envelope.idem,
        reason: envelope.reason,
        correlation: envelope.corr,
        cause: envelope.cause,
        event,
    })
}

/// Reads what has a text as its form, without a copy of the text.
pub(crate) fn from_text<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    struct Text<T>(std::marker::PhantomData<T>);

    impl<T: std::str::FromStr<Err: std::fmt::Display>> Visitor<'_> for Text<T> {
        type Value = T;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a string")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
            text.parse().map_err(E::custom)
        }
    }

    deserializer.deserialize_str(Text(std::marker::PhantomData))
}

/// 32 bytes as 64 lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8; 32]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|b| [b >> 4, b & 15])
        .map(|nibble| char::from(DIGITS[usize::from(nibble)]))
        .collect()
}

/// 32 bytes from 64 lower-case hexadecimal digits.
#[must_use]
pub fn from_hex(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = value(pair[0])? << 4 | value(pair[1])?;
    }
    Some(bytes)
}

/// 32 bytes as lower-case hexadecimal in JSON: for `#[serde(with = …)]`.
pub mod hex32 {
    use serde::{Deserializer, Serializer};

    struct Hex([u8; 32]);

    impl std::str::FromStr for Hex {
        type Err = &'static str;

        fn from_str(text: &str) -> Result<Self, &'static str> {
            super::from_hex(text)
                .map(Self)
                .ok_or("not 64 hexadecimal digits")
        }
    }

    /// As 64 digits.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(bytes: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::hex(bytes))
    }

    /// From exactly 64 digits.
    ///
    /// # Errors
    /// When they are not.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
        super::from_text(deserializer).map(|Hex(bytes)| bytes)
    }
}

mod hex32_option {
    use serde::{Deserializer, Serializer};

    #[expect(clippy::ref_option, reason = "the signature that serde calls")]
    pub fn serialize<S: Serializer>(
        bytes: &Option<[u8; 32]>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match bytes {
            Some(bytes) => super::hex32::serialize(bytes, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<[u8; 32]>, D::Error> {
        super::hex32::deserialize(deserializer).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The short way reads all that this crate writes, and reads what the long way reads.
    #[test]
    fn both_ways_of_reading_are_one() {
        let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");
        let mut read = 0;
        for entry in std::fs::read_dir(golden).expect("the golden files") {
            let path = entry.expect("a golden file").path();
            let text = std::fs::read_to_string(&path).expect("a golden file");
            let text = text.trim_end();
            let place = path.display();
            assert!(serde_json::from_str::<InOrder>(text).is_ok(), "{place}");
            let long = decode_in_any_order(Position(7), text.as_bytes()).expect("an event");
            let short = decode(Position(7), text.as_bytes()).expect("an event");
            assert_eq!(short, long, "{place}");
            read += 1;
            // In another order, with something more, or twice the same, only the long way is asked.
            let (head, data) = text.split_once(",\"data\":").expect("data");
            let data = data.strip_suffix('}').expect("an object");
            let turned = format!("{{\"data\":{data},{}}}", &head[1..]);
            assert!(serde_json::from_str::<InOrder>(&turned).is_err(), "{place}");
            assert_eq!(decode(Position(7), turned.as_bytes()).ok(), Some(long));
            for more in [
                format!("{head},\"more\":1,\"data\":{data}}}"),
                format!("{head},\"data\":{data},\"seq\":0}}"),
            ] {
                assert!(decode(Position(7), more.as_bytes()).is_err(), "{more}");
            }
        }
        assert!(read > 40, "{read}");
    }
}
