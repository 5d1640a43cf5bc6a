//! An object while it is written: a private file with a running hash, which nobody can read until it
//! is whole, and which is gone when it is dropped before that.

use std::{fs::File, io::Write, sync::Arc};

use rand::RngCore;
use trace_contracts::digest::Sha256Hasher;

use super::{Error, Result, dir::Folder, format, format::Attributes};

/// Bytes on their way.
pub(in super::super) struct Draft {
    file: File,
    place: Place,
    hasher: Sha256Hasher,
    size: u64,
    limit: u64,
}

/// Whole bytes, not yet under a key.
pub(in super::super) struct Whole {
    pub file: File,
    pub size: u64,
    /// The SHA-256 of the bytes, in hexadecimal.
    pub etag: String,
    pub(super) place: Place,
}

/// Where the file lies for now; dropping it removes the file.
pub(super) struct Place {
    pub folder: Arc<Folder>,
    pub name: String,
}

impl Drop for Place {
    fn drop(&mut self) {
        // After a rename there is nothing here any more, which is as good.
        let _ = self.folder.remove_file(&self.name);
    }
}

/// A name that no other file has.
pub(super) fn random_name() -> String {
    let mut random = [0; 16];
    rand::rng().fill_bytes(&mut random);
    hex::encode(random)
}

impl Draft {
    /// An empty file in `folder`, for at most `limit` bytes.
    pub(super) fn new(folder: &Arc<Folder>, limit: u64) -> Result<Self> {
        let name = random_name();
        let file = folder.create(&name)?;
        let place = Place { folder: Arc::clone(folder), name };
        Ok(Self { file, place, hasher: Sha256Hasher::default(), size: 0, limit })
    }

    /// Adds bytes.
    pub(in super::super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.size += bytes.len() as u64;
        if self.size > self.limit {
            return Err(Error::TooLarge { limit: self.limit });
        }
        self.hasher.update(bytes);
        Ok(self.file.write_all(bytes)?)
    }

    /// What has arrived so far, in bytes.
    pub(in super::super) const fn size(&self) -> u64 {
        self.size
    }

    /// No more bytes.
    pub(in super::super) fn finish(self) -> Whole {
        let etag = self.hasher.finish().to_string();
        Whole { file: self.file, size: self.size, etag, place: self.place }
    }
}

impl Whole {
    /// Adds what is known about the bytes and makes them survive a power cut.
    pub(super) fn seal(&mut self, attributes: &Attributes) -> Result<()> {
        self.file.write_all(&format::tail(self.size, &self.etag, attributes)?)?;
        Ok(self.file.sync_all()?)
    }
}
