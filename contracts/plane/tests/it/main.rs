//! The parts that every HTTP service shares, over loopback.

mod keys;
mod liveness;
mod serve;
mod signer;
