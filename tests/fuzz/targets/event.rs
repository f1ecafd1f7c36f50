//! What is read from the log: an event, or the record of an issuance.

#![no_main]

use libfuzzer_sys::fuzz_target;
use writ_core::{Position, codec};
use writ_ledger::IssuanceRecord;

fuzz_target!(|data: &[u8]| {
    if let Ok(event) = codec::decode(Position(7), data) {
        match codec::encode(&event) {
            Ok(stored) => assert_eq!(codec::decode(Position(7), &stored).ok(), Some(event)),
            Err(codec::EncodeError::TooLarge { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    if let Ok(record) = serde_json::from_slice::<IssuanceRecord>(data) {
        let stored = serde_json::to_vec(&record).expect("a record is JSON");
        let again: IssuanceRecord = serde_json::from_slice(&stored).expect("it was stored");
        assert_eq!(again, record);
    }
});
