//! The trusted operators that run inside the sandbox.
//!
//! An operator gets what a UDF gets and is confined like one; it is trusted only in that the platform
//! ships it. Its settings are the job's `with:`.

pub mod csv_to_parquet;

/// The operators by the name that a DAG knows them by.
pub const NAMES: [&str; 1] = ["csv_to_parquet"];
