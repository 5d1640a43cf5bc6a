//! Why a CSV file did not become Parquet.

use std::path::PathBuf;

use trace_udf_native::Mismatch;

/// A result of this operator.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why there is no Parquet file. Lines count from 1, the header included.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The job's `with:` is wrong.
    #[error("`with:` of csv_to_parquet: {0}")]
    Settings(String),
    /// A setting names a column that the file does not have.
    #[error("`with: {setting}` names the column `{name}`, which the file does not have: it has {has}")]
    NoColumn {
        /// Which setting.
        setting: &'static str,
        /// Which column.
        name: String,
        /// The file's columns.
        has: String,
    },
    /// The job is partitioned and the operator was not told by what.
    #[error(
        "the task is partition `{0}`, and nothing says which rows that is: set `with: {{partition: {{year: \
         COLUMN, month: COLUMN}}}}` or `with: {{partition: {{equals: COLUMN}}}}`"
    )]
    Unpartitioned(String),
    /// The partition's key is not a month.
    #[error(
        "the partition `{0}` is not a month such as 2013-01, which `with: {{partition: {{year, month}}}}` needs"
    )]
    NotAMonth(String),
    /// A row belongs to no partition.
    #[error(
        "line {line}, column `{column}`: `{found}` is not a {part}, so that the row belongs to no partition"
    )]
    NoPartition {
        /// Which line.
        line: u64,
        /// Which column.
        column: String,
        /// What it holds.
        found: String,
        /// Year or month.
        part: &'static str,
    },
    /// A value does not fit its column.
    #[error("line {line}, column `{column}`: {mismatch}")]
    Value {
        /// Which line.
        line: u64,
        /// Which column.
        column: String,
        /// In what way.
        mismatch: Mismatch,
    },
    /// The header is no header.
    #[error("the header line: {0}")]
    Header(String),
    /// The file is not CSV.
    #[error("line {line}: {problem}")]
    Line {
        /// Which line.
        line: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// The file can't be read.
    #[error("can't read {}: {source}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The Parquet file can't be written.
    #[error(transparent)]
    Write(#[from] trace_udf_native::Error),
}
