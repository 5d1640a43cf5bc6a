//! The session policy: what a capability means to the object store. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use trace_contracts::{
    Capability, DatasetVersionId, InputGrant, Manifest, S3Prefix, Sha256, location::iam_escape,
};
use trace_controls::{Protection, stands};

use super::{
    arn::{KmsKeyArn, Partition, StoreNames},
    pack::Packed,
};

/// IAM takes no longer session policy.
pub const MAX_POLICY_CHARS: usize = 2048;
/// Sessions of one attempt at most.
pub const MAX_SESSIONS: usize = 8;

/// What one session may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionPolicy {
    /// As the store reads it: an IAM policy in JSON, at most [`MAX_POLICY_CHARS`] long.
    pub document: String,
    /// What may be read.
    pub read: Vec<S3Prefix>,
    /// What may be written.
    pub write: Vec<S3Prefix>,
}

/// The folders that hold a manifest's objects, by the manifest's hash.
pub type ManifestPrefixes = BTreeMap<Sha256, BTreeSet<S3Prefix>>;

/// Why there is no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The manifest of an input was not looked up.
    #[error("the manifest {0} is not known")]
    UnknownManifest(Sha256),
    /// An object does not lie where attempts of the capability's org write.
    #[error("the object `{0}` of an input lies outside the org's data")]
    ForeignObject(String),
    /// The attempt's own folders make a policy that is too long. Folders that the platform names don't.
    #[error("the attempt's own folders have names too long for a session policy")]
    OwnFoldersTooLong,
}

/// The manifests whose objects the capability may read as they are. An input with hidden rows or
/// columns is not among them, so that nothing here ever gives access to its objects.
#[must_use]
pub fn readable_manifests(capability: &Capability) -> BTreeSet<(DatasetVersionId, Sha256)> {
    let inputs = capability.grants().inputs.values();
    let readable = |input: &&InputGrant| input.allows_object_reads() || !stands(Protection::FilteredObjects);
    inputs.filter(readable).map(|input| (input.version, input.manifest)).collect()
}

/// The output folders of the attempts that wrote a manifest's objects: exactly those, and never a
/// folder above them.
///
/// # Errors
/// [`Error::ForeignObject`] when an object lies anywhere else.
pub fn prefixes_of(capability: &Capability, manifest: &Manifest) -> Result<BTreeSet<S3Prefix>, Error> {
    let org = capability.org().to_string();
    manifest.objects.iter().map(|object| folder_of(&org, &manifest.bucket, object.key.as_str())).collect()
}

/// The output folder of the attempt that wrote an object: `data/ORG/RUN/TASK/ATTEMPT/out/`.
///
/// # Errors
/// [`Error::ForeignObject`] when the object lies anywhere else.
pub fn folder_of(org: &str, bucket: &str, key: &str) -> Result<S3Prefix, Error> {
    let foreign = || Error::ForeignObject(key.to_owned());
    let segments: Vec<&str> = key.splitn(7, '/').collect();
    match segments[..] {
        ["data", of, run, task, attempt, "out", _] if of == org => {
            let prefix = format!("s3://{bucket}/data/{of}/{run}/{task}/{attempt}/out/");
            prefix.parse().map_err(|_| foreign())
        }
        _ => Err(foreign()),
    }
}

/// The policies of an attempt's sessions: as few as hold all inputs, and [`MAX_SESSIONS`] at most. The
/// first one writes output and scratch, and reads scratch; folders of inputs go where there is room.
///
/// # Errors
/// See [`Error`].
pub fn session_policies(
    store: &StoreNames,
    capability: &Capability,
    manifests: &ManifestPrefixes,
) -> Result<Packed, Error> {
    let grants = capability.grants();
    let mut inputs = BTreeSet::new();
    for (_, hash) in readable_manifests(capability) {
        inputs.extend(manifests.get(&hash).ok_or(Error::UnknownManifest(hash))?.iter().cloned());
    }
    let own = SessionPolicy::new(
        store,
        vec![grants.scratch.clone()],
        vec![grants.output.clone(), grants.scratch.clone()],
    );
    super::pack::pack(store, own, inputs).ok_or(Error::OwnFoldersTooLong)
}

impl SessionPolicy {
    /// Reads and writes these folders.
    #[must_use]
    pub fn new(store: &StoreNames, read: Vec<S3Prefix>, write: Vec<S3Prefix>) -> Self {
        Self { document: document(store, &read, &write), read, write }
    }

    /// Characters of the document, as IAM counts them.
    #[must_use]
    pub fn chars(&self) -> usize {
        self.document.chars().count()
    }
}

fn document(store: &StoreNames, read: &[S3Prefix], write: &[S3Prefix]) -> String {
    let partition = &store.partition;
    let objects = |prefixes: &[S3Prefix]| -> Vec<String> {
        prefixes.iter().map(|prefix| objects(partition, prefix)).collect()
    };
    let mut statements =
        vec![json!({ "Effect": "Allow", "Action": "s3:GetObject", "Resource": objects(read) })];
    if !write.is_empty() {
        statements.push(json!({
            "Effect": "Allow",
            "Action": ["s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"],
            "Resource": objects(write),
        }));
    }
    let listed: BTreeSet<&S3Prefix> = read.iter().chain(write).collect();
    let buckets: BTreeSet<&str> = listed.iter().map(|prefix| prefix.bucket()).collect();
    for bucket in buckets {
        let prefixes = listed.iter().filter(|prefix| prefix.bucket() == bucket);
        statements.push(listing(partition, bucket, prefixes.map(|prefix| exactly(prefix)).collect()));
    }
    statements.extend(store.kms_key.as_ref().map(|key| decryption(key, write)));
    let document = json!({ "Version": "2012-10-17", "Statement": Value::Array(statements) });
    ascii(&document.to_string())
}

/// The statement that lets S3 use the bucket's key for this session: to read, and where it writes, to write
/// (parts are read back). By itself, as a call of KMS, the session can use it for nothing. How S3 calls
/// itself there begins so in every partition, and what follows is the partition's domain.
fn decryption(key: &KmsKeyArn, write: &[S3Prefix]) -> Value {
    let action = match write {
        [] => json!("kms:Decrypt"),
        _ => json!(["kms:GenerateDataKey", "kms:Decrypt"]),
    };
    json!({
        "Effect": "Allow",
        "Action": action,
        "Resource": key.as_str(),
        "Condition": { "StringLike": { "kms:ViaService": format!("s3.{}.*", key.region()) } },
    })
}

/// The statement that allows to list some folders of a bucket.
pub(super) fn listing(partition: &Partition, bucket: &str, prefixes: Vec<String>) -> Value {
    json!({
        "Effect": "Allow",
        "Action": "s3:ListBucket",
        "Resource": format!("arn:{}:s3:::{bucket}", partition.as_str()),
        "Condition": { "StringEquals": { "s3:prefix": prefixes } },
    })
}

/// Every object in the folder.
pub(super) fn objects(partition: &Partition, prefix: &S3Prefix) -> String {
    format!("arn:{}:s3:::{}/{}*", partition.as_str(), prefix.bucket(), prefix.iam_escaped())
}

/// The folder itself. `StringEquals` takes no pattern, but variables are resolved in it all the same.
pub(super) fn exactly(prefix: &S3Prefix) -> String {
    iam_escape(prefix.key_prefix())
}

/// JSON with every character outside of ASCII escaped: STS takes no policy with a character past
/// U+00FF, and keys may have those.
pub(super) fn ascii(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() {
            escaped.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                escaped.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    escaped
}

#[cfg(test)]
mod tests;
