//! Plans DAG runs into tasks, leases them, mints capabilities and credentials, keeps the dataset registry.
//!
//! A handler in [`http`] is thin: it proves who calls, parses what was sent and calls one transition
//! in [`task`]. A transition runs in a transaction that its caller owns and touches the database
//! through [`db`] alone. What runs next is decided by the pure [`planner`]; who may still act is
//! decided by [`lease`].

pub mod admission;
pub mod attempt_ids;
pub mod attendance;
pub mod audit;
pub mod authority;
pub mod batcher;
pub mod blobs;
pub mod bootstrap;
pub mod bundles;
pub mod config;
pub mod credentials;
pub mod dag;
pub mod datasets;
pub mod db;
pub mod deploy;
pub mod egress;
pub mod facts;
pub mod grants;
pub mod http;
pub mod identity;
pub mod keys;
pub mod lease;
pub mod liveness;
pub mod mint;
pub mod objects;
pub mod outputs;
pub mod permissions;
pub mod planner;
pub mod queue;
pub mod recent;
pub mod runtimes;
pub mod slots;
pub mod state;
pub mod task;
pub mod tasks;
pub mod users;
pub mod webhooks;
pub mod why;

mod background;
mod service;

pub use config::Config;
pub use credentials::CredentialMinter;
pub use service::{Addresses, Dispatcher, Error, Listeners, open_database, serve, start};
pub use state::{Adapters, App};
