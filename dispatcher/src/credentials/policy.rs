//! The session policy: what a capability means to the object store. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use trace_contracts::{
    Capability, DatasetVersionId, InputGrant, Manifest, S3Prefix, Sha256, location::iam_escape,
};
use trace_controls::{Protection, stands};

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
    /// The inputs lie in more folders than sessions can reach.
    #[error(
        "the inputs lie in too many folders for {MAX_SESSIONS} sessions: read them through the query service, or gather partitions in a job before this one"
    )]
    TooMany,
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
    manifest
        .objects
        .iter()
        .map(|object| {
            let foreign = || Error::ForeignObject(object.key.to_string());
            // data/<org>/<run>/<task>/<attempt>/out/<object>
            let segments: Vec<&str> = object.key.as_str().splitn(7, '/').collect();
            match segments[..] {
                ["data", of, run, task, attempt, "out", _] if of == org => {
                    let prefix = format!("s3://{}/data/{of}/{run}/{task}/{attempt}/out/", manifest.bucket);
                    prefix.parse().map_err(|_| foreign())
                }
                _ => Err(foreign()),
            }
        })
        .collect()
}

/// The policies of an attempt's sessions. The first one writes output and scratch, and reads
/// scratch and as many inputs as fit; each further one reads more inputs.
///
/// # Errors
/// See [`Error`].
pub fn session_policies(
    capability: &Capability,
    manifests: &ManifestPrefixes,
) -> Result<Vec<SessionPolicy>, Error> {
    let grants = capability.grants();
    let mut inputs = BTreeSet::new();
    for (_, hash) in readable_manifests(capability) {
        inputs.extend(manifests.get(&hash).ok_or(Error::UnknownManifest(hash))?.iter().cloned());
    }
    let write = vec![grants.output.clone(), grants.scratch.clone()];
    let mut open = SessionPolicy::new(vec![grants.scratch.clone()], write);
    let mut done = Vec::new();
    for input in inputs {
        match open.with(&input) {
            Some(wider) => open = wider,
            None => done.push(std::mem::replace(&mut open, SessionPolicy::new(vec![input], Vec::new()))),
        }
    }
    done.push(open);
    let fits = done.len() <= MAX_SESSIONS
        && done.iter().all(|policy| policy.document.chars().count() <= MAX_POLICY_CHARS);
    if fits { Ok(done) } else { Err(Error::TooMany) }
}

impl SessionPolicy {
    fn new(read: Vec<S3Prefix>, write: Vec<S3Prefix>) -> Self {
        Self { document: document(&read, &write), read, write }
    }

    /// The same and one more prefix to read, if that fits.
    fn with(&self, input: &S3Prefix) -> Option<Self> {
        let read = self.read.iter().chain([input]).cloned().collect();
        let wider = Self::new(read, self.write.clone());
        (wider.document.chars().count() <= MAX_POLICY_CHARS).then_some(wider)
    }
}

fn document(read: &[S3Prefix], write: &[S3Prefix]) -> String {
    let mut statements = vec![json!({
        "Effect": "Allow", "Action": "s3:GetObject", "Resource": read.iter().map(objects).collect::<Vec<_>>(),
    })];
    if !write.is_empty() {
        statements.push(json!({
            "Effect": "Allow",
            "Action": ["s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"],
            "Resource": write.iter().map(objects).collect::<Vec<_>>(),
        }));
    }
    let listed: BTreeSet<&S3Prefix> = read.iter().chain(write).collect();
    let buckets: BTreeSet<&str> = listed.iter().map(|prefix| prefix.bucket()).collect();
    for bucket in buckets {
        let prefixes = listed.iter().filter(|prefix| prefix.bucket() == bucket);
        statements.push(json!({
            "Effect": "Allow",
            "Action": "s3:ListBucket",
            "Resource": format!("arn:aws:s3:::{bucket}"),
            // `StringEquals` takes no pattern, but variables are resolved in it all the same.
            "Condition": { "StringEquals": { "s3:prefix": prefixes.map(|one| iam_escape(one.key_prefix())).collect::<Vec<_>>() } },
        }));
    }
    json!({ "Version": "2012-10-17", "Statement": Value::Array(statements) }).to_string()
}

/// Every object in the folder.
fn objects(prefix: &S3Prefix) -> String {
    format!("arn:aws:s3:::{}/{}*", prefix.bucket(), prefix.iam_escaped())
}

#[cfg(test)]
mod tests;
