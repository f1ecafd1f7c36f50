//! A policy as it is uploaded: what is looked at before anything is compiled.

#![no_main]

use libfuzzer_sys::fuzz_target;
use writ_sandbox::{ModuleLimits, check};

fuzz_target!(|data: &[u8]| {
    let limits = ModuleLimits::default();
    if let Err(rejected) = check(data, &limits) {
        assert!(!rejected.reasons.is_empty());
        // An answer of the admin API has them all.
        let chars = rejected.reasons.iter().map(|reason| reason.chars().count());
        assert!(chars.sum::<usize>() <= 20 * 1024, "reasons without end");
    }
    // Smaller limits refuse more, and look at less.
    let narrow = ModuleLimits {
        module_bytes: 512,
        ..limits
    };
    if check(data, &narrow).is_ok() {
        assert_eq!(check(data, &ModuleLimits::default()), Ok(()));
    }
});
