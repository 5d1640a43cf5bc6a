//! The command line, and `trace up`: the whole platform in one process.
//!
//! ```text
//! cli ─► client ─► connection          every command that talks to a platform
//!  ├──► pack                           what deploy and `udf test` send or run
//!  ├──► output                         tables, JSON, progress, errors with their lines
//!  ├──► up ─► embedded                 a platform on this machine
//!  └──► udf_test                       one UDF in the sandbox, without a platform
//! ```

pub mod cli;
pub mod client;
pub mod connection;
pub mod embedded;
pub mod output;
pub mod pack;
pub mod sdk;
pub mod token;
pub mod tools;
pub mod udf_test;
pub mod up;
