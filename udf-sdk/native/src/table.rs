//! A Parquet file under construction.

use std::{
    fs::{self, File},
    io::BufWriter,
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow::{
    array::{ArrayRef, RecordBatch},
    datatypes::{Schema, SchemaRef},
};
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression, ZstdLevel},
    file::properties::{EnabledStatistics, WriterProperties},
};

use crate::{Column, ColumnSpec, ColumnType, Error, Result};

/// Rows that are handed to the encoder at a time.
const BATCH_ROWS: usize = 8192;
/// Rows of a row group: what one reading thread takes, and the grain at which statistics skip.
const ROW_GROUP_ROWS: usize = 128 * 1024;
/// Encoded bytes of a row group, which bounds the writer's memory when rows are wide.
const ROW_GROUP_BYTES: usize = 32 * 1024 * 1024;

/// Writes rows to one file, holding at most a row group in memory.
///
/// A file that is not [finished](Self::finish) is removed, so that half a table is never an output.
pub struct TableWriter {
    path: PathBuf,
    schema: SchemaRef,
    columns: Vec<Column>,
    pending: usize,
    rows: u64,
    /// Absent once it is closed.
    parquet: Option<ArrowWriter<BufWriter<File>>>,
}

/// What a finished file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Rows.
    pub rows: u64,
    /// Bytes.
    pub bytes: u64,
}

impl TableWriter {
    /// Creates the file; a column without a type holds text.
    ///
    /// # Errors
    /// When the columns have no names or share one, or the file exists or can't be created.
    pub fn create(path: &Path, specs: &[ColumnSpec]) -> Result<Self> {
        check_names(specs)?;
        let columns: Vec<_> = specs
            .iter()
            .map(|spec| Column::new(spec.name.clone(), spec.column_type.unwrap_or(ColumnType::Utf8)))
            .collect();
        let schema = Arc::new(Schema::new(columns.iter().map(Column::field).collect::<Vec<_>>()));
        let file = File::create_new(path).map_err(|source| Error::Write { path: path.to_owned(), source })?;
        let parquet = ArrowWriter::try_new(BufWriter::new(file), Arc::clone(&schema), Some(properties()))?;
        Ok(Self { path: path.to_owned(), schema, columns, pending: 0, rows: 0, parquet: Some(parquet) })
    }

    /// The columns, to add one value to each before [`end_row`](Self::end_row).
    pub fn columns(&mut self) -> &mut [Column] {
        &mut self.columns
    }

    /// Ends a row, of which every column has got its value.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn end_row(&mut self) -> Result<()> {
        self.rows += 1;
        self.pending += 1;
        if self.pending == BATCH_ROWS { self.flush() } else { Ok(()) }
    }

    /// Writes what is left and closes the file.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn finish(mut self) -> Result<Written> {
        self.flush()?;
        if let Some(parquet) = self.parquet.as_mut() {
            parquet.finish()?;
        }
        let bytes = fs::metadata(&self.path)
            .map_err(|source| Error::Write { path: self.path.clone(), source })?
            .len();
        self.parquet = None;
        Ok(Written { rows: self.rows, bytes })
    }

    fn flush(&mut self) -> Result<()> {
        let values: Vec<ArrayRef> = self.columns.iter_mut().map(Column::take).collect();
        self.pending = 0;
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), values)?;
        match self.parquet.as_mut() {
            Some(parquet) if batch.num_rows() > 0 => Ok(parquet.write(&batch)?),
            _ => Ok(()),
        }
    }
}

impl Drop for TableWriter {
    fn drop(&mut self) {
        if self.parquet.take().is_some() {
            // Nothing can be done about a file that can't be removed, and the task fails anyway.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Zstandard for size at a speed that no task notices; statistics for each page, so that readers skip
/// within row groups too.
fn properties() -> WriterProperties {
    WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
        .set_created_by(concat!("trace ", env!("CARGO_PKG_VERSION")).to_owned())
        .build()
}

fn check_names(specs: &[ColumnSpec]) -> Result<()> {
    const MAX_COLUMNS: usize = 2000;
    if specs.is_empty() {
        return Err(Error::Nothing);
    }
    if specs.len() > MAX_COLUMNS {
        return Err(Error::Columns(format!("{} columns: a table has at most {MAX_COLUMNS}", specs.len())));
    }
    let mut names: Vec<_> = specs.iter().map(|spec| spec.name.as_str()).collect();
    names.sort_unstable();
    if names[0].is_empty() {
        return Err(Error::Columns("a column has an empty name: name every column".to_owned()));
    }
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(Error::Columns(format!("the column `{}` is there twice", pair[0]))),
        None => Ok(()),
    }
}
