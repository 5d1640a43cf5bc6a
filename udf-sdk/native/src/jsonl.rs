//! JSON lines in, one Parquet file out.
//!
//! The first line is a header: `{"columns":[{"name":"day","type":"date"},{"name":"delay"}]}`. The
//! columns it names come first and in its order; a type may be left out, and so may every column.
//! Each further line is one row. The first rows settle what the header leaves open, and then memory
//! stays bounded, however many rows follow.

use std::{collections::HashMap, io::BufRead, path::Path};

use serde::Deserialize;

use crate::{
    Column, ColumnSpec, ColumnType, Error, Mismatch, Result, TableWriter, Written,
    infer::Shown,
    row::{self, Scalar},
};

/// The longest line, header included.
const MAX_LINE_BYTES: usize = 16 * 1024 * 1024;
/// Columns are settled after this many rows, or this many bytes of them.
const SETTLE_ROWS: u64 = 65_536;
const SETTLE_BYTES: usize = 16 * 1024 * 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    columns: Vec<ColumnSpec>,
}

/// Reads a header and rows from `input` and writes them to a new file at `path`.
///
/// # Errors
/// Names the row and column of whatever does not fit; nothing is left at `path` then.
pub fn convert(input: impl BufRead, path: &Path) -> Result<Written> {
    let mut lines = Lines { input, row: 0, line: Vec::new() };
    lines.advance()?;
    let header: Header = serde_json::from_slice(&lines.line).map_err(Error::Header)?;
    let mut window = Window::new(header.columns)?;
    while !window.is_settled() && lines.advance()? {
        window.add(lines.row, &lines.line)?;
    }
    let (specs, declared) = window.settle();
    let mut table = TableWriter::create(path, &specs)?;
    let mut filler = Filler::new(&specs, declared, window.rows);
    for (row, line) in (1..).zip(window.lines()) {
        filler.fill(&mut table, row, line)?;
    }
    drop(window);
    while lines.advance()? {
        filler.fill(&mut table, lines.row, &lines.line)?;
    }
    table.finish()
}

/// Lines of bounded length.
struct Lines<R> {
    input: R,
    /// The row that `line` holds; 0 is the header.
    row: u64,
    line: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    /// Reads the next line; `false` at the end.
    fn advance(&mut self) -> Result<bool> {
        use std::io::Read;
        let first = self.row == 0 && self.line.is_empty();
        self.row += u64::from(!first);
        self.line.clear();
        let mut bounded = self.input.by_ref().take(MAX_LINE_BYTES as u64 + 1);
        let read = bounded.read_until(b'\n', &mut self.line).map_err(Error::Read)?;
        if read > MAX_LINE_BYTES {
            return Err(Error::RowTooLong { row: self.row, limit: MAX_LINE_BYTES });
        }
        Ok(read > 0)
    }
}

/// The first rows, kept as they came until they have shown every column's type.
struct Window {
    names: Vec<String>,
    index: HashMap<String, usize>,
    /// Absent for a column whose type is declared.
    shown: Vec<Option<Shown>>,
    declared: Vec<Option<ColumnType>>,
    text: Vec<u8>,
    rows: u64,
}

impl Window {
    fn new(specs: Vec<ColumnSpec>) -> Result<Self> {
        let mut window = Self {
            names: Vec::new(),
            index: HashMap::new(),
            shown: Vec::new(),
            declared: Vec::new(),
            text: Vec::new(),
            rows: 0,
        };
        for ColumnSpec { name, column_type } in specs {
            if window.index.contains_key(&name) {
                return Err(Error::Columns(format!("the header has the column `{name}` twice")));
            }
            window.add_column(name, column_type);
        }
        Ok(window)
    }

    fn add_column(&mut self, name: String, declared: Option<ColumnType>) -> usize {
        let at = self.names.len();
        self.index.insert(name.clone(), at);
        self.names.push(name);
        self.declared.push(declared);
        self.shown.push(declared.is_none().then(Shown::default));
        at
    }

    const fn is_settled(&self) -> bool {
        self.rows >= SETTLE_ROWS || self.text.len() >= SETTLE_BYTES
    }

    fn add(&mut self, row: u64, line: &[u8]) -> Result<()> {
        row::read(line, |name, value| self.note(row, &name, &value))
            .map_err(|source| Error::Json { row, source })??;
        self.rows = row;
        self.text.extend_from_slice(line);
        if !line.ends_with(b"\n") {
            self.text.push(b'\n');
        }
        Ok(())
    }

    fn note(&mut self, row: u64, name: &str, value: &Scalar<'_>) -> Result<()> {
        let at = match self.index.get(name) {
            Some(at) => *at,
            None => self.add_column(name.to_owned(), None),
        };
        let Some(shown) = &mut self.shown[at] else { return Ok(()) };
        *shown = shown.with(value).map_err(|inferred| Error::Inferred {
            row,
            column: name.to_owned(),
            inferred,
            mismatch: Mismatch { found: describe(value), expected: inferred },
        })?;
        Ok(())
    }

    /// The columns as they are from now on, and which of them were declared.
    fn settle(&self) -> (Vec<ColumnSpec>, Vec<bool>) {
        let spec = |at: usize| ColumnSpec {
            name: self.names[at].clone(),
            column_type: self.declared[at].or_else(|| self.shown[at].map(Shown::settle)),
        };
        let declared = self.declared.iter().map(Option::is_some).collect();
        ((0..self.names.len()).map(spec).collect(), declared)
    }

    fn lines(&self) -> impl Iterator<Item = &[u8]> {
        self.text.split_inclusive(|byte| *byte == b'\n')
    }
}

/// Puts rows into a table whose columns are settled.
struct Filler {
    index: HashMap<String, usize>,
    declared: Vec<bool>,
    /// The last row that each column has a value of.
    filled: Vec<u64>,
    /// How many rows settled the columns.
    settled: u64,
}

impl Filler {
    fn new(specs: &[ColumnSpec], declared: Vec<bool>, settled: u64) -> Self {
        let index = specs.iter().enumerate().map(|(at, spec)| (spec.name.clone(), at)).collect();
        Self { index, declared, filled: vec![0; specs.len()], settled }
    }

    fn fill(&mut self, table: &mut TableWriter, row: u64, line: &[u8]) -> Result<()> {
        let columns = table.columns();
        // Rows have their cells in the same order as a rule, which saves looking the names up.
        let mut next = 0;
        row::read(line, |name, value| {
            let at = if columns.get(next).is_some_and(|column| column.name() == name) {
                next
            } else {
                self.locate(row, &name)?
            };
            next = at + 1;
            if self.filled[at] == row {
                return Err(Error::Columns(format!("row {row} has the column `{name}` twice")));
            }
            self.filled[at] = row;
            push(&mut columns[at], &value).map_err(|mismatch| self.misfit(row, &columns[at], at, mismatch))
        })
        .map_err(|source| Error::Json { row, source })??;
        for (column, filled) in columns.iter_mut().zip(&self.filled) {
            if *filled != row {
                column.push_null();
            }
        }
        table.end_row()
    }

    fn locate(&self, row: u64, name: &str) -> Result<usize> {
        self.index.get(name).copied().ok_or_else(|| Error::LateColumn {
            row,
            column: name.to_owned(),
            settled: self.settled,
        })
    }

    fn misfit(&self, row: u64, column: &Column, at: usize, mismatch: Mismatch) -> Error {
        let name = column.name().to_owned();
        if self.declared[at] {
            return Error::Value { row, column: name, mismatch };
        }
        Error::Inferred { row, column: name, inferred: column.column_type(), mismatch }
    }
}

fn push(column: &mut Column, value: &Scalar<'_>) -> Result<(), Mismatch> {
    match value {
        Scalar::Null => {
            column.push_null();
            Ok(())
        }
        Scalar::Bool(value) => column.push_bool(*value),
        Scalar::Int(value) => column.push_int(*value),
        Scalar::Float(value) => column.push_float(*value),
        // JSON has numbers and truth values of its own, so that a text is one only by mistake.
        Scalar::Text(_)
            if matches!(column.column_type(), ColumnType::Bool | ColumnType::Int64 | ColumnType::Float64) =>
        {
            Err(column.mismatch(describe(value)))
        }
        Scalar::Text(text) => column.push_text(text),
    }
}

/// The value as an error shows it.
fn describe(value: &Scalar<'_>) -> String {
    match value {
        Scalar::Null => "null".to_owned(),
        Scalar::Bool(value) => value.to_string(),
        Scalar::Int(value) => value.to_string(),
        Scalar::Float(value) => value.to_string(),
        Scalar::Text(text) => format!("the text `{}`", text.chars().take(80).collect::<String>()),
    }
}
