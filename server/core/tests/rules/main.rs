//! The rules of Writ, from outside: what each command means, why it is refused, who may ask it,
//! what the token path answers, what holds in any history, and what events look like when stored.

mod authority;
mod authorize;
mod codec;
mod commands;
mod history;
mod protection;
mod refusals;
mod registration;
