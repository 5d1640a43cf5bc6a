//! The parts that every HTTP service shares, over loopback.

mod authority;
mod client;
mod keys;
mod liveness;
mod readiness;
mod serve;
mod signer;
mod tls;
