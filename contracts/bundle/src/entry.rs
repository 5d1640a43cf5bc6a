//! One entry of an archive, and all of them together.

use std::collections::{HashMap, hash_map};

use trace_controls::Protection;
use zip::read::ZipFileEntry;

use crate::{BundlePath, Error, Rules};

/// The part of a Unix mode that says what a file is, and the two kinds that are allowed.
const TYPE_MASK: u32 = 0o170_000;
const TYPE_FILE: u32 = 0o100_000;
const TYPE_FOLDER: u32 = 0o040_000;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Folder,
}

/// An entry with a safe name and kind.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) path: BundlePath,
    pub(crate) kind: Kind,
}

impl Entry {
    pub(crate) fn parse(unverified: &ZipFileEntry<'_>, rules: &Rules) -> Result<Self, Error> {
        let name = unverified.name_raw();
        let (name, kind) = match name.strip_suffix(b"/") {
            Some(folder) => (folder, Kind::Folder),
            None => (name, Kind::File),
        };
        let path = BundlePath::parse(name, rules)?;
        if unverified.encrypted() {
            return Err(Error::Encrypted(path.as_str().to_owned()));
        }
        // Whatever system the archive claims to come from: the bits are where Unix keeps its mode.
        match (unverified.external_attributes() >> 16 & TYPE_MASK, kind) {
            (0, _) | (TYPE_FILE, Kind::File) | (TYPE_FOLDER, Kind::Folder) => Ok(Self { path, kind }),
            _ if !(rules.stands)(Protection::BundleKinds) => Ok(Self { path, kind }),
            _ => Err(Error::Kind(path.as_str().to_owned())),
        }
    }
}

/// The paths of a bundle, folders that are only implied included.
#[derive(Default)]
pub(crate) struct Tree {
    /// By the path in lower case: how it is spelt, and what it is.
    paths: HashMap<String, (String, Kind)>,
}

impl Tree {
    /// Adds an entry and the folders above it.
    pub(crate) fn insert(&mut self, entry: &Entry, rules: &Rules) -> Result<(), Error> {
        if !(rules.stands)(Protection::BundleDuplicates) {
            return Ok(());
        }
        for parent in entry.path.parents() {
            self.insert_one(parent, Kind::Folder)?;
        }
        self.insert_one(entry.path.as_str(), entry.kind)
    }

    fn insert_one(&mut self, path: &str, kind: Kind) -> Result<(), Error> {
        match self.paths.entry(path.to_lowercase()) {
            hash_map::Entry::Vacant(free) => {
                free.insert((path.to_owned(), kind));
            }
            // A folder may be named by each entry in it, always in the same spelling.
            hash_map::Entry::Occupied(known)
                if *known.get() == (path.to_owned(), Kind::Folder) && kind == Kind::Folder => {}
            hash_map::Entry::Occupied(_) => return Err(Error::Duplicate(path.to_owned())),
        }
        Ok(())
    }
}
