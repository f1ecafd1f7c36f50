//! What logs and witnesses say to each other: notes, checkpoints, proofs, keys.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use writ_fuzz::{has_one_spelling, reads_back};
use writ_ledger::merkle::{Hash, node_hash, verify_consistency, verify_inclusion};
use writ_ledger::note::{
    Checkpoint, KeyKind, LogProof, NoteKey, Signature, SignedCheckpoint, SignedNote, Vkey,
};
use writ_ledger::witness::{Refused, Submission, decide};

static LOG: LazyLock<NoteKey> = LazyLock::new(|| key(KeyKind::Log));
static WITNESS: LazyLock<NoteKey> = LazyLock::new(|| key(KeyKind::Witness));

fn key(kind: KeyKind) -> NoteKey {
    NoteKey::new(kind, "log.example/1", &[7; 32]).expect("a name")
}

fuzz_target!(|text: &str| {
    reads_back::<Checkpoint>(text);
    has_one_spelling::<Signature>(text);
    has_one_spelling::<Vkey>(text);
    if let Ok(key) = NoteKey::from_secret(text) {
        assert_eq!(*key.secret(), text);
    }
    if let Some(note) = reads_back::<SignedNote>(text) {
        assert_eq!(note.verify(LOG.vkey()), None, "signed by nobody");
        assert_eq!(note.verify(WITNESS.vkey()), None, "signed by nobody");
    }
    if let Some(mut signed) = reads_back::<SignedCheckpoint>(text) {
        assert!(!signed.is_signed_by(LOG.vkey()), "signed by nobody");
        assert!(signed.cosignature(WITNESS.vkey(), text).is_none());
        // The line that the log would have signed counts, whatever stands beside it.
        signed
            .note
            .signatures
            .insert(0, LOG.sign(&signed.note.text, 0));
        let own = &*signed.checkpoint.origin == LOG.vkey().name();
        assert_eq!(signed.is_signed_by(LOG.vkey()), own);
    }
    if let Some(mut proof) = reads_back::<LogProof>(text) {
        assert!(!proof.proves(b"an event", LOG.vkey()), "signed by nobody");
        let note = &mut proof.checkpoint.note;
        note.signatures.insert(0, LOG.sign(&note.text, 0));
        assert!(
            !proof.proves(b"an event", LOG.vkey()),
            "nobody has its hash"
        );
        tree(proof.index, proof.checkpoint.checkpoint.size, &proof.path);
    }
    if let Some(mut submission) = reads_back::<Submission>(text) {
        let trusted = [LOG.vkey().clone()];
        assert!(
            decide(&trusted, None, &submission).is_err(),
            "signed by nobody"
        );
        let size = submission.checkpoint.checkpoint.size;
        tree(submission.old_size, size, &submission.proof);
        let note = &mut submission.checkpoint.note;
        note.signatures.insert(0, LOG.sign(&note.text, 0));
        // What was cosigned is not the beginning of what nobody has the hashes of.
        let latest = Checkpoint {
            origin: LOG.vkey().name().into(),
            size: 3,
            root: unknown(3),
        };
        let decided = decide(&trusted, Some(&latest), &submission);
        assert!(decided.is_err(), "{decided:?}");
        if decide(&trusted, None, &submission) == Err(Refused::NotSigned) {
            panic!("it was signed");
        }
    }
});

/// A hash that no text can have led to.
fn unknown(number: u8) -> Hash {
    node_hash(&[number; 32], &[0x55; 32])
}

/// No proof shows what is not so.
fn tree(at: u64, size: u64, proof: &[Hash]) {
    let (old, new) = (unknown(1), unknown(2));
    assert!(!verify_inclusion(&old, at, size, &new, proof));
    assert!(!verify_consistency((at, &old), (size, &new), proof));
}
