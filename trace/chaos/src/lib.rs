//! Breaks a whole platform in every way that a seed says, and checks that nothing was lost and nothing
//! came twice. `docs/chaos.md` says what breaks, what is checked, and how to repeat a seed.
//!
//! ```text
//! dice ─► plan ─► faults ──► supervise, shim, disk, proxy
//!      ─► dag  ─► run ─────► platform ─► service (processes)
//!                  └───────► check
//! ```

mod behaviour;
mod check;
mod client;
mod cluster;
mod dag;
mod dice;
mod disk;
mod faults;
mod plan;
mod platform;
mod progress;
mod proxy;
mod rolling;
mod run;
pub mod service;
mod shim;
mod supervise;
mod wait;
mod weather;
mod workshop;

pub use rolling::{Rolled, rolling_restart};
pub use run::{Options, Outcome, run};
pub use workshop::Workshop;
