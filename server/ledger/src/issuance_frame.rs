//! The byte layout of the issuance log: one frame per group commit.
//!
//! ```text
//! at  size  what (integers big-endian)
//!  0     1  version of this layout: 1
//!  1     4  n, the number of records in this frame
//!  5    16  the lowest record id in this frame
//! 21    16  the highest record id in this frame
//! 37     8  records in the file, with this frame
//! 45     8  bytes of records in the file, with this frame
//! 53     8  lateness of the file so far, in milliseconds
//! 61    16  the lowest record id in the file so far
//! 77  20 n  for each record, in the order of arrival: its id (16), its length (4)
//!  …        the records' bytes, one after the other
//! ```
//!
//! A frame is stored under (the highest record id in the file so far, the number of the frame),
//! which only grows, even when ids arrive out of order or the clock steps back. *Lateness* is how
//! far back it stepped: the largest distance of any record's moment to the moment of the highest id
//! before its frame. A record with moment t can then only be in frames after whose predecessor the
//! highest moment was at most t + lateness: that is where a search may stop.

use writ_core::Jti;

const VERSION: u8 = 1;
const HEADER: usize = 77;
const ROW: usize = 20;

/// What a frame says about itself and the file up to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub records: u32,
    pub lowest: u128,
    pub highest: u128,
    pub file: Totals,
}

/// A file, up to some frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Totals {
    pub records: u64,
    pub bytes: u64,
    pub lateness: u64,
    pub lowest: u128,
    /// Not in the frame: it is half of its key.
    pub highest: u128,
}

impl Default for Totals {
    fn default() -> Self {
        Self {
            records: 0,
            bytes: 0,
            lateness: 0,
            lowest: u128::MAX,
            highest: 0,
        }
    }
}

/// The moment in an id, in milliseconds.
pub(crate) fn millis(id: u128) -> u64 {
    Jti(id).millis().0
}

/// The bytes of a frame with these records, which are not none, and the totals with it.
pub(crate) fn encode(before: Totals, records: &[(u128, &[u8])]) -> (Vec<u8>, Totals) {
    let bytes: usize = records.iter().map(|(_, bytes)| bytes.len()).sum();
    let ids = || records.iter().map(|(id, _)| *id);
    let (lowest, highest) = (ids().min().unwrap_or(0), ids().max().unwrap_or(0));
    let late = millis(before.highest).saturating_sub(millis(lowest));
    let file = Totals {
        records: before.records + records.len() as u64,
        bytes: before.bytes + bytes as u64,
        lateness: before.lateness.max(late),
        lowest: before.lowest.min(lowest),
        highest: before.highest.max(highest),
    };
    let mut frame = Vec::with_capacity(HEADER + ROW * records.len() + bytes);
    frame.push(VERSION);
    frame.extend_from_slice(&(records.len() as u32).to_be_bytes());
    frame.extend_from_slice(&lowest.to_be_bytes());
    frame.extend_from_slice(&highest.to_be_bytes());
    frame.extend_from_slice(&file.records.to_be_bytes());
    frame.extend_from_slice(&file.bytes.to_be_bytes());
    frame.extend_from_slice(&file.lateness.to_be_bytes());
    frame.extend_from_slice(&file.lowest.to_be_bytes());
    for (id, bytes) in records {
        frame.extend_from_slice(&id.to_be_bytes());
        frame.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
    }
    for (_, bytes) in records {
        frame.extend_from_slice(bytes);
    }
    (frame, file)
}

/// The head of a frame that was stored under `highest_so_far`.
pub(crate) fn head(highest_so_far: u128, frame: &[u8]) -> Result<Head, &'static str> {
    if frame.first() != Some(&VERSION) {
        return Err("a frame of an unknown version");
    }
    let read = || -> Option<Head> {
        Some(Head {
            records: u32::from_be_bytes(*frame.get(1..)?.first_chunk()?),
            lowest: u128::from_be_bytes(*frame.get(5..)?.first_chunk()?),
            highest: u128::from_be_bytes(*frame.get(21..)?.first_chunk()?),
            file: Totals {
                records: u64::from_be_bytes(*frame.get(37..)?.first_chunk()?),
                bytes: u64::from_be_bytes(*frame.get(45..)?.first_chunk()?),
                lateness: u64::from_be_bytes(*frame.get(53..)?.first_chunk()?),
                lowest: u128::from_be_bytes(*frame.get(61..)?.first_chunk()?),
                highest: highest_so_far,
            },
        })
    };
    read().ok_or("a frame that is too short")
}

/// The records of a frame, in order: id and bytes.
pub(crate) fn records(frame: &[u8]) -> Result<Vec<(u128, &[u8])>, &'static str> {
    let records = head(0, frame)?.records as usize;
    let read = || -> Option<Vec<(u128, &[u8])>> {
        let rows = frame.get(HEADER..HEADER.checked_add(ROW.checked_mul(records)?)?)?;
        let mut rest = frame.get(HEADER + rows.len()..)?;
        let mut found = Vec::with_capacity(records);
        for row in rows.chunks_exact(ROW) {
            let id = u128::from_be_bytes(*row.first_chunk()?);
            let length = u32::from_be_bytes(*row.last_chunk()?) as usize;
            let (bytes, after) = rest.split_at_checked(length)?;
            found.push((id, bytes));
            rest = after;
        }
        rest.is_empty().then_some(found)
    };
    read().ok_or("a frame whose lengths do not add up")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use proptest::prelude::*;

    fn id(ms: u64, n: u128) -> u128 {
        u128::from(ms) << 80 | n
    }

    /// The layout is for ever.
    #[test]
    fn the_golden_frame_stays_as_it_is() {
        let before = Totals {
            records: 5,
            bytes: 50,
            lateness: 0,
            lowest: id(9, 0),
            highest: id(12, 0),
        };
        let (frame, after) = encode(before, &[(id(10, 1), b"{}"), (id(11, 2), b"[1]")]);
        let hex: String = frame.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(
            hex,
            "010000000200000000000a0000000000000000000100000000000b00000000000000000002\
             00000000000000070000000000000037000000000000000200000000000900000000000000000000\
             00000000000a000000000000000000010000000200000000000b00000000000000000002000000037b7d5b315d"
        );
        assert_eq!(after.lateness, 2);
        let read = head(id(12, 0), &frame).unwrap();
        assert_eq!(read.file, after);
        assert_eq!((read.lowest, read.highest), (id(10, 1), id(11, 2)));
        assert_eq!(
            records(&frame).unwrap(),
            [(id(10, 1), &b"{}"[..]), (id(11, 2), b"[1]")]
        );
    }

    proptest! {
        #[test]
        fn frames_read_back(all in prop::collection::vec((any::<u128>(), prop::collection::vec(any::<u8>(), 0..50)), 1..20)) {
            let all: Vec<(u128, &[u8])> = all.iter().map(|(id, b)| (*id, b.as_slice())).collect();
            let (frame, totals) = encode(Totals::default(), &all);
            prop_assert_eq!(records(&frame).unwrap(), all);
            prop_assert_eq!(head(totals.highest, &frame).unwrap().file, totals);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300), version: bool) {
            let mut bytes = bytes;
            if let (Some(first), true) = (bytes.first_mut(), version) { *first = VERSION; }
            let _ = head(0, &bytes);
            let _ = records(&bytes);
        }

        #[test]
        fn a_cut_frame_is_refused(cut in 1usize..120) {
            let (frame, _) = encode(Totals::default(), &[(1, b"one"), (2, b"two")]);
            prop_assert!(records(&frame[..frame.len().saturating_sub(cut)]).is_err());
        }
    }
}
