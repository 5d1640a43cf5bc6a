//! Bundles: zip archives from users, read as if they were meant to do harm.
//!
//! The dispatcher reads a bundle when it is deployed, and keeps nothing of it; a worker reads it when it unpacks
//! it. Both read it by this code, entry by entry in the order of its directory, and what is done with an entry
//! is a [`Sink`]'s. Nothing of the `zip` crate's own extraction is used: names are parsed into
//! [`BundlePath`], and what is unpacked is counted while it is unpacked, whatever the archive says about
//! sizes. Reading takes memory for the names, and for one piece of one file.

mod budget;
mod entry;
mod error;
mod executable;
mod main_file;
mod path;
mod rules;

use std::io::{Read, Seek};

use trace_contracts::wire::worker::Language;
use trace_controls::Protection;
use zip::ZipArchive;

use self::{
    budget::MetadataBudget,
    entry::{Entry, Kind, Tree},
    main_file::MainFile,
};
pub use self::{
    error::Error,
    executable::{Machines, NotExecutable, check_head},
    path::{BundlePath, InvalidPath},
    rules::Rules,
};

/// Bytes of a file that are read at a time.
const PIECE_BYTES: usize = 64 * 1024;

/// What is done with what a bundle holds. The first error ends the reading.
pub trait Sink {
    /// What can go wrong.
    type Error: From<Error>;

    /// A folder, which may have been there.
    ///
    /// # Errors
    /// Its own.
    fn folder(&mut self, path: &BundlePath) -> Result<(), Self::Error>;

    /// A file begins.
    ///
    /// # Errors
    /// Its own.
    fn file(&mut self, path: &BundlePath) -> Result<(), Self::Error>;

    /// The next bytes of the file that began last.
    ///
    /// # Errors
    /// Its own.
    fn content(&mut self, bytes: &[u8]) -> Result<(), Self::Error>;

    /// The file that began last is whole.
    ///
    /// # Errors
    /// Its own.
    fn end(&mut self) -> Result<(), Self::Error>;
}

/// Reads a bundle of `packed` bytes from its beginning to its end, and checks that there is something to run in
/// it. Answers the bytes of its files.
///
/// # Errors
/// Says what is wrong; see [`Error`]. What the sink was given by then is a part of the bundle.
pub fn read<R: Read + Seek, S: Sink>(
    archive: R,
    packed: u64,
    language: Language,
    rules: &Rules,
    sink: &mut S,
) -> Result<u64, S::Error> {
    if packed > rules.packed_bytes {
        return Err(Error::Packed(rules.packed_bytes).into());
    }
    let mut zip = open(archive, rules)?;
    let most = rules.unpacked_bytes.min((1 << 20) + packed.saturating_mul(rules.ratio));
    let mut reading = Reading { left: most, rules, main: MainFile::of(language), sink };
    let mut tree = Tree::default();
    for index in 0..zip.len() {
        let mut file = zip.by_index(index).map_err(Error::from)?;
        let entry = Entry::parse(&file.entry(), rules)?;
        tree.insert(&entry, rules)?;
        match entry.kind {
            Kind::Folder => reading.sink.folder(&entry.path)?,
            Kind::File => reading.file(&mut file, &entry.path)?,
        }
    }
    reading.main.check(rules.machines)?;
    Ok(most - reading.left)
}

/// The state of a reading.
struct Reading<'a, S> {
    /// Bytes that may still be unpacked.
    left: u64,
    rules: &'a Rules,
    main: MainFile,
    sink: &'a mut S,
}

impl<S: Sink> Reading<'_, S> {
    fn file(&mut self, file: &mut impl Read, path: &BundlePath) -> Result<(), S::Error> {
        self.sink.file(path)?;
        let is_main = self.main.begins(path);
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            // A checksum or stream that does not hold is the archive's fault.
            let length =
                file.read(&mut piece).map_err(|error| Error::from(zip::result::ZipError::Io(error)))?;
            if length == 0 {
                break;
            }
            let left = self.left.checked_sub(length as u64);
            self.left = left.ok_or(Error::Unpacked(self.rules.unpacked_bytes))?;
            if is_main {
                self.main.content(&piece[..length]);
            }
            self.sink.content(&piece[..length])?;
        }
        self.sink.end()
    }
}

/// Reads the archive's directory, bounded, and refuses one in which two readers could see two things.
fn open<R: Read + Seek>(archive: R, rules: &Rules) -> Result<ZipArchive<MetadataBudget<R>>, Error> {
    let (reader, budget) = MetadataBudget::new(archive, rules.entries);
    let mut zip = ZipArchive::new(reader).map_err(|error| match budget.is_used_up() {
        true => Error::Entries(rules.entries),
        false => error.into(),
    })?;
    budget.lift();
    if zip.len() > rules.entries {
        return Err(Error::Entries(rules.entries));
    }
    // Also catches names that are there twice, entries that overlap (a quine bomb), and local
    // headers that say something else than the directory.
    if (rules.stands)(Protection::BundleDuplicates) && zip.has_duplicate_names() {
        return Err(Error::Duplicate("an entry".to_owned()));
    }
    zip.validate_header_consistency()?;
    Ok(zip)
}

#[cfg(test)]
mod tests;
