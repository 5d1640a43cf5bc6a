//! The PostgreSQL that is installed on this machine, and the user that it can run as.
//!
//! `trace up` keeps a cluster of its own with it; tests, benchmarks and chaos make theirs. Nothing here starts
//! anything but `postgres --version`.

mod account;
mod installation;

pub use self::{
    account::{Account, NoAccount},
    installation::{Installation, Missing, OLDEST},
};
