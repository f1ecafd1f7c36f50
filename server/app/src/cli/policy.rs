//! `writ policy …`: code that judges tokens. What authors do at their own machines is in `local` and
//! `run`; `modules` has what a server keeps, `bindings` what it asks about which tokens. `reference`
//! reads what people call a policy or a binding.

mod bindings;
mod describe;
mod file;
mod inspect;
mod local;
mod modules;
mod reference;
mod run;

use clap::Subcommand;

use super::Failure;
use super::output::Out;

pub use bindings::SettingOptions;
pub use describe::{answer, verdict};
pub use file::{module, read};

#[derive(Subcommand, Debug)]
pub enum Policy {
    New(local::New),
    Build(local::Build),
    Check(local::Check),
    Test(local::Test),
    Run(run::Run),
    Inspect(inspect::Inspect),
    Push(modules::Push),
    List(modules::List),
    Remove(modules::Remove),
    Bind(Box<bindings::Bind>),
    Bindings(bindings::Bindings),
    Binding(bindings::Show),
    Rebind(Box<bindings::Rebind>),
    Unbind(bindings::Unbind),
    Rollback(bindings::Rollback),
}

impl Policy {
    /// Runs the verb.
    pub fn run(self, out: &mut Out) -> Result<(), Failure> {
        match self {
            Self::New(verb) => verb.run(out),
            Self::Build(verb) => verb.run(out),
            Self::Check(verb) => verb.run(out),
            Self::Test(verb) => verb.run(out),
            Self::Run(verb) => verb.run(out),
            Self::Inspect(verb) => verb.run(out),
            Self::Push(verb) => verb.run(out),
            Self::List(verb) => verb.run(out),
            Self::Remove(verb) => verb.run(out),
            Self::Bind(verb) => verb.run(out),
            Self::Bindings(verb) => verb.run(out),
            Self::Binding(verb) => verb.run(out),
            Self::Rebind(verb) => verb.run(out),
            Self::Unbind(verb) => verb.run(out),
            Self::Rollback(verb) => verb.run(out),
        }
    }
}
