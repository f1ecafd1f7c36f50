//! What people call a policy or a binding, and which one the server has by that name.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use writ_api::{Policy, PolicyBinding};

use crate::cli::Failure;
use crate::cli::output::clean;
use crate::cli::remote::{Call, Client, Read};

use super::describe::short;

/// The digits of a digest.
const DIGEST: usize = 64;
/// The fewest digits that a digest may be called by.
const BEGINNING: usize = 8;

/// What a person calls a policy of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// A digest.
    Digest(String),
    /// What a digest begins with; or else a name that looks like it.
    Beginning(String),
    /// A name: its newest upload, where one must be chosen.
    Name(String),
    /// A name and a version: the upload with both.
    Version {
        /// The name.
        name: String,
        /// The version.
        version: String,
    },
}

impl FromStr for Reference {
    type Err = String;

    fn from_str(given: &str) -> Result<Self, String> {
        let hexadecimal = given.bytes().all(|byte| byte.is_ascii_hexdigit());
        if hexadecimal && given.len() == DIGEST {
            return Ok(Self::Digest(given.to_ascii_lowercase()));
        }
        if hexadecimal && (BEGINNING..DIGEST).contains(&given.len()) {
            return Ok(Self::Beginning(given.to_ascii_lowercase()));
        }
        let (name, version) = match given.split_once('@') {
            Some((name, version)) => (name, Some(version)),
            None => (given, None),
        };
        if !is_name(name) || version == Some("") {
            return Err(
                "a policy is named by its digest, by 8 or more digits that its digest begins with, \
                 by NAME or by NAME@VERSION"
                    .to_owned(),
            );
        }
        let name = name.to_owned();
        Ok(match version {
            Some(version) => Self::Version {
                name,
                version: version.to_owned(),
            },
            None => Self::Name(name),
        })
    }
}

/// What names one policy, and not the newest of its name: for an argument of [`Reference::only`].
pub fn certain(given: &str) -> Result<Reference, String> {
    match given.parse()? {
        Reference::Name(name) => Err(format!(
            "there may be several versions of it: name one by its digest or by {name}@VERSION"
        )),
        reference => Ok(reference),
    }
}

/// Whether a policy can have this name.
fn is_name(text: &str) -> bool {
    let fit =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
    !text.is_empty() && text.bytes().all(fit)
}

impl fmt::Display for Reference {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Digest(text) | Self::Beginning(text) | Self::Name(text) => to.write_str(text),
            Self::Version { name, version } => write!(to, "{name}@{version}"),
        }
    }
}

impl Reference {
    /// The policy that is meant: of several uploads of a name, the newest. Several of one name and
    /// version are not told apart by guessing: one of them may be somebody else's.
    pub fn newest(&self, client: &mut Client, read: &Read) -> Result<Policy, Failure> {
        if let Self::Digest(digest) = self {
            return client.fetch(Call::get(&["policies", digest], read));
        }
        let mut found = self.uploads(client, read)?;
        let ambiguous = match self {
            Self::Beginning(digits) => found.iter().any(|policy| policy.digest.starts_with(digits)),
            Self::Version { .. } => true,
            Self::Digest(_) | Self::Name(_) => false,
        };
        if found.len() > 1 && ambiguous {
            return Err(self.ambiguous(&found));
        }
        // In the order of their uploads, and never empty.
        found.pop().ok_or_else(|| self.unknown())
    }

    /// The digest of [`Self::newest`], without asking for what is known.
    pub fn digest(&self, client: &mut Client, read: &Read) -> Result<String, Failure> {
        match self {
            Self::Digest(digest) => Ok(digest.clone()),
            _ => Ok(self.newest(client, read)?.digest),
        }
    }

    /// The digest of the only policy that can be meant: for taking something away.
    pub fn only(&self, client: &mut Client) -> Result<String, Failure> {
        if let Self::Digest(digest) = self {
            return Ok(digest.clone());
        }
        let mut found = self.uploads(client, &Read::default())?;
        match found.pop() {
            Some(policy) if found.is_empty() => Ok(policy.digest),
            Some(policy) => {
                found.push(policy);
                Err(self.ambiguous(&found))
            }
            None => Err(self.unknown()),
        }
    }

    /// Those of the bindings that use it now. A name alone stands for all of its versions.
    pub fn users(
        &self,
        bindings: Vec<PolicyBinding>,
        client: &mut Client,
        read: &Read,
    ) -> Result<Vec<PolicyBinding>, Failure> {
        let versions: BTreeSet<String> = match self {
            Self::Version { .. } => {
                let uploads = self.uploads(client, read)?.into_iter();
                uploads.map(|policy| policy.digest).collect()
            }
            _ => BTreeSet::new(),
        };
        let mut bindings = bindings;
        bindings.retain(|binding| self.is_used_by(binding, &versions));
        Ok(bindings)
    }

    /// Whether a binding uses it; `versions` are the digests of what has its name and version.
    fn is_used_by(&self, binding: &PolicyBinding, versions: &BTreeSet<String>) -> bool {
        let (digest, name) = (&binding.judgement.policy, &binding.judgement.policy_name);
        match self {
            Self::Digest(wanted) => digest == wanted,
            Self::Beginning(wanted) => digest.starts_with(wanted) || name == wanted,
            Self::Name(wanted) => name == wanted,
            Self::Version { .. } => versions.contains(digest),
        }
    }

    /// All uploads that can be meant, the oldest first; none is an error.
    fn uploads(&self, client: &mut Client, read: &Read) -> Result<Vec<Policy>, Failure> {
        let filter = match self {
            // The server knows no filter for the beginning of a digest.
            Self::Digest(_) | Self::Beginning(_) => None,
            Self::Name(name) | Self::Version { name, .. } => Some(name.clone()),
        };
        let mut found = client.collect(&["policies"], read, &[("name", filter)])?;
        self.choose(&mut found);
        if found.is_empty() {
            return Err(self.unknown());
        }
        Ok(found)
    }

    /// Leaves those that can be meant, the oldest first.
    fn choose(&self, found: &mut Vec<Policy>) {
        match self {
            Self::Digest(digest) => found.retain(|policy| policy.digest == *digest),
            Self::Beginning(digits) => {
                found.retain(|policy| policy.digest.starts_with(digits) || policy.name == *digits)
            }
            Self::Name(name) => found.retain(|policy| policy.name == *name),
            Self::Version { name, version } => {
                found.retain(|policy| policy.name == *name && policy.version == *version);
            }
        }
        found.sort_by_key(|policy| policy.position);
    }

    fn unknown(&self) -> Failure {
        let text = self.to_string();
        Failure::Failed(format!(
            "there is no policy {}: `writ policy list` shows those that there are",
            clean(&text)
        ))
    }

    fn ambiguous(&self, found: &[Policy]) -> Failure {
        let each = found.iter().map(|policy| {
            let (name, version) = (clean(&policy.name), clean(&policy.version));
            format!("\n  {}  {name} {version}", clean(&policy.digest))
        });
        Failure::Failed(format!(
            "{} can be several policies; name one by its digest:{}",
            clean(&self.to_string()),
            each.collect::<String>()
        ))
    }
}

/// What a person calls a binding: its id, or a policy that is bound once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BindingReference {
    /// Its id.
    Id(String),
    /// The one binding of a policy.
    Of(Reference),
}

impl FromStr for BindingReference {
    type Err = String;

    fn from_str(given: &str) -> Result<Self, String> {
        let number = given.strip_prefix("binding_");
        if number.is_some_and(|number| {
            !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
        }) {
            return Ok(Self::Id(given.to_owned()));
        }
        let policy = given.parse().map(Self::Of);
        policy.map_err(|why| format!("a binding has an id like binding_7; {why}"))
    }
}

impl BindingReference {
    /// The binding.
    pub fn find(&self, client: &mut Client, read: &Read) -> Result<PolicyBinding, Failure> {
        let policy = match self {
            Self::Id(id) => return client.fetch(Call::get(&["policy-bindings", id], read)),
            Self::Of(policy) => policy,
        };
        let all = client.collect(&["policy-bindings"], read, &[])?;
        let mut users = policy.users(all, client, read)?;
        match users.pop() {
            Some(binding) if users.is_empty() => Ok(binding),
            Some(binding) => {
                users.push(binding);
                Err(several(policy, &users))
            }
            None => Err(Failure::Failed(format!(
                "nothing is bound to the policy {}: `writ policy bindings` shows what is bound",
                clean(&policy.to_string())
            ))),
        }
    }

    /// Its id, without asking for what is known.
    pub fn id(&self, client: &mut Client, read: &Read) -> Result<String, Failure> {
        match self {
            Self::Id(id) => Ok(id.clone()),
            Self::Of(_) => Ok(self.find(client, read)?.id),
        }
    }
}

fn several(policy: &Reference, users: &[PolicyBinding]) -> Failure {
    let each = users.iter().map(|binding| {
        let digest = short(&binding.judgement.policy);
        let (id, target) = (clean(&binding.id), clean(&binding.target));
        format!("\n  {id}  {target}  {}", clean(&digest))
    });
    Failure::Failed(format!(
        "the policy {} is bound more than once; name one of its bindings:{}",
        clean(&policy.to_string()),
        each.collect::<String>()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use writ_api::PolicyJudgement;

    fn version(name: &str, version: &str) -> Reference {
        Reference::Version {
            name: name.into(),
            version: version.into(),
        }
    }

    #[test]
    fn policies_are_named_in_four_ways() {
        let digest = "5F0A12CC".repeat(8);
        for (given, reference) in [
            (&*digest, Reference::Digest(digest.to_lowercase())),
            ("5f0a12cc", Reference::Beginning("5f0a12cc".into())),
            // Seven digits are a name.
            ("5f0a12c", Reference::Name("5f0a12c".into())),
            ("night-watch", Reference::Name("night-watch".into())),
            ("night-watch@0.1.0", version("night-watch", "0.1.0")),
            ("a@1@2", version("a", "1@2")),
        ] {
            assert_eq!(given.parse(), Ok(reference), "{given}");
        }
        for bad in ["", "Night Watch", "a@", "@1", "5F0A12C", "a/b"] {
            assert!(bad.parse::<Reference>().is_err(), "{bad}");
        }
        assert_eq!(certain("a@1"), Ok(version("a", "1")));
        assert!(certain("a").is_err_and(|why| why.contains("a@VERSION")));
    }

    #[test]
    fn bindings_are_named_by_id_or_by_policy() {
        let of = |name: &str| BindingReference::Of(Reference::Name(name.into()));
        for (given, reference) in [
            ("binding_7", BindingReference::Id("binding_7".into())),
            ("binding_", of("binding_")),
            ("binding_x", of("binding_x")),
            ("night-watch", of("night-watch")),
        ] {
            assert_eq!(given.parse(), Ok(reference), "{given}");
        }
        assert!("Binding 7".parse::<BindingReference>().is_err());
    }

    fn upload(digest: &str, name: &str, version: &str, position: u64) -> Policy {
        Policy {
            digest: digest.into(),
            name: name.into(),
            version: version.into(),
            doc: String::new(),
            settings: Vec::new(),
            reads: Vec::new(),
            codes: Vec::new(),
            claims: Vec::new(),
            bytes: 1,
            uploaded_at: String::new(),
            position,
        }
    }

    #[test]
    fn the_newest_upload_comes_last_however_they_are_listed() {
        let uploads = [
            upload("aaaaaaaa1", "watch", "2", 30),
            upload("aaaaaaaa2", "watch", "1", 10),
            upload("bbbbbbbb3", "watch", "2", 20),
            upload("bbbbbbbb4", "aaaaaaaa", "1", 5),
        ];
        let positions = |reference: &str| {
            let mut found = uploads.to_vec();
            reference
                .parse::<Reference>()
                .map(|reference| reference.choose(&mut found))
                .unwrap_or_default();
            let found = found.into_iter().map(|policy| policy.position);
            found.collect::<Vec<_>>()
        };
        assert_eq!(positions("watch"), [10, 20, 30]);
        assert_eq!(positions("watch@2"), [20, 30]);
        assert_eq!(positions("watch@3"), [0; 0]);
        // A name can look like the beginning of a digest.
        assert_eq!(positions("aaaaaaaa"), [5, 10, 30]);
        assert_eq!(positions("bbbbbbbb3"), [20]);
    }

    #[test]
    fn who_uses_a_policy_is_told_by_what_it_is_called() {
        let binding = |id: &str, policy: &str, name: &str| PolicyBinding {
            id: id.into(),
            target: "server".into(),
            mode: "enforce".into(),
            order: 100,
            judgement: PolicyJudgement {
                policy: policy.into(),
                policy_name: name.into(),
                settings: serde_json::Map::new(),
                settings_digest: String::new(),
                claims: Vec::new(),
            },
            previous: None,
            created_at: String::new(),
            version: 1,
        };
        let bindings = [
            binding("binding_1", "aaaaaaaa1", "watch"),
            binding("binding_2", "aaaaaaaa2", "watch"),
            binding("binding_3", "cccccccc3", "other"),
        ];
        let users = |reference: &str, versions: &[&str]| {
            let versions = versions.iter().map(ToString::to_string).collect();
            let reference = reference.parse::<Reference>();
            let uses = |binding: &&PolicyBinding| {
                let reference = reference.as_ref();
                reference.is_ok_and(|reference| reference.is_used_by(binding, &versions))
            };
            let users = bindings.iter().filter(uses);
            users.map(|user| user.id.clone()).collect::<Vec<_>>()
        };
        assert_eq!(users("watch", &[]), ["binding_1", "binding_2"]);
        assert_eq!(users("aaaaaaaa", &[]), ["binding_1", "binding_2"]);
        assert_eq!(users("aaaaaaaa2", &[]), ["binding_2"]);
        assert_eq!(users("watch@2", &["aaaaaaaa2"]), ["binding_2"]);
        assert_eq!(users("another", &[]), [""; 0]);

        let text = several(&Reference::Name("watch".into()), &bindings[..2]).to_string();
        assert!(text.contains("binding_1  server  aaaaaaaa1"), "{text}");
    }
}
