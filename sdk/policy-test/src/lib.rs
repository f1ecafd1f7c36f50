//! Runs a policy's case files through the real engine.
//!
//! Nothing is here yet: policies cannot be bound. The crate holds its place in the workspace.
