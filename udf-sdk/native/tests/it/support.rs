//! Converting text and reading the file back.

use std::fs::{self, File};

use arrow::{array::RecordBatch, compute::concat_batches, util::pretty::pretty_format_batches};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tempfile::TempDir;
use trace_udf_native::{Error, convert};

/// What `lines` become, as one batch.
pub fn written(lines: &str) -> RecordBatch {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("out.parquet");
    convert(lines.as_bytes(), &path).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(&path).unwrap()).unwrap();
    let schema = reader.schema().clone();
    let batches: Vec<_> = reader.build().unwrap().map(Result::unwrap).collect();
    concat_batches(&schema, &batches).unwrap()
}

/// Types and rows, as a person reads them.
pub fn shown(lines: &str) -> String {
    let batch = written(lines);
    let types: Vec<_> =
        batch.schema().fields().iter().map(|f| format!("{}: {}", f.name(), f.data_type())).collect();
    format!("{}\n{}", types.join(", "), pretty_format_batches(&[batch]).unwrap())
}

/// Why `lines` are refused; no file may be left.
pub fn refused(lines: &str) -> Error {
    let folder = TempDir::new().unwrap();
    let error = convert(lines.as_bytes(), &folder.path().join("out.parquet")).unwrap_err();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "half a file is left after: {error}");
    error
}
