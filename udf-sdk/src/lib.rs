//! What the author of a Rust UDF imports.
//!
//! ```no_run
//! use serde::{Deserialize, Serialize};
//! use std::process::ExitCode;
//!
//! #[derive(Serialize, Deserialize)]
//! struct Delay {
//!     origin: String,
//!     delay: Option<f64>,
//! }
//!
//! fn main() -> ExitCode {
//!     trace_udf::run(|ctx| {
//!         let rows: Vec<Delay> =
//!             ctx.sql("SELECT origin, avg(dep_delay) AS delay FROM flights GROUP BY origin")?;
//!         ctx.write("delays", &rows)?;
//!         Ok(())
//!     })
//! }
//! ```
//!
//! Everything here is blocking. A UDF holds no credentials of its own: the [`Context`] shows the
//! attempt's capability to the platform and nothing else has any authority.
#![cfg_attr(
    feature = "arrow",
    doc = "\nWith the feature `arrow`, [`Context::batches`] reads record batches."
)]

#[cfg(feature = "arrow")]
mod batches;
mod checkpoint;
mod config;
mod context;
mod credentials;
mod deliver;
mod error;
mod http;
mod output;
mod parquet;
mod renewal;
mod result;
mod run;
mod schema;
mod text;
mod time;
mod tokens;

pub use context::{Context, Row};
pub use credentials::{Credentials, ObjectAddress, Objects, Secret, Session};
pub use error::{Error, Plane, Result};
pub use run::{Failure, run};
pub use schema::{Schema, Type};
