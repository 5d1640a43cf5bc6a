//! Claims tasks, launches them confined, heartbeats, captures logs and completes.
//!
//! ```text
//! wakeups ─► claim ─► attempt: stage ─► launcher ─► logs, outputs ─► completions
//!                       leases: heartbeat, kill what lost its lease
//! ```
//!
//! The wrapper decides nothing about retries and holds no credentials but its own identity; what it
//! does for a task, it does with that task's capability.

mod attempt;
mod cache;
mod claim;
mod completions;
pub mod config;
mod dispatcher;
pub mod egress;
mod health;
pub mod launcher;
mod leases;
pub mod local;
mod logs;
pub mod sandbox;
pub mod secrets;
mod slots;
mod task_api;
pub mod wakeups;
mod worker;
mod workspace;

/// What `trace/fuzz` reaches that nobody else does.
#[cfg(fuzzing)]
pub mod fuzzing {
    pub use crate::{
        attempt::bundle::{Error as BundleError, unpack},
        sandbox::forward,
    };
}

use trace_plane::backoff;

pub use config::Config;
pub use worker::{Error, run, run_with};
