//! What each path in the file stands for: content that the client has hashed and uploaded.

use std::collections::{BTreeMap, HashSet};

use trace_contracts::{
    FieldError,
    wire::{
        limit,
        worker::{Blob, Language},
    },
};

use super::{
    decode::Located,
    findings::{Findings, Place, shown},
    leaf::RelativePath,
    quantity::shown_bytes,
};

/// What a blob is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// A file, read as it is.
    File,
    /// A packed folder with code, in a language if the file says which.
    Bundle(Option<Language>),
}

impl Content {
    /// The language of a bundle.
    #[must_use]
    pub const fn language(self) -> Option<Language> {
        match self {
            Self::File => None,
            Self::Bundle(language) => language,
        }
    }

    /// What its path names.
    const fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Bundle(_) => "folder",
        }
    }
}

/// One place in the file that needs a blob.
#[derive(Debug, Clone)]
pub struct BlobUse {
    /// The content that must be in the store.
    pub blob: Blob,
    /// What it is for.
    pub content: Content,
    /// Which path says so.
    pub place: Place,
}

/// The blobs that a deploy declares, by path, and which of them the file needs.
pub struct Uploads<'a> {
    declared: &'a BTreeMap<String, Blob>,
    used: HashSet<String>,
    uses: Vec<BlobUse>,
}

impl<'a> Uploads<'a> {
    /// Nothing is used yet.
    #[must_use]
    pub fn new(declared: &'a BTreeMap<String, Blob>) -> Self {
        Self { declared, used: HashSet::new(), uses: Vec::new() }
    }

    /// The content of a path; reports when the deploy has none.
    pub fn take(
        &mut self,
        path: &Located<RelativePath>,
        content: Content,
        findings: &mut Findings,
    ) -> Option<Blob> {
        let text = path.value.as_ref();
        self.used.insert(text.to_owned());
        let Some(blob) = self.declared.get(text) else {
            let message = format!(
                "the deploy has no content for the {} `{}`: deploy with `trace deploy`, which packs and uploads it",
                content.as_str(),
                shown(text)
            );
            findings.push(&path.place, message);
            return None;
        };
        if blob.size > limit::BLOB_BYTES {
            let (size, most) = (shown_bytes(blob.size), shown_bytes(limit::BLOB_BYTES));
            findings.push(&path.place, format!("`{}` has {size}, at most {most} are allowed", shown(text)));
            return None;
        }
        self.uses.push(BlobUse { blob: *blob, content, place: path.place.clone() });
        Some(*blob)
    }

    /// Everything that was used, and an error for each blob that no path of the file names.
    #[must_use]
    pub fn finish(self) -> (Vec<BlobUse>, Vec<FieldError>) {
        let stray = self
            .declared
            .keys()
            .filter(|path| !self.used.contains(*path))
            .take(10)
            .map(|path| FieldError {
                line: None,
                column: None,
                field: "blobs".to_owned(),
                message: format!(
                    "the file does not name the path `{}`: leave it out of the deploy",
                    shown(path)
                ),
            })
            .collect();
        (self.uses, stray)
    }
}
