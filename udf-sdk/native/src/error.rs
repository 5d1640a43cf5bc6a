//! What can go wrong between rows and a Parquet file.

use std::path::PathBuf;

use crate::{ColumnType, Mismatch};

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why no file was written. Rows count from 1 and leave the header line out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The first line is not a header.
    #[error(
        "the first line must be a header such as {{\"columns\":[{{\"name\":\"day\",\"type\":\"date\"}}]}} \
         (an empty list lets every type be inferred): {0}"
    )]
    Header(#[source] serde_json::Error),
    /// The header or the rows name a column twice, or not at all.
    #[error("{0}")]
    Columns(String),
    /// A line is not a JSON object of scalars.
    #[error("row {row}: {source}")]
    Json {
        /// Which row.
        row: u64,
        /// What the parser says.
        source: serde_json::Error,
    },
    /// A line is longer than any row may be.
    #[error("row {row} is longer than {limit} bytes: split it or write less text in one value")]
    RowTooLong {
        /// Which row.
        row: u64,
        /// The bound.
        limit: usize,
    },
    /// A value does not fit its column.
    #[error("row {row}, column `{column}`: {mismatch}")]
    Value {
        /// Which row.
        row: u64,
        /// Which column.
        column: String,
        /// In what way.
        mismatch: Mismatch,
    },
    /// A value does not fit the type that earlier rows gave its column.
    #[error(
        "row {row}, column `{column}`: {mismatch}; earlier rows made the column {inferred}: make the \
         values alike, or declare the column's type in the schema"
    )]
    Inferred {
        /// Which row.
        row: u64,
        /// Which column.
        column: String,
        /// What the earlier rows made it.
        inferred: ColumnType,
        /// In what way it does not fit.
        mismatch: Mismatch,
    },
    /// A column turns up after the file's columns were settled.
    #[error(
        "row {row} has the column `{column}`, which none of the first {settled} rows has: declare it in \
         the schema, or give it (null will do) in the first row"
    )]
    LateColumn {
        /// Which row.
        row: u64,
        /// Which column.
        column: String,
        /// How many rows settled the columns.
        settled: u64,
    },
    /// There is nothing to make columns of.
    #[error("no rows and no columns: declare the columns in the schema, so that an empty table has some")]
    Nothing,
    /// The output can't be written.
    #[error("can't write {}: {source}", path.display())]
    Write {
        /// Where to.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The input can't be read.
    #[error("can't read the rows: {0}")]
    Read(#[source] std::io::Error),
    /// The Parquet writer failed.
    #[error("can't write Parquet: {0}")]
    Parquet(#[from] parquet::errors::ParquetError),
    /// Arrow refused the columns.
    #[error("can't build the columns: {0}")]
    Arrow(#[from] arrow::error::ArrowError),
}
