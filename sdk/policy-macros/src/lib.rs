//! The attribute and derive macros of the policy SDK.
//!
//! Nothing is here yet: policies cannot be bound. The crate holds its place in the workspace.
