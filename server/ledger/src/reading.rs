//! Reading a whole log: one thread reads and hashes ahead, the caller's does with it what it will.
//! What each event is decoded to is made and dropped on one thread, since memory that one thread
//! takes and another gives back costs more than the second thread saves.

use crate::engine::Engine;
use crate::merkle::{Hash, leaf_hash};
use crate::{Fault, limits};
use std::sync::mpsc::sync_channel;

/// A stored event: its position, its bytes, their leaf hash.
pub(crate) type Read = (u64, Vec<u8>, Hash);

/// Shows the events from a position to the head, batch by batch.
pub(crate) fn each_batch<E: From<Fault>>(
    engine: &dyn Engine,
    from: u64,
    mut visit: impl FnMut(&[Read]) -> Result<(), E>,
) -> Result<(), E> {
    std::thread::scope(|scope| {
        let (sender, batches) = sync_channel(limits::REPLAY_AHEAD);
        std::thread::Builder::new()
            .name("writ-read".to_owned())
            .spawn_scoped(scope, move || {
                let mut next = from;
                loop {
                    let read = engine.read(next, limits::REPLAY_EVENTS, limits::READ_BYTES);
                    let batch = read.map(|events| {
                        let hashed = |(position, bytes): (u64, Vec<u8>)| {
                            let hash = leaf_hash(&bytes);
                            (position, bytes, hash)
                        };
                        events.into_iter().map(hashed).collect::<Vec<Read>>()
                    });
                    let count = batch.as_ref().map_or(0, Vec::len);
                    next += count as u64;
                    // An error to send means that the other side has given up.
                    if sender.send(batch).is_err() || count == 0 {
                        return;
                    }
                }
            })
            .map_err(Fault::NoThread)?;
        batches.into_iter().try_for_each(|batch| visit(&batch?))
    })
}
