//! How Trace's own code writes Parquet inside the sandbox.
//!
//! The binary `trace-udf-native` turns JSON lines into one Parquet file, so that an SDK in any
//! language needs no Arrow of its own. The trusted operators use [`TableWriter`] and [`Column`]
//! directly, so that every file of the platform has the same layout.

mod column;
mod error;
mod infer;
mod jsonl;
mod row;
mod table;
mod types;

pub use column::{Column, Mismatch};
pub use error::{Error, Result};
pub use jsonl::convert;
pub use table::{TableWriter, Written};
pub use types::{ColumnSpec, ColumnType, InvalidType};
