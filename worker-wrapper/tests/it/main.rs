//! The wrapper against a dispatcher and an object store that are as unreliable as the real ones, over
//! real HTTP; and the sandbox against programs that mean harm.

mod attempts;
#[path = "../../../contracts/plane/tests/it/authority.rs"]
mod authority;
mod dispatcher;
mod fake_launcher;
mod faults;
mod harness;
mod local;
mod real;
mod sandbox;
mod wakeups;
