//! What a task leaves behind.

use std::{
    fs::File,
    io::BufWriter,
    path::{Path, PathBuf},
};

use serde::Serialize;

use crate::{
    Context, Error, Result, Schema,
    parquet::Writer,
    text::{CsvWriter, JsonWriter, RowError},
};

impl Context {
    /// Writes rows (structs or maps of numbers, texts, truth values and `Option`s of them) as
    /// `NAME.parquet`, which becomes part of the task's output when the task succeeds.
    ///
    /// # Errors
    /// [`Error::Refused`] when the rows do not make one table.
    pub fn write<T: Serialize>(&self, name: &str, rows: impl IntoIterator<Item = T>) -> Result<()> {
        self.write_as(name, &Schema::new(), rows)
    }

    /// The same with declared columns, for dates, times and decimals, and for what may be empty.
    ///
    /// # Errors
    /// As [`write`](Self::write), and when a value does not fit its declared type.
    pub fn write_as<T: Serialize>(
        &self,
        name: &str,
        schema: &Schema,
        rows: impl IntoIterator<Item = T>,
    ) -> Result<()> {
        let path = self.output_path(name, "parquet")?;
        let mut writer = Writer::start(&self.config.writer, &path, name, schema)?;
        for (row, value) in (1..).zip(rows) {
            writer.send(&value, row)?;
        }
        writer.finish()
    }

    /// Writes rows as `NAME.csv`. Tables are made of Parquet only; this is for people and programs
    /// that fetch the file.
    ///
    /// # Errors
    /// When a row has other fields than the first one, or holds lists.
    pub fn write_csv<T: Serialize>(&self, name: &str, rows: impl IntoIterator<Item = T>) -> Result<()> {
        let path = self.output_path(name, "csv")?;
        let mut csv = CsvWriter::new(create(&path)?);
        for (row, value) in (1..).zip(rows) {
            csv.row(&value).map_err(|error| unwritable(&path, name, row, error))?;
        }
        csv.finish().map_err(|source| Error::Io { path, source })
    }

    /// Writes rows as `NAME.json`, one array with a row on each line.
    ///
    /// # Errors
    /// When a row can't be serialized.
    pub fn write_json<T: Serialize>(&self, name: &str, rows: impl IntoIterator<Item = T>) -> Result<()> {
        let path = self.output_path(name, "json")?;
        let mut json = JsonWriter::new(create(&path)?);
        for (row, value) in (1..).zip(rows) {
            json.row(&value).map_err(|error| unwritable(&path, name, row, error))?;
        }
        json.finish().map_err(|source| Error::Io { path, source })
    }

    fn output_path(&self, name: &str, extension: &str) -> Result<PathBuf> {
        let sound = (1..=100).contains(&name.len())
            && !name.starts_with('.')
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
        if !sound {
            return Err(Error::Name(name.chars().take(120).collect()));
        }
        Ok(self.config.output_dir.join(format!("{name}.{extension}")))
    }
}

fn create(path: &Path) -> Result<BufWriter<File>> {
    let file = File::create_new(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
    Ok(BufWriter::new(file))
}

fn unwritable(path: &Path, name: &str, row: usize, error: RowError) -> Error {
    match error {
        RowError::Io(source) => Error::Io { path: path.to_owned(), source },
        other => Error::Unwritable { row, output: name.to_owned(), problem: other.to_string() },
    }
}
