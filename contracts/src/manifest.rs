//! What a dataset version, or one partition of it, consists of.

use serde::{Deserialize, Serialize};

use crate::{ObjectKey, PartitionKey, Sha256};

/// Exactly these objects, and nothing that is written later. Its canonical form is the JSON of this
/// struct, objects sorted by key; its SHA-256 names it everywhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The bucket that holds every object.
    pub bucket: String,
    /// Sorted by key, no key twice.
    pub objects: Vec<ManifestObject>,
}

/// One object of a manifest, pinned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestObject {
    /// Which partition it belongs to.
    pub partition: PartitionKey,
    /// Where it lies.
    pub key: ObjectKey,
    /// In bytes.
    pub size: u64,
    /// The store's ETag, without quotes: readers ask for exactly this one.
    pub etag: String,
    /// The store's version id, where the bucket keeps versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
}

impl Manifest {
    /// A manifest of these objects, in canonical order.
    #[must_use]
    pub fn new(bucket: String, mut objects: Vec<ManifestObject>) -> Self {
        objects.sort_by(|a, b| a.key.cmp(&b.key));
        objects.dedup_by(|a, b| a.key == b.key);
        Self { bucket, objects }
    }

    /// The canonical form, as stored, sent and hashed.
    ///
    /// # Panics
    /// Never: a manifest holds only text and numbers.
    #[must_use]
    pub fn to_canonical_json(&self) -> String {
        serde_json::to_string(self).expect("a manifest is plain data")
    }

    /// The name of a canonical form.
    #[must_use]
    pub fn digest(canonical_json: &str) -> Sha256 {
        Sha256::of(canonical_json.as_bytes())
    }

    /// All bytes of all objects.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.objects.iter().map(|object| object.size).sum()
    }
}
