//! The sandbox that policies run in, and the only crate that may name wasmtime.
//!
//! Nothing is here yet: no policy can be bound. The step that will call it is in the token path
//! from the first token on (`judge` in `server/app`).
