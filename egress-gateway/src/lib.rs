//! The only way out: a forward proxy that dials vetted addresses of granted destinations, and what sends
//! deliveries to webhooks.
//!
//! ```text
//! proxy ─► credentials (capability, lives) ─► target ─► budget (granted, something left)
//!       ─► vetting: policy ─► resolve, once ─► policy ─► Vetted ─► audit ─► dial
//!       ─► tunnel: hello (ClientHello names the host) ─► relay     or     forward: headers ─► body
//!
//! deliver ─► claim (what is due, signed) ─► vetting ─► audit ─► dial ─► TLS ─► POST ─► report
//! ```
//! Services of the platform ask providers outside through [`rpc`], on a listener of its own.
//!
//! A caller is believed for what its capability grants and for nothing else. A destination is dialled by an
//! address that was judged, never by its name.

mod audit;
mod budget;
pub mod check;
pub mod config;
mod credentials;
mod deliver;
pub mod dial;
mod hello;
pub mod policy;
mod proxy;
mod relay;
pub mod resolve;
pub mod rpc;
pub mod service;
pub mod services;
pub mod vetting;

pub use config::Config;
pub use service::{Error, Gateway, start};
