//! The attribute `policy` and the derive `Settings` of `writ-policy`, which documents and
//! re-exports them.
//!
//! They read tokens by hand: a parsing library would be the only thing that a policy crate takes
//! from a registry, and most of the time its first build takes.

mod policy;
mod settings;
mod tokens;

use proc_macro::TokenStream;

/// Makes a policy of a function: see the documentation of `writ_policy`.
#[proc_macro_attribute]
pub fn policy(arguments: TokenStream, item: TokenStream) -> TokenStream {
    policy::expand(arguments, item).unwrap_or_else(tokens::Complaint::into_tokens)
}

/// Reads settings into a struct: see the documentation of `writ_policy`.
#[proc_macro_derive(Settings, attributes(setting, settings))]
pub fn settings(item: TokenStream) -> TokenStream {
    settings::expand(item).unwrap_or_else(tokens::Complaint::into_tokens)
}
