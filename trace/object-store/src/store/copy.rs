//! Copies inside the store.

use std::{fs::File, ops::Range, os::unix::fs::FileExt};

use super::{Draft, Opened, Result};

const CHUNK: usize = 1024 * 1024;

impl Draft {
    /// Adds a range of an opened object, in bytes from its start.
    pub(in super::super) fn copy(&mut self, source: &Opened, range: Range<u64>) -> Result<()> {
        self.copy_file(&source.file, range)
    }

    /// Adds a range of a file.
    pub(super) fn copy_file(&mut self, file: &File, range: Range<u64>) -> Result<()> {
        let mut buffer = vec![0; CHUNK];
        let mut at = range.start;
        while at < range.end {
            let length = usize::try_from(range.end - at).map_or(CHUNK, |left| left.min(CHUNK));
            file.read_exact_at(&mut buffer[..length], at)?;
            self.write(&buffer[..length])?;
            at += length as u64;
        }
        Ok(())
    }
}
