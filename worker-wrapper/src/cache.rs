//! Content that attempts share: files as they were fetched, bundles unpacked.
//!
//! An entry is made once, however many attempts ask for it at the same time, and it is whole or not
//! there. It is removed from the disk when nobody uses it and the cache has let go of it. Orgs share
//! nothing: whether an org holds some content can't be told from how fast it is there.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::OnceCell;
use trace_contracts::{OrgId, Sha256, wire::worker::Language};

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    /// Whose.
    pub org: OrgId,
    /// The content's name.
    pub sha256: Sha256,
    /// In which form.
    pub form: Form,
}

/// The forms that content is kept in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// A file, byte by byte.
    File,
    /// A folder, unpacked from a bundle of Python code.
    PythonBundle,
    /// A folder, unpacked from a bundle with an executable.
    RustBundle,
}

impl From<Language> for Form {
    fn from(language: Language) -> Self {
        match language {
            Language::Python => Self::PythonBundle,
            Language::Rust => Self::RustBundle,
        }
    }
}

/// An entry on the disk. It stays there as long as this does.
#[derive(Debug)]
pub struct Entry {
    path: PathBuf,
    bytes: u64,
}

impl Entry {
    /// Where it lies: a file or a folder, which nobody may change.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "a cached entry stays on the disk until the next start");
        }
    }
}

/// Removes a file or a whole folder; one that is not there is removed already.
///
/// # Errors
/// When the disk refuses.
pub fn remove(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// The cache.
#[derive(Debug)]
pub struct Cache {
    folder: PathBuf,
    max_bytes: u64,
    shelves: Mutex<Shelves>,
}

#[derive(Debug, Default)]
struct Shelves {
    shelves: HashMap<Key, Shelf>,
    /// Counts uses, and entries made; both only ever grow.
    uses: u64,
}

#[derive(Debug, Default)]
struct Shelf {
    entry: Arc<OnceCell<Arc<Entry>>>,
    last_used: u64,
}

impl Cache {
    /// A cache in `folder`, which exists and is empty.
    #[must_use]
    pub fn new(folder: PathBuf, max_bytes: u64) -> Self {
        Self { folder, max_bytes, shelves: Mutex::default() }
    }

    /// The entry of this key. Where there is none, `make` makes it at the path that it is given and
    /// answers its size in bytes; others that ask meanwhile wait for it.
    ///
    /// # Errors
    /// What `make` fails with; nothing stays of the attempt to make it.
    pub async fn get<E>(
        &self,
        key: Key,
        make: impl AsyncFnOnce(&Path) -> Result<u64, E>,
    ) -> Result<Arc<Entry>, E> {
        let (cell, number) = self.shelf(key);
        let made = cell.get_or_try_init(async || {
            let name = format!("{}-{}-{number}", key.org, key.sha256);
            // From here on, whatever lies at the path goes away with this.
            let mut entry = Entry { path: self.folder.join(name), bytes: 0 };
            entry.bytes = make(&entry.path).await?;
            Ok(Arc::new(entry))
        });
        let entry = Arc::clone(made.await?);
        self.evict(key);
        Ok(entry)
    }

    fn shelf(&self, key: Key) -> (Arc<OnceCell<Arc<Entry>>>, u64) {
        let mut shelves = self.shelves();
        shelves.uses += 1;
        let use_number = shelves.uses;
        let shelf = shelves.shelves.entry(key).or_default();
        shelf.last_used = use_number;
        (Arc::clone(&shelf.entry), use_number)
    }

    /// Lets go of what was not used for the longest time, until the rest fits.
    fn evict(&self, keep: Key) {
        let mut evicted = Vec::new();
        let mut shelves = self.shelves();
        while shelves.bytes() > self.max_bytes
            && let Some(oldest) = shelves.oldest(keep)
        {
            evicted.extend(shelves.shelves.remove(&oldest));
        }
        drop(shelves);
        // Removed from the disk here, unless an attempt still uses it.
        drop(evicted);
    }

    fn shelves(&self) -> MutexGuard<'_, Shelves> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelves {
    fn bytes(&self) -> u64 {
        self.shelves.values().filter_map(|shelf| shelf.entry.get()).map(|entry| entry.bytes).sum()
    }

    fn oldest(&self, keep: Key) -> Option<Key> {
        let made = self.shelves.iter().filter(|(key, shelf)| **key != keep && shelf.entry.initialized());
        made.min_by_key(|(_, shelf)| shelf.last_used).map(|(key, _)| *key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(org: i64, content: &[u8]) -> Key {
        Key { org: OrgId::from_db(org), sha256: Sha256::of(content), form: Form::File }
    }

    async fn get(cache: &Cache, key: Key, content: &[u8]) -> Arc<Entry> {
        let make = async |path: &Path| {
            fs::write(path, content)?;
            Ok::<_, io::Error>(content.len() as u64)
        };
        cache.get(key, make).await.unwrap()
    }

    fn on_disk(folder: &Path) -> usize {
        fs::read_dir(folder).unwrap().count()
    }

    #[tokio::test]
    async fn an_entry_is_made_once_and_each_org_has_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path().to_owned(), 1000);
        let (one, two) = tokio::join!(get(&cache, key(1, b"x"), b"x"), get(&cache, key(1, b"x"), b"x"));
        assert_eq!(one.path(), two.path());
        let other = get(&cache, key(2, b"x"), b"x").await;
        assert_ne!(one.path(), other.path());
        assert_eq!(on_disk(folder.path()), 2);
    }

    #[tokio::test]
    async fn the_oldest_goes_first_and_not_under_an_attempt_that_uses_it() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path().to_owned(), 10);
        let used = get(&cache, key(1, b"aaaaaa"), b"aaaaaa").await;
        drop(get(&cache, key(1, b"bbbb"), b"bbbb").await);
        drop(get(&cache, key(1, b"cccccc"), b"cccccc").await);
        assert_eq!(fs::read(used.path()).unwrap(), b"aaaaaa", "in use, although evicted");
        assert_eq!(on_disk(folder.path()), 3);
        drop(used);
        assert_eq!(on_disk(folder.path()), 2);
    }

    #[tokio::test]
    async fn what_could_not_be_made_leaves_nothing_and_is_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path().to_owned(), 10);
        let half = async |path: &Path| {
            fs::create_dir(path)?;
            fs::write(path.join("half"), b"x")?;
            Err(io::Error::other("broken off"))
        };
        assert!(cache.get(key(1, b"x"), half).await.is_err());
        assert_eq!(on_disk(folder.path()), 0);
        get(&cache, key(1, b"x"), b"x").await;
    }
}
