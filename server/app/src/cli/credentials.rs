//! Credentials as the verbs use them: read from a file such as `admin.json`, or put into a new one
//! when a secret is made. What such a file holds is in [`writ::credentials_file`].

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

pub use writ::credentials_file::CredentialsFile as Credentials;

use super::Failure;

/// Where the token endpoint is below the issuer.
const TOKEN_PATH: &str = "/oauth2/token";

/// Reads a file of credentials.
pub fn read(path: &Path) -> Result<Credentials, Failure> {
    let found = Credentials::read(path).map_err(|error| Failure::of(&error))?;
    let credentials = found.ok_or_else(|| {
        Failure::Failed(format!(
            "there is no file of credentials {}: name one like the admin.json that `writ dev` and \
             `writ init` make in their data directory, by --admin-file or WRIT_ADMIN_FILE",
            path.display()
        ))
    })?;
    match issuer(&credentials) {
        Some(_) => Ok(credentials),
        None => Err(Failure::Failed(format!(
            "{}: the token_endpoint {} does not end with {TOKEN_PATH}",
            path.display(),
            credentials.token_endpoint
        ))),
    }
}

/// The issuer of the server that the credentials are for: the base of every URL.
pub fn issuer(credentials: &Credentials) -> Option<&str> {
    credentials.token_endpoint.strip_suffix(TOKEN_PATH)
}

/// Those of another application at the same server, but for what proves it.
pub fn of_application(own: &Credentials, application: &str) -> Credentials {
    Credentials {
        token_endpoint: own.token_endpoint.clone(),
        client_id: application.to_owned(),
        client_secret: None,
        private_key: None,
        scope: None,
        ca: own.ca.clone(),
    }
}

/// A new file for credentials. It is made before there is a secret to write, so that a secret that
/// is shown only once is not lost to a typing error; it disappears unless it is filled.
pub struct SecretFile {
    path: PathBuf,
    file: File,
    filled: bool,
}

impl SecretFile {
    /// Makes it, with mode 0600. A file that exists is not overwritten.
    pub fn create(path: &Path) -> Result<Self, Failure> {
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(|error| {
                let path = path.display();
                Failure::Failed(format!("cannot make the secret file {path}: {error}"))
            })?;
        Ok(Self {
            path: path.to_owned(),
            file,
            filled: false,
        })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes credentials into it.
    pub fn fill(&mut self, credentials: &Credentials) -> Result<(), Failure> {
        let written = serde_json::to_vec_pretty(credentials)
            .map_err(std::io::Error::from)
            .and_then(|mut text| {
                text.push(b'\n');
                self.file.write_all(&text)?;
                self.file.sync_all()
            });
        self.filled = written.is_ok();
        written.map_err(|error| {
            Failure::Failed(format!(
                "cannot write the secret file {}: {error}; the secret or key is lost, so revoke it \
                 and add another with `writ application add-secret` or `add-key`",
                self.path.display()
            ))
        })
    }
}

impl Drop for SecretFile {
    fn drop(&mut self) {
        if !self.filled {
            // It is empty or half written; where even this fails it is of no use and no harm.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
