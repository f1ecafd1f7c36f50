//! `writ application add-key` and `credentials`: a key that is made here and whose private part
//! never leaves, and what proves an application in practice.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use ureq::http::Method;
use writ::holder_key::{HolderKey, PrivateKeyText};
use writ_api::{Authentication, CredentialUse, JwkSet};

use super::super::Failure;
use super::super::credentials::{Credentials, SecretFile, of_application};
use super::super::output::Out;
use super::super::remote::{Call, Change, Client, Listing};
use super::current;

/// The method that keys are for.
const BY_KEY: &str = "private_key_jwt";

/// Which key for whom.
#[derive(Args, Debug)]
pub struct AddKey {
    /// The id of the application
    application: String,
    /// Write credentials like admin.json, with the private key, into this new file of mode 0600
    #[arg(long, value_name = "FILE")]
    key_file: PathBuf,
    /// Let nothing but keys prove it from now on
    #[arg(long)]
    only: bool,
    #[command(flatten)]
    change: Change,
}

impl AddKey {
    /// Makes a key and registers its public part.
    pub fn run(self, out: &mut Out, client: &mut Client) -> Result<(), Failure> {
        let Self {
            application,
            key_file,
            only,
            change,
        } = self;
        let made = add(client, &application, &key_file, only, &change)?;
        let value = json!({ "client_id": application, "kid": made, "key_file": key_file });
        out.result(&value, || {
            let file = key_file.display();
            format!("the key {made} proves {application}; it is in {file} and nowhere else")
        })
    }
}

/// Makes a key, registers its public part and puts the private one into a new file. The name of
/// the key.
pub fn add(
    client: &mut Client,
    application: &str,
    path: &Path,
    only: bool,
    change: &Change,
) -> Result<String, Failure> {
    let mut file = SecretFile::create(path)?;
    let text = PrivateKeyText::generate().map_err(|fault| Failure::of(&fault))?;
    let key = HolderKey::parse(&text).map_err(|fault| Failure::of(&fault))?;
    let now = current(client, application)?;
    let mut value = now.authentication.clone();
    if let Some(uri) = &value.jwks_uri {
        return Err(Failure::Failed(format!(
            "the keys of {application} are at {uri}: add the new one there, or take the address \
             away with `writ application authentication set {application} --remove jwks-uri …`"
        )));
    }
    let keys = value
        .jwks
        .get_or_insert_with(|| JwkSet { keys: Vec::new() });
    keys.keys.push(key.public());
    with_keys(&mut value, only);
    let segments = ["applications", application, "authentication"];
    let call = Call::change(Method::PUT, &segments, change).body(&value)?;
    client.send(call.if_version(now.version))?;
    let kid = text.kid.to_string();
    file.fill(&Credentials {
        private_key: Some(text),
        ..of_application(client.credentials(), application)
    })?;
    Ok(kid)
}

fn with_keys(value: &mut Authentication, only: bool) {
    if only {
        value.methods.clear();
    }
    if !value.methods.iter().any(|method| method == BY_KEY) {
        value.methods.push(BY_KEY.to_owned());
    }
}

/// Lists which of its credentials an application uses.
pub fn uses(
    out: &mut Out,
    client: &mut Client,
    application: &str,
    limit: Option<usize>,
) -> Result<(), Failure> {
    let listing = Listing {
        limit,
        ..Listing::default()
    };
    client.list(
        out,
        &["applications", application, "credentials"],
        &listing,
        &[],
        &["CREDENTIAL", "USED", "LAST USED"],
        |one: CredentialUse| vec![one.credential, one.used.to_string(), one.last_used_at],
    )
}
