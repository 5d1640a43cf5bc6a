//! The CSV file, row by row.

use std::{
    cell::Cell,
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
    rc::Rc,
    str,
};

use csv::{ByteRecord, Reader, ReaderBuilder};
use flate2::bufread::MultiGzDecoder;

use super::{Error, Result, Settings};

/// The longest row: a quote that is never closed must not take the whole file into memory.
const MAX_ROW_BYTES: u64 = 16 * 1024 * 1024;
/// Read at a time.
const BUFFER_BYTES: usize = 256 * 1024;

/// An open CSV file and its current row.
pub struct Source {
    path: PathBuf,
    reader: Reader<Bounded>,
    /// What may still be read before the current row ends.
    allowance: Rc<Cell<u64>>,
    header: Vec<String>,
    record: ByteRecord,
}

impl Source {
    /// Opens the file, gzip or plain, and reads its header.
    pub fn open(path: &Path, settings: &Settings) -> Result<Self> {
        let failed = |source| Error::Read { path: path.to_owned(), source };
        let allowance = Rc::new(Cell::new(MAX_ROW_BYTES));
        let bytes = Bounded { inner: decompressed(path).map_err(failed)?, allowance: Rc::clone(&allowance) };
        let reader = ReaderBuilder::new()
            .delimiter(settings.delimiter)
            .has_headers(false)
            .buffer_capacity(BUFFER_BYTES)
            .from_reader(bytes);
        let mut source =
            Self { path: path.to_owned(), reader, allowance, header: Vec::new(), record: ByteRecord::new() };
        source.header = source.read_header()?;
        Ok(source)
    }

    /// The names of the columns; none empty, none twice.
    pub fn header(&self) -> &[String] {
        &self.header
    }

    /// Goes to the next row; `false` at the end.
    pub fn advance(&mut self) -> Result<bool> {
        self.allowance.set(MAX_ROW_BYTES);
        self.reader.read_byte_record(&mut self.record).map_err(|error| self.explain(error))
    }

    /// The line on which the current row begins, from 1; empty lines before it count as its own.
    pub fn line(&self) -> u64 {
        self.record.position().map_or(0, csv::Position::line)
    }

    /// One field of the current row.
    pub fn field(&self, at: usize) -> Result<&str> {
        let bytes = self.record.get(at).unwrap_or_default();
        str::from_utf8(bytes).map_err(|_| Error::Line {
            line: self.line(),
            problem: format!("column `{}` is not UTF-8: convert the file to it", self.header[at]),
        })
    }

    fn read_header(&mut self) -> Result<Vec<String>> {
        if !self.advance()? {
            return Err(Error::Header("the file is empty; its first line must name the columns".to_owned()));
        }
        let mut names: Vec<String> = Vec::with_capacity(self.record.len());
        for field in &self.record {
            let name = str::from_utf8(field).map_err(|_| Error::Header("it is not UTF-8".to_owned()))?;
            if name.is_empty() || names.iter().any(|earlier| earlier == name) {
                return Err(Error::Header(format!("the name `{name}` is empty or there twice")));
            }
            names.push(name.to_owned());
        }
        Ok(names)
    }

    fn explain(&self, error: csv::Error) -> Error {
        let line = error.position().map_or_else(|| self.reader.position().line(), csv::Position::line);
        match error.into_kind() {
            csv::ErrorKind::Io(source) if source.kind() == io::ErrorKind::FileTooLarge => {
                Error::Line { line, problem: source.to_string() }
            }
            csv::ErrorKind::Io(source) => Error::Read { path: self.path.clone(), source },
            csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                Error::Line { line, problem: format!("{len} fields, where the header has {expected_len}") }
            }
            other => Error::Line { line, problem: format!("not CSV: {other:?}") },
        }
    }
}

/// The file's content; gzip is known by its first two bytes.
fn decompressed(path: &Path) -> io::Result<Box<dyn Read>> {
    let mut file = BufReader::with_capacity(BUFFER_BYTES, File::open(path)?);
    let gzip = file.fill_buf()?.starts_with(&[0x1f, 0x8b]);
    Ok(if gzip { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) })
}

/// Stops when a row does not end.
struct Bounded {
    inner: Box<dyn Read>,
    allowance: Rc<Cell<u64>>,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        match self.allowance.get().checked_sub(read as u64) {
            Some(left) => self.allowance.set(left),
            None => {
                let told = format!("a row longer than {MAX_ROW_BYTES} bytes: is a quote not closed?");
                return Err(io::Error::new(io::ErrorKind::FileTooLarge, told));
            }
        }
        Ok(read)
    }
}
