//! Planes against a dispatcher that the test plays.

mod liveness;
mod serve;
