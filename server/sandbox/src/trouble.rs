//! What can go wrong with a verdict, and whose trouble it is.

use crate::limits::{TEXT_BYTES, brief};
use serde::{Deserialize, Serialize};
use wasmtime::{PoolConcurrencyLimitError, Trap, WasmBacktrace};

/// Why there is no outcome. All of them deny; those that are the server's own ask for a retry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Trouble {
    /// It did what WebAssembly forbids, or panicked, which is the same.
    #[error("the policy trapped: {trap}{}", within(function.as_deref()))]
    Trapped {
        /// What, in the engine's words.
        trap: String,
        /// The innermost function that has a name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        function: Option<String>,
    },
    /// It recursed too deep. Reported apart: how deep that is depends on the engine's version.
    #[error("the policy used up its stack{}", within(function.as_deref()))]
    StackOverflow {
        /// The innermost function that has a name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        function: Option<String>,
    },
    /// It worked too long.
    #[error("the policy used up its fuel")]
    OutOfFuel,
    /// It wanted more memory or table than there is for it.
    #[error("the policy asked for too much {what}")]
    Grew {
        /// `memory` or `table`.
        what: String,
    },
    /// What it answered is not an answer: pointers to nowhere, text that is not UTF-8, too much of
    /// something, a code that it did not declare.
    #[error("the policy's answer makes no sense: {reason}")]
    Output {
        /// What about it.
        reason: String,
    },
    /// It answered that there be more than it was asked about, or a claim that is not its own.
    #[error("the policy oversteps: {reason}")]
    Overstepped {
        /// How.
        reason: String,
    },
    /// It said itself that it cannot judge.
    #[error("the policy failed: {text}")]
    Fault {
        /// What it said.
        text: String,
    },
    /// The clock stopped it before its fuel did. The machine is overloaded.
    #[error("the policy was interrupted by the clock")]
    Interrupted,
    /// All instances are in use.
    #[error("no sandbox is free")]
    PoolExhausted,
    /// The engine could not make a sandbox.
    #[error("the sandbox failed: {reason}")]
    Sandbox {
        /// What the engine said.
        reason: String,
    },
}

impl Trouble {
    /// Whether it is the server's trouble rather than the policy's: nothing was judged, and asking
    /// again may help (503).
    #[must_use]
    pub fn is_servers(&self) -> bool {
        match self {
            Self::Interrupted | Self::PoolExhausted | Self::Sandbox { .. } => true,
            Self::Trapped { .. }
            | Self::StackOverflow { .. }
            | Self::OutOfFuel
            | Self::Grew { .. }
            | Self::Output { .. }
            | Self::Overstepped { .. }
            | Self::Fault { .. } => false,
        }
    }

    /// A stable name for metrics and for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Trapped { .. } => "trapped",
            Self::StackOverflow { .. } => "stack_overflow",
            Self::OutOfFuel => "out_of_fuel",
            Self::Grew { .. } => "grew",
            Self::Output { .. } => "output",
            Self::Overstepped { .. } => "overstepped",
            Self::Fault { .. } => "fault",
            Self::Interrupted => "interrupted",
            Self::PoolExhausted => "pool_exhausted",
            Self::Sandbox { .. } => "sandbox",
        }
    }

    pub(crate) fn output(reason: impl Into<String>) -> Self {
        Self::Output {
            reason: reason.into(),
        }
    }

    pub(crate) fn fault(text: &str) -> Self {
        Self::Fault {
            text: shorten(text),
        }
    }

    /// Why there is no instance. Policies run nothing at instantiation, so a trap here is a data or
    /// element segment out of bounds.
    pub(crate) fn at_instantiation(error: &wasmtime::Error) -> Self {
        Self::known(error).unwrap_or_else(|| Self::Sandbox {
            reason: shorten(&format!("{error:#}")),
        })
    }

    /// Why a call gave no result. Whatever the engine reports without a trap is about what could
    /// not be lifted from the policy's memory or lowered into it.
    pub(crate) fn at_call(error: &wasmtime::Error) -> Self {
        Self::known(error).unwrap_or_else(|| Self::output(shorten(&format!("{error:#}"))))
    }

    fn known(error: &wasmtime::Error) -> Option<Self> {
        if let Some(grew) = error.downcast_ref::<Grew>() {
            return Some(Self::Grew {
                what: grew.0.to_owned(),
            });
        }
        if error.is::<PoolConcurrencyLimitError>() {
            return Some(Self::PoolExhausted);
        }
        let trap = error.downcast_ref::<Trap>()?;
        Some(match trap {
            Trap::OutOfFuel => Self::OutOfFuel,
            Trap::Interrupt => Self::Interrupted,
            Trap::StackOverflow => Self::StackOverflow {
                function: innermost(error),
            },
            // `Trap` grows with the engine; all others are the policy's doing.
            trap => Self::Trapped {
                trap: trap.to_string().replace("wasm trap: ", ""),
                function: innermost(error),
            },
        })
    }
}

/// What the limiter answers a policy that wants more than there is: an error rather than the
/// refusal that WebAssembly knows, so that no policy can see how much the server has.
#[derive(Debug, thiserror::Error)]
#[error("too much {0}")]
pub(crate) struct Grew(pub(crate) &'static str);

fn innermost(error: &wasmtime::Error) -> Option<String> {
    let frames = error.downcast_ref::<WasmBacktrace>()?.frames();
    frames.iter().find_map(|frame| frame.func_name()).map(brief)
}

fn within(function: Option<&str>) -> String {
    function.map_or_else(String::new, |function| format!(" in `{function}`"))
}

fn shorten(text: &str) -> String {
    text.chars().take(TEXT_BYTES).collect()
}
