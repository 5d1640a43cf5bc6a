//! The only way out: a forward proxy that dials vetted addresses of granted destinations.

pub mod config;
pub mod service;

pub use config::Config;
pub use service::{Error, Gateway, start};
