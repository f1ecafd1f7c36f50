//! What a policy author will use: the contract with the server, and builders for its answers.
//!
//! Nothing is here yet: policies cannot be bound. The crate holds its place in the workspace.
