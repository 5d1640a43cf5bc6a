//! Read-only SQL over exactly the datasets of a token, in engine processes.
//!
//! ```text
//! http ─► asking ─► catalog (grants → manifests → presigned addresses)
//!                └► pool ─► engine process: gate ─► provider ─► store ─► encode
//!                └► audit, then the answer
//! ```
//! The service holds tokens, manifests and the store's keys, and never looks at SQL or data. The
//! engines look at SQL and data, and hold nothing.

mod asking;
mod audit;
mod catalog;
pub mod config;
mod decimals;
pub mod direct;
mod encode;
pub mod engine;
#[cfg(fuzzing)]
pub mod fuzzing;
mod gate;
mod http;
pub mod local;
mod org_limit;
mod pool;
mod presign;
mod projections;
mod provider;
mod pushdown;
mod semi_joins;
pub mod service;
mod session;
mod store;
#[cfg(test)]
mod testing;
mod turns;

pub use config::Config;
pub use service::{Error, Service, start};
