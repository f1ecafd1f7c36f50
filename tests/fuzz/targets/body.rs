//! Bodies of the admin API: what the server reads, and what the command line reads of an answer.

#![no_main]

use libfuzzer_sys::fuzz_target;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Debug;

fuzz_target!(|data: &[u8]| {
    macro_rules! each {
        ($($name:ident),* $(,)?) => { $(reads_back::<writ_api::$name>(data);)* };
    }
    each![
        ApiResource,
        Application,
        Authentication,
        ChangeApiResource,
        ChangeApplication,
        ChangeGrant,
        ChangePolicyBinding,
        ChangeTokenProfile,
        ChangeTrustedIssuer,
        CreateApiResource,
        CreateApplication,
        CreateGrant,
        CreatePolicyBinding,
        CreateRole,
        CreateSecret,
        CreateSigningKey,
        CreateTrustedIssuer,
        Event,
        Explanation,
        Grant,
        Issuance,
        LogProof,
        Policy,
        PolicyBinding,
        Problem,
        PutDetailsType,
        PutGrantDetails,
        PutScope,
        Quota,
        RotateSecret,
        SigningKey,
        TokenExchange,
        TokenSettings,
        TrustRule,
        TrustedIssuer,
    ];
});

fn reads_back<T: DeserializeOwned + Serialize + PartialEq + Debug>(data: &[u8]) {
    if let Ok(read) = serde_json::from_slice::<T>(data) {
        let written = serde_json::to_vec(&read).expect("it is JSON");
        let again: T = serde_json::from_slice(&written).expect("it was written");
        assert_eq!(again, read);
    }
}
