//! The parts that every HTTP service shares, over loopback.

mod client;
mod keys;
mod liveness;
mod serve;
mod signer;
