//! Who caused an event.

use crate::{ApplicationId, InitialAccessTokenId, Jti, ScopeName};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use std::borrow::Cow;

/// Who asks for a change. What is recorded is who was authenticated, never what a body says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Actor {
    /// An application: an administrator's tool with a token of the management API, or any
    /// application that revokes a token of its own or changes its registration.
    Application {
        /// Which one.
        id: ApplicationId,
        /// How it authenticated: `bearer`, a client authentication method, or
        /// `registration_access_token`.
        auth: Box<str>,
        /// The token it used.
        #[serde(skip_serializing_if = "Option::is_none")]
        jti: Option<Jti>,
        /// The scopes of that token. They decide what it may do now and are not recorded: the
        /// issuance of the token is.
        #[serde(skip)]
        scopes: Vec<ScopeName>,
    },
    /// Whoever holds an initial access token and registers an application by it (RFC 7591 §3).
    InitialAccessToken {
        /// Which one.
        id: InitialAccessTokenId,
    },
    /// A person at the machine itself, with the server stopped: `init`, `recover`.
    Operator {
        /// The command that was run.
        id: Box<str>,
    },
    /// Writ itself: `start`, `rotation`, `seal`.
    System {
        /// Which part.
        id: Box<str>,
    },
}

/// What an actor is as it stands in an event. By hand: read as a tagged enum each event would be
/// copied once more, and a replay reads millions.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored<'a> {
    #[serde(borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    id: Cow<'a, str>,
    auth: Option<Box<str>>,
    jti: Option<Jti>,
}

impl<'de> Deserialize<'de> for Actor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Stored {
            kind,
            id,
            auth,
            jti,
        } = Stored::deserialize(deserializer)?;
        match (&*kind, auth, jti) {
            ("application", Some(auth), jti) => Ok(Self::Application {
                id: id.parse().map_err(D::Error::custom)?,
                auth,
                jti,
                scopes: Vec::new(),
            }),
            ("application", None, _) => Err(D::Error::missing_field("auth")),
            ("initial_access_token", None, None) => {
                let id = id.parse().map_err(D::Error::custom)?;
                Ok(Self::InitialAccessToken { id })
            }
            ("operator", None, None) => Ok(Self::operator(&id)),
            ("system", None, None) => Ok(Self::system(&id)),
            ("initial_access_token" | "operator" | "system", ..) => {
                Err(D::Error::custom("only an application has these"))
            }
            (other, ..) => Err(D::Error::unknown_variant(
                other,
                &["application", "initial_access_token", "operator", "system"],
            )),
        }
    }
}

impl Actor {
    /// Writ itself.
    #[must_use]
    pub fn system(id: &str) -> Self {
        Self::System { id: id.into() }
    }

    /// A person at the machine.
    #[must_use]
    pub fn operator(id: &str) -> Self {
        Self::Operator { id: id.into() }
    }

    /// A text that names the actor: what an idempotency key belongs to.
    #[must_use]
    pub fn label(&self) -> String {
        match self {
            Self::Application { id, .. } => format!("application/{id}"),
            Self::InitialAccessToken { id } => format!("initial_access_token/{id}"),
            Self::Operator { id } => format!("operator/{id}"),
            Self::System { id } => format!("system/{id}"),
        }
    }
}
