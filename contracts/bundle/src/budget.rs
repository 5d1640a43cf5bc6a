//! A bound on how much of an archive is read before its entries can be counted.

use std::{
    io::{self, Read, Seek, SeekFrom},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::path::MAX_PATH_BYTES;

/// What the directory of an archive holds for one entry besides its name: its fixed part and a few
/// extra fields.
const ENTRY_BYTES: u64 = 256;

/// The end record with the longest comment, and room for how it is searched for.
const END_BYTES: u64 = 512 * 1024;

/// A reader that fails once it has given what the directory of so many entries could take.
pub(crate) struct MetadataBudget<R> {
    inner: R,
    left: Budget,
}

/// The bytes that may still be read.
#[derive(Clone)]
pub(crate) struct Budget(Arc<AtomicU64>);

const LIFTED: u64 = u64::MAX;

impl<R> MetadataBudget<R> {
    pub(crate) fn new(inner: R, entries: usize) -> (Self, Budget) {
        let bytes = END_BYTES + entries as u64 * (ENTRY_BYTES + MAX_PATH_BYTES as u64);
        let left = Budget(Arc::new(AtomicU64::new(bytes)));
        (Self { inner, left: left.clone() }, left)
    }
}

impl Budget {
    /// From now on everything may be read.
    pub(crate) fn lift(&self) {
        self.0.store(LIFTED, Ordering::Relaxed);
    }

    pub(crate) fn is_used_up(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }

    fn spend(&self, bytes: usize) -> io::Result<()> {
        let left = self.0.load(Ordering::Relaxed);
        if left == LIFTED {
            return Ok(());
        }
        let rest = left.saturating_sub(bytes as u64);
        self.0.store(rest, Ordering::Relaxed);
        if rest == 0 { Err(io::Error::other("the archive's directory is too long")) } else { Ok(()) }
    }
}

impl<R: Read> Read for MetadataBudget<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.left.spend(length)?;
        Ok(length)
    }
}

impl<R: Seek> Seek for MetadataBudget<R> {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.inner.seek(position)
    }
}
