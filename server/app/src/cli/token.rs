//! `writ token …`: getting, revoking and looking at tokens.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::Value;
use writ::clock::{Clock, SystemClock};
use writ::holder_key::HolderKey;
use writ_api::RevokeToken;
use writ_core::{MANAGEMENT_IDENTIFIER, Millis};
use zeroize::Zeroizing;

use super::Failure;
use super::credentials::{self, Credentials};
use super::output::{Out, clean, parse};
use super::remote::{Call, Client, Connection, Creation, TokenAnswer, Wire};

/// More than any token has, in bytes.
const TOKEN_BYTES_MAX: u64 = 64 * 1024;

/// Tokens: get, revoke and introspect them
#[derive(Args, Debug)]
pub struct Token {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Get a token and print it, and nothing else
    #[command(after_help = "Examples:
  writ token get --credentials writ-data/demo.json
  curl -H \"Authorization: Bearer $(writ token get)\" https://localhost:9443/api/v1/applications")]
    Get {
        #[command(flatten)]
        caller: Caller,
        /// The scopes to ask for, separated by spaces; by default those of the file
        #[arg(long)]
        scope: Option<String>,
        /// The identifier of an API resource to ask for; may be repeated
        #[arg(long = "resource", value_name = "IDENTIFIER")]
        resources: Vec<String>,
        /// Bind it to the private key of the file: each use needs a proof (`writ token proof`)
        #[arg(long)]
        dpop: bool,
    },
    /// Print a proof for one request with a token that is bound to the private key of the file
    #[command(after_help = "Example:
  token=$(writ token get --credentials job.json --dpop)
  curl -H \"Authorization: DPoP $token\" \\
    -H \"DPoP: $(echo $token | writ token proof --credentials job.json GET https://api.example/x -)\" \\
    https://api.example/x")]
    Proof {
        /// The method of the request, such as GET
        method: String,
        /// Its address, without query and fragment
        url: String,
        /// The token, or - to read it from standard input; none for a token endpoint
        token: Option<String>,
        /// What the other side wants in it: the header DPoP-Nonce of its answer
        #[arg(long)]
        nonce: Option<String>,
        #[command(flatten)]
        caller: Caller,
    },
    /// Revoke a token of any application; with --credentials, one's own
    #[command(after_help = "Examples:
  writ token revoke - < token.txt
  writ token revoke --jti 01890a5d-ac96-774b-bcce-b302099a8057 --application APPLICATION
  writ token revoke --credentials job.json - < token.txt")]
    Revoke {
        /// The token, or - to read it from standard input
        #[arg(required_unless_present = "jti", conflicts_with = "jti")]
        token: Option<String>,
        /// The `jti` of the token, where the token itself is not at hand
        #[arg(long, requires = "application", conflicts_with = "credentials")]
        jti: Option<String>,
        /// The application that got it
        #[arg(long, requires = "jti")]
        application: Option<String>,
        /// When it expires, as RFC 3339; 24 hours from now where this is not given
        #[arg(long, requires = "jti", value_name = "TIME")]
        expires_at: Option<String>,
        #[command(flatten)]
        caller: Caller,
        #[command(flatten)]
        creation: Creation,
    },
    /// Ask the server about a token
    #[command(after_help = "Example:
  writ token introspect - < token.txt")]
    Introspect {
        /// The token, or - to read it from standard input
        token: String,
        #[command(flatten)]
        caller: Caller,
    },
}

#[derive(Args, Debug)]
#[group(skip)]
struct Caller {
    /// Credentials of another application than the administrator's
    #[arg(long, value_name = "FILE")]
    credentials: Option<PathBuf>,
}

impl Token {
    /// Runs the verb.
    pub fn run(self, out: &mut Out) -> Result<(), Failure> {
        match self.verb {
            Verb::Get {
                caller,
                scope,
                resources,
                dpop,
            } => get(out, &self.connection, &caller, scope, &resources, dpop),
            Verb::Proof {
                method,
                url,
                token,
                nonce,
                caller,
            } => {
                let token = token.as_deref().map(given).transpose()?;
                let key = caller.key(&self.connection)?;
                let (token, nonce) = (token.as_ref().map(|it| it.as_str()), nonce.as_deref());
                let proof = key.proof(&method, &url, token, nonce, SystemClock.now());
                let proof = proof.map_err(|fault| Failure::of(&fault))?;
                out.result(&serde_json::json!({ "proof": proof }), || proof.clone())
            }
            Verb::Revoke {
                token: Some(token),
                caller,
                creation,
                ..
            } => {
                let token = given(&token)?;
                if caller.credentials.is_some() {
                    let (wire, credentials) = caller.open(&self.connection)?;
                    let url = endpoint(&credentials, "revoke");
                    wire.post_form(&url, &credentials, &[("token", &token)])?;
                    let answer = serde_json::json!({ "revoked": true });
                    out.result(&answer, || "revoked, if it was one of its own".to_owned())
                } else {
                    revoke(out, &self.connection, creation, &from_token(&token)?)
                }
            }
            Verb::Revoke {
                token: None,
                jti,
                application,
                expires_at,
                creation,
                ..
            } => {
                let body = RevokeToken {
                    jti: jti.unwrap_or_default(),
                    application: application.unwrap_or_default(),
                    expires_at,
                };
                revoke(out, &self.connection, creation, &body)
            }
            Verb::Introspect { token, caller } => {
                let token = given(&token)?;
                let (wire, credentials) = caller.open(&self.connection)?;
                let url = endpoint(&credentials, "introspect");
                let answer = wire.post_form(&url, &credentials, &[("token", &token)])?;
                introspected(out, &answer)
            }
        }
    }
}

impl Caller {
    fn file<'a>(&'a self, connection: &'a Connection) -> &'a Path {
        self.credentials.as_ref().unwrap_or(&connection.admin_file)
    }

    fn open(&self, connection: &Connection) -> Result<(Wire, Credentials), Failure> {
        let credentials = credentials::read(self.file(connection))?;
        Ok((Wire::new(connection, &credentials)?, credentials))
    }

    /// The private key of its file.
    fn key(&self, connection: &Connection) -> Result<HolderKey, Failure> {
        let file = self.file(connection);
        let credentials = credentials::read(file)?;
        let key = credentials.private_key.ok_or_else(|| no_key(file))?;
        HolderKey::parse(&key).map_err(|fault| Failure::of(&fault))
    }
}

fn no_key(file: &Path) -> Failure {
    Failure::Failed(format!(
        "{} has no private_key that a token could be bound to: `writ application add-key` makes a \
         file with one",
        file.display()
    ))
}

fn get(
    out: &mut Out,
    connection: &Connection,
    caller: &Caller,
    scope: Option<String>,
    resources: &[String],
    dpop: bool,
) -> Result<(), Failure> {
    let (wire, credentials) = caller.open(connection)?;
    if dpop && credentials.private_key.is_none() {
        return Err(no_key(caller.file(connection)));
    }
    let nothing_asked = scope.is_none() && resources.is_empty();
    let scope = match scope {
        None if nothing_asked => credentials.scope.clone(),
        scope => scope,
    };
    let mut parameters: Vec<_> = scope
        .iter()
        .map(|scope| ("scope", scope.as_str()))
        .collect();
    parameters.extend(
        resources
            .iter()
            .map(|resource| ("resource", resource.as_str())),
    );
    // An administrator's token is for the management API.
    if parameters.is_empty() && caller.credentials.is_none() {
        parameters.push(("resource", MANAGEMENT_IDENTIFIER));
    }
    let answer = wire.token(&credentials, &parameters, dpop)?;
    if out.is_json() {
        return out.value(&answer);
    }
    let answer: TokenAnswer = parse(&answer)?;
    out.line(clean(&answer.access_token))
}

fn revoke(
    out: &mut Out,
    connection: &Connection,
    creation: Creation,
    body: &RevokeToken,
) -> Result<(), Failure> {
    let mut client = Client::open(connection)?;
    let call = Call::create(&["tokens", "revoke"], creation).body(body)?;
    client.done(out, call, &format!("revoked {}", body.jti))
}

fn introspected(out: &mut Out, answer: &Value) -> Result<(), Failure> {
    if out.is_json() {
        return out.value(answer);
    }
    for (name, value) in answer.as_object().into_iter().flatten() {
        let value = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        out.line(format_args!("{name:11}{}", clean(&value)))?;
    }
    Ok(())
}

fn endpoint(credentials: &Credentials, name: &str) -> String {
    let issuer = credentials::issuer(credentials).unwrap_or_default();
    format!("{issuer}/oauth2/{name}")
}

/// A token that was given as an argument, or on standard input: arguments are seen by everybody on
/// the machine.
pub fn given(token: &str) -> Result<Zeroizing<String>, Failure> {
    let mut text = Zeroizing::new(String::new());
    if token == "-" {
        let read = std::io::stdin()
            .take(TOKEN_BYTES_MAX)
            .read_to_string(&mut text);
        read.map_err(|error| {
            Failure::Failed(format!("cannot read a token from standard input: {error}"))
        })?;
    } else {
        text.push_str(token);
    }
    Ok(Zeroizing::new(text.trim().to_owned()))
}

/// What the management API has to know of a token in order to revoke it. The signature is not
/// looked at: whoever may revoke every token may revoke the one that a forgery names.
fn from_token(token: &str) -> Result<RevokeToken, Failure> {
    #[derive(Deserialize)]
    struct Claims {
        jti: String,
        client_id: String,
        exp: u64,
    }
    let payload = token.split('.').nth(1).unwrap_or_default();
    let claims = URL_SAFE_NO_PAD.decode(payload).ok();
    let claims = claims.and_then(|claims| serde_json::from_slice::<Claims>(&claims).ok());
    let claims = claims.ok_or_else(|| {
        Failure::Usage(
            "this is no access token of Writ: it should be a JWT with jti, client_id and exp"
                .to_owned(),
        )
    })?;
    Ok(RevokeToken {
        jti: claims.jti,
        application: claims.client_id,
        expires_at: Some(Millis(claims.exp.saturating_mul(1000)).to_string()),
    })
}

/// The id in a token. Its signature is not looked at: whoever asks about a token by its id asks the
/// same.
pub fn jti_of(token: &str) -> Result<String, Failure> {
    from_token(token).map(|named| named.jti)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_itself() {
        let claims = r#"{"jti":"j","client_id":"c","exp":1772528400}"#;
        let token = format!("e30.{}.x", URL_SAFE_NO_PAD.encode(claims));
        let body = from_token(&token).unwrap_or_default();
        assert_eq!((body.jti.as_str(), body.application.as_str()), ("j", "c"));
        assert_eq!(body.expires_at.as_deref(), Some("2026-03-03T09:00:00.000Z"));
        for bad in ["", "a.b.c", "e30.e30.e30"] {
            assert!(matches!(from_token(bad), Err(Failure::Usage(_))), "{bad}");
        }
    }
}
