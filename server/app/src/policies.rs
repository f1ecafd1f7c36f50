//! Policies, as the server asks them.

/// The one argument by which this program is asked to be the compiling process of another one.
pub const COMPILE_CHILD: &str = "policy-compile-child";
