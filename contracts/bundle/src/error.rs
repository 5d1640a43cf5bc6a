//! What is wrong with a bundle.

use crate::{InvalidPath, NotExecutable};

/// What is wrong with a bundle, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not a zip archive that can be read.
    #[error(
        "the bundle is not a readable zip archive: {0}; deploy with `trace deploy`, which packs the folder"
    )]
    Archive(#[from] zip::result::ZipError),
    /// A name is not a plain relative path.
    #[error("the bundle has an entry whose name is not allowed: {0}; rename it")]
    Path(#[from] InvalidPath),
    /// A link, a device, a pipe or a socket.
    #[error(
        "the bundle's `{0}` is neither a file nor a folder; links and devices are not allowed: pack what it \
         points to"
    )]
    Kind(String),
    /// Encrypted.
    #[error("the bundle's `{0}` is encrypted; pack it without a password")]
    Encrypted(String),
    /// Two entries with one name, or names that differ in case only.
    #[error(
        "the bundle has `{0}` twice (names that differ in case only count as the same); rename or remove one"
    )]
    Duplicate(String),
    /// Too many entries.
    #[error("the bundle has more than {0} entries; leave out what the task does not need")]
    Entries(usize),
    /// Too large as it is.
    #[error("the bundle is larger than {0} bytes; declare data as `files` of the job instead")]
    Packed(u64),
    /// Too large once unpacked.
    #[error(
        "the bundle's files are larger than {0} bytes in all, or more than its size allows (a hundred times as \
         much); declare data as `files` of the job instead"
    )]
    Unpacked(u64),
    /// Its main file is not there.
    #[error("the bundle has no `{0}` at its top; add it to the folder of the UDF, and not to one below")]
    NoMain(&'static str),
    /// Its main file can't run.
    #[error("the bundle's `main` can't run: {0}")]
    Executable(#[from] NotExecutable),
}
