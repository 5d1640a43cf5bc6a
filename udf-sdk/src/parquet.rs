//! Parquet by way of the sandbox's native writer, so that a UDF needs no Arrow.

use std::{
    fs,
    io::{self, BufWriter, Write},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
};

use serde::Serialize;

use crate::{Error, Result, Schema};

/// A file being written by the native writer.
pub struct Writer<'a> {
    child: Child,
    /// Absent once everything was sent.
    pipe: Option<BufWriter<ChildStdin>>,
    path: &'a Path,
    output: &'a str,
}

impl<'a> Writer<'a> {
    /// Starts the writer and sends it the schema.
    pub fn start(program: &Path, path: &'a Path, output: &'a str, schema: &Schema) -> Result<Self> {
        let failed = |source| Error::Io { path: program.to_owned(), source };
        let mut child = Command::new(program)
            .arg(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let pipe = child.stdin.take().map(|pipe| BufWriter::with_capacity(64 * 1024, pipe));
        let mut writer = Self { child, pipe, path, output };
        writer.send(schema, 0)?;
        Ok(writer)
    }

    /// Sends one line; `row` counts from 1. What the writer thinks of it shows at the end.
    pub fn send(&mut self, line: &impl Serialize, row: usize) -> Result<()> {
        // The whole line first, so that a row that can't be serialized never reaches the writer in part.
        let mut text = match serde_json::to_vec(line) {
            Ok(text) => text,
            Err(error) => {
                let output = self.output.to_owned();
                return Err(Error::Unwritable { row, output, problem: error.to_string() });
            }
        };
        text.push(b'\n');
        let Some(pipe) = self.pipe.as_mut() else { return Ok(()) };
        match pipe.write_all(&text) {
            // It has seen enough; its exit says why.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.pipe = None;
                Ok(())
            }
            Err(source) => Err(Error::Io { path: self.path.to_owned(), source }),
            Ok(()) => Ok(()),
        }
    }

    /// Ends the rows and waits for the file.
    pub fn finish(mut self) -> Result<()> {
        if let Some(mut pipe) = self.pipe.take() {
            match pipe.flush() {
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                    return Err(Error::Io { path: self.path.to_owned(), source: error });
                }
                _ => {}
            }
        }
        let failed = |source| Error::Io { path: self.path.to_owned(), source };
        let mut said = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            io::Read::read_to_string(&mut stderr, &mut said).map_err(failed)?;
        }
        let status = self.child.wait().map_err(failed)?;
        if status.success() {
            return Ok(());
        }
        let problem = if said.is_empty() { status.to_string() } else { said.trim_end().to_owned() };
        Err(Error::Refused { output: self.output.to_owned(), problem })
    }
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        // An end of the rows would look like success to the writer, so that it must die before its
        // input ends. A writer that is done has been waited for, and then nothing happens here.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
            let _ = fs::remove_file(self.path);
        }
    }
}
