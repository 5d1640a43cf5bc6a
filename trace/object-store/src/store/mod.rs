//! Objects on local files: what is under a key is always whole.
//!
//! ```text
//! ROOT/lock                 held while a store runs here
//! ROOT/objects/a/b/c#       the object `a/b/c`; `#` is in no key, so `a/b/c/d` can lie beside it
//! ROOT/drafts/…             what is being written; emptied at start
//! ```
//! Everything here blocks: callers run it on threads for that.

mod copy;
mod dir;
mod draft;
mod format;
mod list;
mod uploads;

pub(super) use draft::{Draft, Whole};
pub(super) use format::{About, Attributes};
pub(super) use list::{Entry, Grouping, Listing, Page};
pub(super) use uploads::{Claimed, PartRecord, Uploads};

use std::{
    fs::{DirBuilder, File},
    hash::{BuildHasher, RandomState},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use nix::fcntl::{Flock, FlockArg};
use trace_contracts::ObjectKey;

use dir::Folder;

/// A file name has at most 255 bytes on Linux, and an object's has a `#` at the end.
const MAX_SEGMENT_BYTES: usize = 250;

/// Keys are spread over so many locks.
const LOCKS: usize = 64;

/// What can go wrong with objects.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("there is no object `{0}`")]
    NotFound(ObjectKey),
    #[error("an object has at most {limit} bytes here")]
    TooLarge { limit: u64 },
    #[error("a segment of a key has at most {MAX_SEGMENT_BYTES} bytes here")]
    SegmentTooLong,
    #[error("the object is not as the condition asks")]
    Precondition,
    #[error("there is no such upload of `{0}`")]
    NoSuchUpload(ObjectKey),
    #[error("part {0} is missing, or is not the one that was uploaded")]
    InvalidPart(i32),
    #[error("the parts must be listed in ascending order")]
    PartOrder,
    #[error("part {0} is too small: all but the last have at least 5 MiB")]
    PartTooSmall(i32),
    #[error("no key starts with that prefix: keys are plain segments joined by `/`")]
    Prefix,
    #[error("too many uploads are open at once; complete or abort some")]
    TooManyUploads,
    #[error("files: {0}")]
    Io(#[from] io::Error),
}

pub(super) type Result<T> = std::result::Result<T, Error>;

/// Why a store can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process serves this folder.
    #[error("another store already runs on {0}: stop it, or use another data folder")]
    InUse(PathBuf),
    /// The folder can't be made or read.
    #[error("{path}: {source}")]
    Io {
        /// The folder.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
}

/// What must hold for the object that a write replaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Replace {
    Anything,
    /// Only where there is none.
    Nothing,
    /// Only where there is one.
    Something,
    /// Only this one.
    Exactly(String),
}

/// The objects below one folder.
pub(super) struct Store {
    objects: Folder,
    drafts: Arc<Folder>,
    locks: [Mutex<()>; LOCKS],
    hasher: RandomState,
    max_object_bytes: u64,
    pub uploads: Uploads,
    _lock: Flock<File>,
}

/// An object that was opened: these bytes stay, whatever is written under the key meanwhile.
pub(super) struct Opened {
    pub file: File,
    pub about: About,
}

impl Store {
    /// Opens the store in `root`, alone, and removes what an earlier process left half-written.
    pub(super) fn open(root: &Path, max_object_bytes: u64) -> std::result::Result<Self, OpenError> {
        let failed = |source| OpenError::Io { path: root.to_owned(), source };
        for folder in ["objects", "drafts"] {
            DirBuilder::new().recursive(true).mode(0o700).create(root.join(folder)).map_err(failed)?;
        }
        let lock = File::create(root.join("lock")).map_err(failed)?;
        let lock = Flock::lock(lock, FlockArg::LockExclusiveNonblock)
            .map_err(|_| OpenError::InUse(root.to_owned()))?;
        let open = || {
            let folder = Folder::root(root)?;
            let drafts = folder.folder("drafts")?;
            for name in drafts.names()? {
                drafts.remove_file(&name)?;
            }
            Ok((folder.folder("objects")?, Arc::new(drafts)))
        };
        let (objects, drafts) = open().map_err(failed)?;
        Ok(Self {
            objects,
            drafts,
            locks: std::array::from_fn(|_| Mutex::new(())),
            hasher: RandomState::new(),
            max_object_bytes,
            uploads: Uploads::default(),
            _lock: lock,
        })
    }

    /// A place to write an object's bytes to.
    pub(super) fn draft(&self) -> Result<Draft> {
        Draft::new(&self.drafts, self.max_object_bytes)
    }

    /// The object under a key.
    pub(super) fn get(&self, key: &ObjectKey) -> Result<Opened> {
        let (folder, name) = place(key)?;
        let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
        let file = self.objects.file(&path).map_err(|error| missing(error, key))?;
        let about = format::read(&file)?;
        Ok(Opened { file, about })
    }

    /// Puts whole bytes under a key, in one step.
    pub(super) fn put(
        &self,
        key: &ObjectKey,
        mut whole: Whole,
        attributes: Attributes,
        replace: &Replace,
    ) -> Result<About> {
        let (folder, name) = place(key)?;
        whole.seal(&attributes)?;
        let modified = whole.file.metadata()?.modified()?;
        let _guard = self.lock(key);
        self.check(key, replace)?;
        // A folder that a deletion just emptied may vanish between these two steps: make it again.
        let mut tries = 8;
        loop {
            let target = self.objects.make_folder(folder);
            let moved =
                target.and_then(|target| whole.place.folder.rename(&whole.place.name, &target, &name));
            match moved {
                Err(error) if error.kind() == io::ErrorKind::NotFound && tries > 0 => tries -= 1,
                result => break result?,
            }
        }
        Ok(About { size: whole.size, etag: whole.etag, modified, attributes })
    }

    /// Removes the object under a key; it is no error when there is none.
    pub(super) fn delete(&self, key: &ObjectKey) -> Result<()> {
        let (folder, name) = place(key)?;
        let _guard = self.lock(key);
        let removed = self.objects.folder(folder).and_then(|at| {
            at.remove_file(&name)?;
            at.sync()
        });
        match removed {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            result => result?,
        }
        self.remove_empty(folder);
        Ok(())
    }

    /// Removes the folders that are empty now, from the innermost on. One that is not empty, or that a
    /// writer is just using, stays.
    fn remove_empty(&self, mut folder: &str) {
        while !folder.is_empty() {
            let (parent, name) = folder.rsplit_once('/').unwrap_or(("", folder));
            let removed = self.objects.folder(parent).and_then(|at| at.remove_folder(name));
            if removed.is_err() {
                return;
            }
            folder = parent;
        }
    }

    fn check(&self, key: &ObjectKey, replace: &Replace) -> Result<()> {
        if *replace == Replace::Anything {
            return Ok(());
        }
        let current = match self.get(key) {
            Ok(opened) => Some(opened.about.etag),
            Err(Error::NotFound(_)) => None,
            Err(error) => return Err(error),
        };
        let holds = match replace {
            Replace::Anything => true,
            Replace::Nothing => current.is_none(),
            Replace::Something => current.is_some(),
            Replace::Exactly(etag) => current.as_ref() == Some(etag),
        };
        if holds { Ok(()) } else { Err(Error::Precondition) }
    }

    /// Changes of one key come one after the other.
    fn lock(&self, key: &ObjectKey) -> std::sync::MutexGuard<'_, ()> {
        let at = self.hasher.hash_one(key) as usize % LOCKS;
        self.locks[at].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The folder of an object and its file's name there.
fn place(key: &ObjectKey) -> Result<(&str, String)> {
    if key.as_str().split('/').any(|segment| segment.len() > MAX_SEGMENT_BYTES) {
        return Err(Error::SegmentTooLong);
    }
    let (folder, name) = key.as_str().rsplit_once('/').unwrap_or(("", key.as_str()));
    Ok((folder, format!("{name}#")))
}

fn missing(error: io::Error, key: &ObjectKey) -> Error {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Error::NotFound(key.clone()),
        _ => Error::Io(error),
    }
}

#[cfg(test)]
mod tests;
