//! Query results as Arrow record batches.

use std::io::Cursor;

use arrow::{array::RecordBatch, ipc::reader::StreamReader};

use crate::{Context, Error, Plane, Result};

impl Context {
    /// Runs one `SELECT` and reads the result as record batches, of types as the query service has them.
    ///
    /// # Errors
    /// As [`sql`](Self::sql).
    pub fn batches(&self, sql: &str) -> Result<Vec<RecordBatch>> {
        let unsound = |error: arrow::error::ArrowError| Error::Unreachable {
            plane: Plane::Query,
            detail: error.to_string(),
        };
        let reader = StreamReader::try_new(Cursor::new(self.query(sql, "arrow")?), None).map_err(unsound)?;
        reader.map(|batch| batch.map_err(unsound)).collect()
    }
}
