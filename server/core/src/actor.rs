//! Who caused an event.

use crate::{ApplicationId, Jti, ScopeName};
use serde::{Deserialize, Serialize};

/// Who asks for a change. What is recorded is who was authenticated, never what a body says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Actor {
    /// An application: an administrator's tool with a token of the management API, or any
    /// application that revokes a token of its own.
    Application {
        /// Which one.
        id: ApplicationId,
        /// How it authenticated: `bearer`, or a client authentication method.
        auth: Box<str>,
        /// The token it used.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        jti: Option<Jti>,
        /// The scopes of that token. They decide what it may do now and are not recorded: the
        /// issuance of the token is.
        #[serde(skip)]
        scopes: Vec<ScopeName>,
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
            Self::Operator { id } => format!("operator/{id}"),
            Self::System { id } => format!("system/{id}"),
        }
    }
}
