//! Listing: a walk over the folders in the order of the keys, which starts where the prefix leads and
//! skips what lies before the last page's end.

use std::ops::ControlFlow;

use trace_contracts::ObjectKey;

use super::{Error, Result, Store, dir::Folder, format, format::About};

/// What to list.
#[derive(Debug, Clone)]
pub(in super::super) struct Listing {
    /// What keys start with.
    pub prefix: String,
    /// Whether keys that share a next segment are given as that one folder (the delimiter `/`).
    pub grouping: Grouping,
    /// Only what comes after this key or folder.
    pub after: String,
    /// Entries at most.
    pub limit: usize,
}

/// How keys are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Grouping {
    /// Every key.
    Flat,
    /// Keys of the next folder's level, and folders.
    Folders,
}

/// One entry.
pub(in super::super) enum Entry {
    Object(ObjectKey, About),
    /// Ends in `/`.
    Folder(String),
}

/// What was found, in order.
#[derive(Default)]
pub(in super::super) struct Page {
    pub entries: Vec<Entry>,
    /// Where the next page starts, if there is more.
    pub next: Option<String>,
}

impl Store {
    /// Lists objects.
    pub(in super::super) fn list(&self, listing: &Listing) -> Result<Page> {
        let mut page = Page::default();
        let folder = listing.prefix.rsplit_once('/').map_or("", |(folder, _)| folder);
        let start = match self.objects.folder(folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(page),
            result => result?,
        };
        let at = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        if listing.limit > 0 {
            // Breaking off early is how a full page ends.
            let _ = walk(&start, &at, listing, &mut page)?;
        }
        Ok(page)
    }
}

/// A name in a folder, as it sorts among keys.
enum Name {
    Object(String),
    Folder(String),
}

impl Name {
    fn sort_key(&self) -> &str {
        match self {
            Self::Object(key) | Self::Folder(key) => key,
        }
    }
}

/// The names in the folder `at` in the order of their keys: an object's name is its key, a folder's
/// ends in `/`, and no key lies between a folder's keys.
fn sorted(folder: &Folder, at: &str) -> Result<Vec<Name>> {
    let mut names: Vec<_> = folder
        .names()?
        .into_iter()
        .map(|name| match name.strip_suffix('#') {
            Some(object) => Name::Object(format!("{at}{object}")),
            None => Name::Folder(format!("{at}{name}/")),
        })
        .collect();
    names.sort_by(|a, b| a.sort_key().cmp(b.sort_key()));
    Ok(names)
}

fn walk(folder: &Folder, at: &str, listing: &Listing, page: &mut Page) -> Result<ControlFlow<()>> {
    for name in sorted(folder, at)? {
        let flow = match &name {
            Name::Object(key) => object(folder, at, key, listing, page)?,
            Name::Folder(path) => subfolder(folder, at, path, listing, page)?,
        };
        if flow.is_break() {
            return Ok(flow);
        }
    }
    Ok(ControlFlow::Continue(()))
}

fn object(
    folder: &Folder,
    at: &str,
    key: &str,
    listing: &Listing,
    page: &mut Page,
) -> Result<ControlFlow<()>> {
    if !key.starts_with(&listing.prefix) || key <= listing.after.as_str() {
        return Ok(ControlFlow::Continue(()));
    }
    let Ok(key) = key.parse::<ObjectKey>() else { return Ok(ControlFlow::Continue(())) };
    let file = match folder.file(&format!("{}#", &key.as_str()[at.len()..])) {
        // Deleted since the folder was read.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(ControlFlow::Continue(())),
        result => result?,
    };
    let about = format::read(&file)?;
    Ok(push(page, listing, Entry::Object(key, about)))
}

fn subfolder(
    folder: &Folder,
    at: &str,
    path: &str,
    listing: &Listing,
    page: &mut Page,
) -> Result<ControlFlow<()>> {
    let (prefix, after) = (listing.prefix.as_str(), listing.after.as_str());
    let relevant = path.starts_with(prefix) || prefix.starts_with(path);
    let done = after >= path && !after.starts_with(path);
    if !relevant || done {
        return Ok(ControlFlow::Continue(()));
    }
    let grouped = listing.grouping == Grouping::Folders && path.len() > prefix.len();
    if grouped && after == path {
        return Ok(ControlFlow::Continue(()));
    }
    let inner = match folder.folder(path[at.len()..].trim_end_matches('/')) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(ControlFlow::Continue(())),
        result => result?,
    };
    if !grouped {
        return walk(&inner, path, listing, page);
    }
    let any = Listing { grouping: Grouping::Flat, limit: 1, ..listing.clone() };
    let mut found = Page::default();
    let _ = walk(&inner, path, &any, &mut found)?;
    if found.entries.is_empty() {
        return Ok(ControlFlow::Continue(()));
    }
    Ok(push(page, listing, Entry::Folder(path.to_owned())))
}

/// Adds an entry, or notes that there is more.
fn push(page: &mut Page, listing: &Listing, entry: Entry) -> ControlFlow<()> {
    if page.entries.len() < listing.limit {
        page.entries.push(entry);
        return ControlFlow::Continue(());
    }
    page.next = page.entries.last().map(|last| match last {
        Entry::Object(key, _) => key.as_str().to_owned(),
        Entry::Folder(path) => path.clone(),
    });
    ControlFlow::Break(())
}

impl Listing {
    /// Checks that `prefix` is one that a key can start with.
    pub(in super::super) fn check_prefix(&self) -> Result<()> {
        let probe = format!("{}x", self.prefix);
        probe.parse::<ObjectKey>().map(drop).map_err(|_| Error::Prefix)
    }
}
