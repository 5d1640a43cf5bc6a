//! What an attempt left: listed by the trusted side, recorded as a manifest.

use async_trait::async_trait;
use trace_aws::Failure;
use trace_contracts::{Manifest, ManifestObject, ObjectKey, PartitionKey, S3Prefix, Sha256};

use crate::objects::Objects;

/// A manifest in its canonical form, with its name and its size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outputs {
    json: String,
    sha256: Sha256,
    objects: u64,
    bytes: u64,
}

impl Outputs {
    /// Takes a manifest as it is recorded.
    #[must_use]
    pub fn new(manifest: &Manifest) -> Self {
        let json = manifest.to_canonical_json();
        let sha256 = Manifest::digest(&json);
        let objects = manifest.objects.len().try_into().unwrap_or(u64::MAX);
        Self { json, sha256, objects, bytes: manifest.total_bytes() }
    }

    /// The canonical form.
    #[must_use]
    pub fn json(&self) -> &str {
        &self.json
    }

    /// Its name.
    #[must_use]
    pub const fn sha256(&self) -> &Sha256 {
        &self.sha256
    }

    /// How many objects.
    #[must_use]
    pub const fn objects(&self) -> u64 {
        self.objects
    }

    /// How many bytes in all of them.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// Why there is no manifest.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What was left is not acceptable: the attempt has failed.
    #[error("{0}")]
    Refused(String),
    /// The store could not be asked: the same completion may come again.
    #[error("the object store can't list `{prefix}`: {reason}")]
    Unavailable {
        /// What was to be listed.
        prefix: String,
        /// Why not.
        reason: String,
    },
}

/// Lists what lies under an attempt's output prefix.
#[async_trait]
pub trait OutputLister: Send + Sync {
    /// The manifest of one partition: everything under `prefix` now. Nothing there makes an empty one.
    ///
    /// # Errors
    /// See [`Error`].
    async fn list(&self, prefix: &S3Prefix, partition: &PartitionKey) -> Result<Outputs, Error>;
}

/// Lists an S3 bucket.
#[derive(Debug, Clone)]
pub struct S3Lister {
    objects: Objects,
    max_objects: usize,
}

impl S3Lister {
    /// A lister that refuses more than `max_objects` of one attempt.
    #[must_use]
    pub const fn new(objects: Objects, max_objects: usize) -> Self {
        Self { objects, max_objects }
    }
}

#[async_trait]
impl OutputLister for S3Lister {
    async fn list(&self, prefix: &S3Prefix, partition: &PartitionKey) -> Result<Outputs, Error> {
        let mut found = Vec::new();
        let mut next = None;
        loop {
            let page = self
                .objects
                .client()
                .list_objects_v2()
                .bucket(prefix.bucket())
                .prefix(prefix.key_prefix())
                .set_continuation_token(next)
                .send()
                .await
                .map_err(|error| Error::Unavailable {
                    prefix: prefix.to_string(),
                    reason: Failure::of("S3", "ListObjectsV2", &error).to_string(),
                })?;
            for object in page.contents() {
                found.push(manifest_object(object, prefix, partition)?);
            }
            if found.len() > self.max_objects {
                return Err(Error::Refused(format!(
                    "the task left more than {} objects; write fewer, larger files",
                    self.max_objects
                )));
            }
            next = page.next_continuation_token().map(ToOwned::to_owned);
            if next.is_none() || page.is_truncated() != Some(true) {
                break;
            }
        }
        Ok(Outputs::new(&Manifest::new(prefix.bucket().to_owned(), found)))
    }
}

fn manifest_object(
    unverified: &aws_sdk_s3::types::Object,
    prefix: &S3Prefix,
    partition: &PartitionKey,
) -> Result<ManifestObject, Error> {
    let shown = unverified.key().unwrap_or_default();
    let refuse = |why: &str| {
        let name: String = shown.chars().take(200).collect();
        Error::Refused(format!("the task left `{name}`, {why}"))
    };
    let key: ObjectKey = shown.parse().map_err(|_| refuse("which is not a plain key; rename the file"))?;
    if key.relative_to(prefix).is_none() {
        return Err(refuse("which does not lie under its output prefix"));
    }
    let size = unverified.size().and_then(|size| u64::try_from(size).ok());
    let etag = unverified.e_tag().map(|etag| etag.trim_matches('"')).filter(|etag| !etag.is_empty());
    match (size, etag) {
        (Some(size), Some(etag)) => Ok(ManifestObject {
            partition: partition.clone(),
            key,
            size,
            etag: etag.to_owned(),
            version_id: None,
        }),
        _ => Err(refuse("of which the store does not say the size and the ETag")),
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::types::Object;

    use super::*;

    fn take(key: &str) -> Result<ManifestObject, Error> {
        let object = Object::builder().key(key).size(3).e_tag("\"abc\"").build();
        let prefix = "s3://trace/data/o1/r1/t1/a1/out/".parse().unwrap();
        manifest_object(&object, &prefix, &PartitionKey::whole())
    }

    #[test]
    fn objects_under_the_prefix_are_pinned() {
        let object = take("data/o1/r1/t1/a1/out/x/part-0.parquet").unwrap();
        assert_eq!((object.size, object.etag.as_str()), (3, "abc"));
    }

    #[test]
    fn other_keys_are_refused_by_name() {
        for bad in ["data/o1/r1/t1/a10/out/x", "data/o1/r1/t1/a1/out/../x", "data/o1/r1/t1/a1/out//x", ""] {
            assert!(matches!(take(bad), Err(Error::Refused(why)) if why.contains(bad)), "{bad:?}");
        }
    }
}
