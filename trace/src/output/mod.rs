//! What people and programs see.
//!
//! Results go to standard output: a table for people, or with `--json` one JSON document and
//! nothing else. Everything else (progress, hints, errors) goes to standard error.

pub mod diagnostics;
pub mod progress;
pub mod run;
pub mod table;
pub mod text;

use std::io::{self, Write as _};

use serde::Serialize;

/// How a command answers on standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// For people.
    Table,
    /// For programs: one document.
    Json,
}

/// Writes one JSON document.
///
/// # Errors
/// When standard output can't be written to.
pub fn json<T: Serialize>(value: &T) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, value)?;
    out.write_all(b"\n")
}

/// Writes one line for people; `text` must be [printable](text::printable).
///
/// # Errors
/// When standard output can't be written to.
pub fn line(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.write_all(b"\n")
}
