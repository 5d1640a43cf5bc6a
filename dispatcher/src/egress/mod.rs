//! What a DAG may reach outside: an admin's rules over what it declares.
//!
//! Nothing is allowed unless a rule allows it, and a rule that denies beats every one that allows. It is
//! decided when a DAG is deployed, so that its author hears of it, and again whenever a capability is signed:
//! that decision is the one that counts.

mod declared;
mod policy;

pub use declared::check;
pub use policy::{Policies, Policy, Verdict};
