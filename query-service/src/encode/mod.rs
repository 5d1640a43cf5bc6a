//! Results as bytes, within their bounds.

mod arrow;
mod csv;
mod json;
mod plain;

use std::{io, sync::Arc};

use datafusion::{
    arrow::{array::RecordBatch, datatypes::SchemaRef, error::ArrowError},
    error::DataFusionError,
    execution::SendableRecordBatchStream,
};
use futures::TryStreamExt;
use serde::{Deserialize, Serialize};
use trace_contracts::wire::task::QueryFormat;

/// Bounds of one result.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Bounds {
    /// Rows.
    pub(crate) rows: u64,
    /// Bytes, in the form that is sent.
    pub(crate) bytes: u64,
}

/// A result in the form that is sent.
#[derive(Debug)]
pub(crate) struct Encoded {
    pub(crate) rows: u64,
    pub(crate) bytes: Vec<u8>,
}

/// Why a result can't be sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the result has more than {0} rows; add a LIMIT, a filter or an aggregate")]
    Rows(u64),
    #[error("the result has more than {0} bytes; select fewer columns or rows")]
    Bytes(u64),
    #[error("the result can't be written in this format: {0}")]
    Format(String),
    #[error(transparent)]
    Query(#[from] DataFusionError),
}

/// A form of results: takes batches, and gives back the buffer at the end.
trait Writer {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), Error>;
    fn finish(self: Box<Self>) -> Result<Vec<u8>, Error>;
}

/// Runs the query to its end, or to the first bound it reaches.
pub(crate) async fn encode(
    mut batches: SendableRecordBatchStream,
    format: QueryFormat,
    bounds: Bounds,
) -> Result<Encoded, Error> {
    let schema = plain::schema(&batches.schema());
    let mut writer = writer(format, Arc::clone(&schema), Buffer::new(bounds.bytes))?;
    let mut rows = 0;
    while let Some(batch) = batches.try_next().await? {
        rows += batch.num_rows() as u64;
        if rows > bounds.rows {
            return Err(Error::Rows(bounds.rows));
        }
        writer.write(&plain::batch(&batch, &schema)?)?;
    }
    Ok(Encoded { rows, bytes: writer.finish()? })
}

fn writer(format: QueryFormat, schema: SchemaRef, buffer: Buffer) -> Result<Box<dyn Writer + Send>, Error> {
    Ok(match format {
        QueryFormat::Json => Box::new(json::Json::new(&schema, buffer)?),
        QueryFormat::Csv => Box::new(csv::Csv::new(&schema, buffer)?),
        QueryFormat::Arrow => Box::new(arrow::Stream::new(&schema, buffer)?),
    })
}

/// Memory that refuses to grow past its bound.
#[derive(Debug)]
struct Buffer {
    bytes: Vec<u8>,
    bound: u64,
    refused: Option<Full>,
}

/// The cause of an I/O error that is none: the bound was reached.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("more than {0} bytes")]
struct Full(u64);

impl Buffer {
    fn new(bound: u64) -> Self {
        Self { bytes: Vec::new(), bound, refused: None }
    }

    /// Fails once it has refused to grow.
    fn is_within(&self) -> Result<(), Error> {
        self.refused.map_or(Ok(()), |full| Err(full.into()))
    }
}

impl io::Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if (self.bytes.len() + bytes.len()) as u64 > self.bound {
            let full = Full(self.bound);
            self.refused = Some(full);
            return Err(io::Error::other(full));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl From<Full> for Error {
    fn from(full: Full) -> Self {
        Self::Bytes(full.0)
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        match error.get_ref().and_then(|cause| cause.downcast_ref::<Full>()) {
            Some(full) => (*full).into(),
            None => Self::Format(error.to_string()),
        }
    }
}

impl From<ArrowError> for Error {
    fn from(error: ArrowError) -> Self {
        match error {
            ArrowError::IoError(_, error) => error.into(),
            error => Self::Format(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use datafusion::{
        arrow::{
            array::Int64Array,
            datatypes::{DataType, Field, Schema},
        },
        physical_plan::stream::RecordBatchStreamAdapter,
    };
    use futures::stream;

    use super::*;

    fn numbers(count: i64) -> SendableRecordBatchStream {
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
        let column = Arc::new(Int64Array::from_iter_values(0..count));
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![column]).unwrap();
        Box::pin(RecordBatchStreamAdapter::new(schema, stream::iter([Ok(batch)])))
    }

    #[tokio::test]
    async fn every_format_stops_at_its_bounds() {
        for format in [QueryFormat::Json, QueryFormat::Csv, QueryFormat::Arrow] {
            let roomy = Bounds { rows: 100, bytes: 10_000 };
            let encoded = encode(numbers(100), format, roomy).await.unwrap();
            assert_eq!(encoded.rows, 100);
            let verdict = encode(numbers(101), format, roomy).await;
            assert!(matches!(verdict, Err(Error::Rows(100))), "{format:?}: {verdict:?}");
            let verdict = encode(numbers(100), format, Bounds { rows: 100, bytes: 50 }).await;
            assert!(matches!(verdict, Err(Error::Bytes(50))), "{format:?}: {verdict:?}");
        }
    }

    /// More than any writer holds back for itself, so that the bound is met in the middle of a batch.
    #[tokio::test]
    async fn every_format_says_which_bound_stopped_it() {
        for format in [QueryFormat::Json, QueryFormat::Csv, QueryFormat::Arrow] {
            let verdict = encode(numbers(100_000), format, Bounds { rows: 100_000, bytes: 100_000 }).await;
            assert!(matches!(verdict, Err(Error::Bytes(100_000))), "{format:?}: {verdict:?}");
        }
    }
}
