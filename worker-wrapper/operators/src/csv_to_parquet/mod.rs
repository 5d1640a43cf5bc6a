//! One CSV file to Parquet, or one partition of it.
//!
//! The file is streamed, so that memory is bounded by a row group, whatever its size. Columns whose
//! types are not set take them from a first pass over the whole file, so that every partition of it
//! gets the same ones.

mod error;
mod infer;
mod partition;
mod settings;
mod source;

use std::path::Path;

use trace_udf_native::{ColumnSpec, TableWriter};

pub use error::{Error, Result};
pub use settings::Settings;
use source::Source;

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Done {
    /// Rows of the file.
    pub read: u64,
    /// Rows of the partition.
    pub kept: u64,
    /// Bytes written.
    pub bytes: u64,
}

/// Writes the rows of `partition` (every row when it is `all`) from the CSV at `source`, plain or
/// gzip, to a new Parquet file at `target`, in the file's order.
///
/// # Errors
/// Names the line that is at fault; no file is left then.
pub fn run(settings: &Settings, source: &Path, partition: &str, target: &Path) -> Result<Done> {
    let mut rows = Source::open(source, settings)?;
    let keep = partition::Filter::new(settings, partition, rows.header())?;
    let columns = columns(settings, source, rows.header())?;
    let mut table = TableWriter::create(target, &columns)?;
    let (mut read, mut kept) = (0, 0);
    while rows.advance()? {
        read += 1;
        if keep.keeps(&rows)? {
            kept += 1;
            copy(settings, &rows, &mut table)?;
        }
    }
    Ok(Done { read, kept, bytes: table.finish()?.bytes })
}

/// The columns with their types; reads the file once when one has none set.
fn columns(settings: &Settings, path: &Path, header: &[String]) -> Result<Vec<ColumnSpec>> {
    if let Some(unknown) = settings.columns.keys().find(|name| !header.contains(name)) {
        return Err(Error::NoColumn { setting: "columns", name: unknown.clone(), has: header.join(", ") });
    }
    let inferred = if header.iter().all(|name| settings.columns.contains_key(name)) {
        Vec::new()
    } else {
        infer::types(Source::open(path, settings)?, settings)?
    };
    let spec = |(at, name): (usize, &String)| ColumnSpec {
        name: name.clone(),
        column_type: settings.columns.get(name).copied().or_else(|| inferred.get(at).copied()),
    };
    Ok(header.iter().enumerate().map(spec).collect())
}

fn copy(settings: &Settings, rows: &Source, table: &mut TableWriter) -> Result<()> {
    for (at, column) in table.columns().iter_mut().enumerate() {
        let field = rows.field(at)?;
        if settings.is_null(field) {
            column.push_null();
        } else if let Err(mismatch) = column.push_text(field) {
            let (line, column) = (rows.line(), column.name().to_owned());
            return Err(Error::Value { line, column, mismatch });
        }
    }
    Ok(table.end_row()?)
}
