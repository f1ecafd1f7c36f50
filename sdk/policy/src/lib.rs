//! The SDK for Writ's policies.
//!
//! A policy is a small WebAssembly module that the server asks before it signs a token. It sees the
//! request and its settings, and says *allow*, perhaps with less than was asked for, or *deny*. It
//! can do nothing else: no network, no files, no clock. So it is fast, it cannot leak anything, and
//! the same question always has the same answer.
//!
//! # A complete policy
//!
//! ```
//! use writ_policy::prelude::*;
//!
//! /// Gives scopes that write to callers inside the listed networks only.
//! #[writ_policy::policy(reads("net.ip"), codes("outside_network"))]
//! pub fn evaluate(request: &Request, settings: &MySettings) -> Result<Outcome, Fault> {
//!     let ip = request.attributes.ip("net.ip")?;
//!     if settings.networks.iter().any(|network| network.contains(ip)) {
//!         return allow(request).into();
//!     }
//!     let harmless = allow(request)
//!         .retain_scopes(|scope| scope.ends_with(":read"))
//!         .at_most(settings.lifetime_outside)
//!         .note("ip", ip.to_string());
//!     if harmless.scopes().is_empty() {
//!         return deny("outside_network")
//!             .reason(format!("{ip} is in none of the networks"))
//!             .into();
//!     }
//!     harmless.into()
//! }
//!
//! #[derive(Settings)]
//! pub struct MySettings {
//!     /// Where tokens may write.
//!     networks: Vec<Network>,
//!     /// How many seconds a token lives elsewhere.
//!     #[setting(default = 300)]
//!     lifetime_outside: u32,
//! }
//!
//! // In `mod tests`, as a #[test]:
//! fn outside_it_can_only_read() {
//!     let request = writ_policy::testing::request()
//!         .scopes(["courses:publish", "courses:read"])
//!         .attribute("net.ip", "203.0.113.9")
//!         .build();
//!     let settings = MySettings {
//!         networks: vec![Network::from_text("10.0.0.0/8").unwrap()],
//!         lifetime_outside: 60,
//!     };
//!     let outcome = evaluate(&request, &settings).unwrap();
//!     let granted = writ_policy::testing::granted(&request, &outcome).unwrap();
//!     assert_eq!(granted.scopes, ["courses:read"]);
//!     assert_eq!(granted.lifetime_seconds, 60);
//! }
//! # fn main() { outside_it_can_only_read() }
//! ```
//!
//! `writ policy new NAME` makes a crate like this one, which builds and tests at once and without a
//! network. Everything in it is ordinary Rust: `cargo test` runs natively, `cargo build --release
//! --target wasm32-unknown-unknown` makes the module, and `writ policy push` brings it to the
//! server.
//!
//! # What a policy gets
//!
//! [`Request`] is all it may know. `scopes` and `lifetime_seconds` are the most that can be
//! granted; `application` has the labels and roles that administrators gave it
//! ([`Application::label`], [`Application::has_role`]); `apis` are the API resources the token is
//! for; `attributes` are facts about the request.
//!
//! A policy gets only those attributes that it names in `reads(..)`, and only these are recorded:
//! so nobody keeps an IP address that no policy judges by. The module [`attribute`] lists what a
//! server offers. Read them with [`Lookup`]:
//!
//! ```
//! # use writ_policy::prelude::*;
//! # fn f(request: &Request) -> Result<(), Fault> {
//! let ip = request.attributes.ip("net.ip")?;               // not known: a fault, which denies
//! let agent = request.attributes.find("http.user_agent");  // not known: None
//! # Ok(()) }
//! ```
//!
//! # What it answers
//!
//! [`allow`] and [`deny`], with what their builders add, and `.into()` at the end. The server holds
//! a policy to three things, whatever the code does: scopes are a subset and the lifetime is no
//! longer than in the request; claims are those named in `claims(..)`, which the binding permits
//! and which are not reserved; a denial's code is one of `codes(..)`. Anything else is a fault, and
//! a fault denies. So does a panic, an endless loop, or more than 4 MiB.
//!
//! When several policies judge a token, none sees what another said: one denial denies, scopes are
//! those that all leave, the shortest lifetime counts.
//!
//! # Settings
//!
//! One module serves many bindings, each with values of its own. Derive [`Settings`] for a struct;
//! a field is one setting, its doc comment is what `writ policy inspect` prints:
//!
//! ```
//! # use writ_policy::prelude::*;
//! #[derive(Settings)]
//! #[settings(check = Hours::check)]
//! struct Hours {
//!     /// First hour. (No default: it has to be given. `#[setting(required)]` says so too.)
//!     from: u32,
//!     #[setting(default = 18, doc = "the hour after the last")]
//!     until: u32,
//!     /// Scopes that are not given outside of these hours.
//!     #[setting(name = "scopes", default = ["*"])]
//!     restricted: Vec<ScopePattern>,
//!     /// Left out: `None`.
//!     label: Option<String>,
//! }
//!
//! impl Hours {
//!     /// What no field can say by itself. A wrong setting is refused when it is bound, not when
//!     /// a token is due.
//!     fn check(&self) -> Result<(), Problem> {
//!         if self.from < self.until && self.until <= 24 {
//!             Ok(())
//!         } else {
//!             Err(Problem::new("until", "must be after `from`, and 24 at most"))
//!         }
//!     }
//! }
//! # assert_eq!(Hours::schema().len(), 4);
//! # assert!(Hours::read(&[Named::new("from", 8)]).is_ok());
//! # assert_eq!(Hours::read(&[Named::new("from", 20)]).err().unwrap()[0].setting, "until");
//! ```
//!
//! The types that a field can have are in [`settings`]; an own type implements
//! [`FromText`](settings::FromText).
//!
//! # The arguments of `#[policy(..)]`
//!
//! | argument | meaning |
//! |---|---|
//! | `reads("net.ip", ..)` | attributes it gets |
//! | `codes("outside_network", ..)` | codes it can deny with |
//! | `claims("tenant", ..)` | claims it can add |
//! | `name = ".."` | its name; the package's, unless given |
//!
//! Its version is the package's, its documentation that of the function.
//!
//! # Testing
//!
//! The module [`testing`] has a builder for requests, and runs case files: `cases/*.toml` say what
//! is asked and what the answer must be, in a form that the people who approve a policy can read.
//! `cargo test` runs them natively, `writ policy test` through the server's own engine.
//!
//! # Rules of the house
//!
//! - A policy is deterministic. There is no clock but `request.at`, and no randomness; a `HashMap`
//!   is seeded the same in every sandbox, but a `BTreeMap` is smaller.
//! - It may use a million units of fuel, which is about a millisecond. An ordinary policy uses
//!   3,000 to 15,000; `writ policy test` prints it.
//! - Memory is never given back: a sandbox lives for one verdict. 4 MiB is the limit.
//! - `format!` adds some 10 KB to the module; `[a, b].concat()` does not.

pub mod attribute;
#[rustfmt::skip]
#[doc(hidden)]
#[expect(
    unsafe_code,
    unused_qualifications,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::unwrap_used,
    reason = "generated"
)]
pub mod bindings;
mod fault;
pub mod guest;
pub mod net;
mod outcome;
#[expect(unsafe_code, reason = "the generated bindings need a runtime")]
mod rt;
mod scope;
pub mod settings;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
mod value;

pub use writ_policy_macros::{Settings, policy};

pub use bindings::exports::writ::policy::evaluator::{Descriptor, Problem, Setting, SettingKind};
pub use bindings::writ::policy::types::{
    Api, Application, Decision, Denial, Grant, Named, Note, Outcome, Request, Subject, Value,
};
pub use fault::Fault;
pub use outcome::{Allow, Deny, allow, deny};
pub use scope::ScopePattern;
pub use settings::Settings;
pub use value::Lookup;

/// What a policy's source begins with: `use writ_policy::prelude::*;`.
pub mod prelude {
    pub use crate::net::{Ip, Network};
    pub use crate::settings::{FromText, Json};
    pub use crate::{
        Decision, Fault, Lookup, Named, Outcome, Problem, Request, ScopePattern, Settings, Value,
        allow, deny,
    };
}

/// The contract, as the server reads it.
pub const WIT: &str = include_str!("../wit/policy.wit");

/// A policy, for tests and for the glue: the attribute `policy` implements it.
pub trait Policy {
    /// Its settings.
    type Settings: Settings;

    /// What it says about itself.
    fn descriptor() -> Descriptor;

    /// Its verdict.
    ///
    /// # Errors
    /// Why it cannot judge, which denies.
    fn evaluate(request: &Request, settings: &Self::Settings) -> Result<Outcome, Fault>;
}
