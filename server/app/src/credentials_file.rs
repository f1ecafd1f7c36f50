//! Files of credentials, such as `admin.json`: where to get a token, as whom, and whom to trust.
//! They hold a secret or a private key, so they have mode 0600 and are never shown.

use crate::holder_key::PrivateKeyText;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// What a program needs to get a token.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialsFile {
    /// The token endpoint.
    pub token_endpoint: String,
    /// The application.
    pub client_id: String,
    /// Its secret, if that is what proves it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<String>,
    /// Its private key, which counts before a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_key: Option<PrivateKeyText>,
    /// The scopes to ask for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// The certificates to trust instead of the system's, in PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
}

impl std::fmt::Debug for CredentialsFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CredentialsFile")
            .field("token_endpoint", &self.token_endpoint)
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}

/// A credentials file cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsFileError {
    /// The disk says no.
    #[error("cannot {action} {}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It is no such file. What is in it is not shown.
    #[error("{} holds no credentials: it should be a JSON object with token_endpoint, client_id and client_secret or private_key (line {line}, column {column})", .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where.
        line: usize,
        /// Where.
        column: usize,
    },
    /// Nothing in it proves anybody.
    #[error("{} has neither a client_secret nor a private_key", .path.display())]
    Powerless {
        /// The file.
        path: PathBuf,
    },
}

impl CredentialsFile {
    /// Reads a file; `None` where there is none.
    ///
    /// # Errors
    /// It cannot be read, or is something else.
    pub fn read(path: &Path) -> Result<Option<Self>, CredentialsFileError> {
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => {
                return Err(CredentialsFileError::Io {
                    action: "read",
                    path: path.into(),
                    source,
                });
            }
        };
        let file: Self =
            serde_json::from_slice(&text).map_err(|error| CredentialsFileError::Malformed {
                path: path.into(),
                line: error.line(),
                column: error.column(),
            })?;
        if file.client_secret.is_none() && file.private_key.is_none() {
            return Err(CredentialsFileError::Powerless { path: path.into() });
        }
        Ok(Some(file))
    }

    /// Writes the file in place of what is there, durably, with mode 0600.
    ///
    /// # Errors
    /// The disk says no.
    pub fn write(&self, path: &Path) -> Result<(), CredentialsFileError> {
        self.try_write(path)
            .map_err(|source| CredentialsFileError::Io {
                action: "write",
                path: path.into(),
                source,
            })
    }

    fn try_write(&self, path: &Path) -> io::Result<()> {
        let temporary = path.with_extension("json.new");
        // What an interrupted try left may have another mode.
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)?;
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::fs::PermissionsExt;
    use writ_core::Algorithm;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_file_reads_back_and_anything_else_is_refused_without_being_shown(
            texts: [String; 3],
            scope: Option<String>,
            any: Vec<u8>,
            cut: prop::sample::Index,
        ) {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("admin.json");
            prop_assert!(matches!(CredentialsFile::read(&path), Ok(None)));
            let [token_endpoint, client_id, client_secret] = texts;
            let client_secret = Some(format!("c4n4ry{client_secret}"));
            let private_key = scope.is_some().then(|| PrivateKeyText {
                kid: "k1".parse().unwrap(),
                alg: Algorithm::ES256,
                pem: "c4n4ry".to_owned(),
            });
            let file = CredentialsFile {
                token_endpoint, client_id, client_secret, private_key, scope, ca: None,
            };
            file.write(&path).unwrap();
            prop_assert_eq!(CredentialsFile::read(&path).unwrap(), Some(file.clone()));
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            prop_assert_eq!(mode & 0o7777, 0o600);
            let shown = format!("{file:?}");
            prop_assert!(!shown.contains("c4n4ry"), "{}", shown);

            // A part of it, and anything at all.
            let whole = fs::read(&path).unwrap();
            let closed = whole.len() - 2;
            let nobody = br#"{"token_endpoint":"https://c4n4ry","client_id":"c4n4ry"}"#.to_vec();
            for wrong in [&whole[..cut.index(closed)], &any, &nobody] {
                fs::write(&path, wrong).unwrap();
                let error = CredentialsFile::read(&path).unwrap_err();
                let shown = format!("{error} {error:?}");
                prop_assert!(!shown.contains("c4n4ry"), "{}", shown);
            }
        }
    }
}
