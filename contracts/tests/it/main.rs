//! What the outside of `trace-contracts` promises.

mod token;
