//! Bundles: zip archives from users, unpacked as if they were meant to do harm.
//!
//! Nothing of the `zip` crate's own extraction is used. Names are parsed into [`BundlePath`], every
//! file is created anew in a fresh folder, no link is ever made or followed, and what is written is
//! counted while it is written, whatever the archive says about sizes.

mod budget;
mod entry;
mod executable;
mod path;

use std::{
    fs::{self, File, Permissions},
    io::{self, Read},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use trace_contracts::wire::worker::Language;
use trace_controls::{Protection, stands};
use zip::ZipArchive;

use self::{
    budget::MetadataBudget,
    entry::{Entry, Kind, Tree},
};
pub use self::{executable::NotExecutable, path::InvalidPath};

/// Bounds of a bundle.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Files and folders.
    pub entries: usize,
    /// The archive itself, in bytes.
    pub packed_bytes: u64,
    /// All files together, in bytes.
    pub unpacked_bytes: u64,
    /// Unpacked bytes for each byte of the archive; the first MiB is free.
    pub ratio: u64,
}

impl Default for Limits {
    fn default() -> Self {
        let slack = if stands(Protection::BundleBounds) { 1 } else { 100 };
        Self {
            entries: 10_000 * slack as usize,
            packed_bytes: 256 << 20,
            unpacked_bytes: 1 << 30,
            ratio: 100 * slack,
        }
    }
}

/// What is wrong with a bundle.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not a zip archive that can be read.
    #[error("the bundle is not a readable zip archive: {0}")]
    Archive(#[from] zip::result::ZipError),
    /// A name is not a plain relative path.
    #[error("the bundle has an entry whose name is not allowed: {0}")]
    Path(#[from] InvalidPath),
    /// A link, a device, a pipe or a socket.
    #[error("the bundle's `{0}` is neither a file nor a folder; links and devices are not allowed")]
    Kind(String),
    /// Encrypted.
    #[error("the bundle's `{0}` is encrypted")]
    Encrypted(String),
    /// Two entries with one name, or names that differ in case only.
    #[error("the bundle has `{0}` twice (names that differ in case only count as the same)")]
    Duplicate(String),
    /// Too many entries.
    #[error("the bundle has more than {0} entries")]
    Entries(usize),
    /// Too large as it is.
    #[error("the bundle is larger than {0} bytes")]
    Packed(u64),
    /// Too large once unpacked.
    #[error("the bundle's files are larger than {0} bytes in all, or more than its size allows")]
    Unpacked(u64),
    /// Its main file is not there.
    #[error("the bundle has no `{0}` at its top")]
    NoMain(&'static str),
    /// Its main file can't run here.
    #[error("the bundle's `main` can't run: {0}")]
    Executable(#[from] NotExecutable),
    /// This machine's disk.
    #[error("unpacking to {path}: {source}")]
    Disk {
        /// What was written.
        path: std::path::PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl Error {
    /// Whether it is this machine's fault, not the bundle's.
    #[must_use]
    pub const fn is_ours(&self) -> bool {
        matches!(self, Self::Disk { .. })
    }
}

/// Unpacks `archive` into `folder`, which is created and must not exist, and checks that there is
/// something to run. Files are readable and not writable, and `main` is executable. Answers the
/// bytes written. On an error, `folder` holds a part and is the caller's to remove.
///
/// # Errors
/// Says what is wrong; see [`Error`].
pub fn unpack(archive: File, folder: &Path, language: Language, limits: Limits) -> Result<u64, Error> {
    let packed = archive.metadata().map_err(disk(folder))?.len();
    if packed > limits.packed_bytes {
        return Err(Error::Packed(limits.packed_bytes));
    }
    let mut zip = open(archive, limits)?;
    let mut left = limits.unpacked_bytes.min((1 << 20) + packed.saturating_mul(limits.ratio));
    create_folder(folder)?;
    let mut tree = Tree::default();
    let before = left;
    for index in 0..zip.len() {
        let mut file = zip.by_index(index)?;
        let entry = Entry::parse(&file.entry())?;
        tree.insert(&entry)?;
        let target = folder.join(entry.path.as_path());
        match entry.kind {
            Kind::Folder => create_folder(&target)?,
            Kind::File => left -= write(&mut file, &entry, &target, left, limits)?,
        }
    }
    check(folder, language)?;
    Ok(before - left)
}

/// Checks that an unpacked bundle has something to run.
///
/// # Errors
/// When its main file is missing, or can't run here.
pub fn check(folder: &Path, language: Language) -> Result<(), Error> {
    let main = match language {
        Language::Python => "main.py",
        Language::Rust => "main",
    };
    let path = folder.join(main);
    if !fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_file()) {
        return Err(Error::NoMain(main));
    }
    match language {
        Language::Python => Ok(()),
        Language::Rust => Ok(executable::check(&path)?),
    }
}

/// Reads the archive's directory, bounded, and refuses one in which two readers could see two things.
fn open(archive: File, limits: Limits) -> Result<ZipArchive<MetadataBudget<File>>, Error> {
    let (reader, budget) = MetadataBudget::new(archive, limits.entries);
    let mut zip = ZipArchive::new(reader).map_err(|error| match budget.is_used_up() {
        true => Error::Entries(limits.entries),
        false => error.into(),
    })?;
    budget.lift();
    if zip.len() > limits.entries {
        return Err(Error::Entries(limits.entries));
    }
    // Also catches names that are there twice, entries that overlap (a quine bomb), and local
    // headers that say something else than the directory.
    if stands(Protection::BundleDuplicates) && zip.has_duplicate_names() {
        return Err(Error::Duplicate("an entry".to_owned()));
    }
    zip.validate_header_consistency()?;
    Ok(zip)
}

fn write(
    file: &mut impl Read,
    entry: &Entry,
    target: &Path,
    left: u64,
    limits: Limits,
) -> Result<u64, Error> {
    if let Some(parent) = target.parent() {
        create_folder(parent)?;
    }
    let mut written = File::create_new(target).map_err(disk(target))?;
    let mut buffer = vec![0; 64 * 1024];
    let mut total = 0;
    loop {
        // A checksum or stream that does not hold is the archive's fault.
        let length = file.read(&mut buffer).map_err(zip::result::ZipError::Io)?;
        if length == 0 {
            break;
        }
        total += length as u64;
        if total > left {
            return Err(Error::Unpacked(limits.unpacked_bytes));
        }
        io::Write::write_all(&mut written, &buffer[..length]).map_err(disk(target))?;
    }
    // The archive has no say in this; and a set-user-id bit least of all.
    let mode = if entry.path.is("main") { 0o555 } else { 0o444 };
    written.set_permissions(Permissions::from_mode(mode)).map_err(disk(target))?;
    Ok(total)
}

/// Creates a folder, and those above it that are missing, for the sandbox's user to read whatever
/// the umask is.
fn create_folder(folder: &Path) -> Result<(), Error> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent() {
        create_folder(parent)?;
    }
    fs::create_dir(folder).map_err(disk(folder))?;
    fs::set_permissions(folder, Permissions::from_mode(0o755)).map_err(disk(folder))
}

fn disk(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Disk { path, source }
}

#[cfg(test)]
mod tests;
