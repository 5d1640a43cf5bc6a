//! Presigned reads of single objects, for inputs in more folders than sessions reach.
//!
//! An address is signed for the ETag of the manifest, so that it reads the bytes that were committed or
//! nothing; and it ends with the capability at the latest. It is signed with a session of the attempt,
//! so that where sessions can be ended it ends with the attempt.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use aws_credential_types::Credentials;
use aws_sdk_s3::{Client, presigning::PresigningConfig};
use chrono::{DateTime, Utc};
use trace_contracts::{
    Capability, Manifest, ManifestObject, S3Prefix, Secret,
    wire::task::{ObjectAddress, ObjectsReply, ObjectsRequest},
};

use super::{
    SessionKeys,
    policy::{self, folder_of},
};
use crate::objects::Objects;

/// Addresses on a page.
pub const PAGE: usize = 500;
/// Objects that one attempt may be given addresses of.
pub const MAX_OBJECTS: usize = 100_000;
/// No address is good for longer, whatever the capability says.
const LONGEST: Duration = Duration::from_secs(900);

/// Why there are no addresses.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// More than [`MAX_OBJECTS`].
    #[error(
        "the inputs have {0} objects in more folders than sessions reach, and at most {MAX_OBJECTS} are read by address: read them through the query service, or gather partitions in a job before this one"
    )]
    TooMany(usize),
    /// An object is not where it should be.
    #[error(transparent)]
    Object(#[from] policy::Error),
    /// The capability, or the keys that sign, are about to end.
    #[error("the capability is about to expire: exchange it for a new one and ask again")]
    Expiring,
    /// Signing failed.
    #[error("an address could not be signed: {0}")]
    Sign(String),
}

/// The objects that an attempt reads by address, in the order of their keys.
#[derive(Debug, Clone, Default)]
pub struct Listed<'a>(BTreeMap<(&'a str, &'a str), &'a ManifestObject>);

impl<'a> Listed<'a> {
    /// Those objects of the manifests that lie in the folders that are `left`.
    ///
    /// # Errors
    /// When an object lies outside the org's data, or there are too many.
    pub fn new(
        capability: &Capability,
        manifests: impl IntoIterator<Item = &'a Manifest>,
        left: &BTreeSet<S3Prefix>,
    ) -> Result<Self, Error> {
        let org = capability.org().to_string();
        let mut objects = BTreeMap::new();
        for manifest in manifests {
            for object in &manifest.objects {
                if left.contains(&folder_of(&org, &manifest.bucket, object.key.as_str())?) {
                    objects.insert((object.key.as_str(), manifest.bucket.as_str()), object);
                }
            }
        }
        if objects.len() > MAX_OBJECTS { Err(Error::TooMany(objects.len())) } else { Ok(Self(objects)) }
    }

    /// Their keys.
    pub fn keys(&self) -> impl Iterator<Item = &'a str> {
        self.0.keys().map(|(key, _)| *key)
    }

    /// The page that was asked for, and where the next one begins.
    fn page(&self, request: &ObjectsRequest) -> (Vec<(&'a str, &'a ManifestObject)>, Option<String>) {
        let from = request.from.as_deref().unwrap_or_default();
        let limit = request.limit.map_or(PAGE, |limit| (limit as usize).clamp(1, PAGE));
        let mut rest = self.0.range((from, "")..);
        let page = rest.by_ref().take(limit).map(|((_, bucket), object)| (*bucket, *object)).collect();
        (page, rest.next().map(|((key, _), _)| (*key).to_owned()))
    }
}

/// Signs a page of addresses with the keys of a session.
///
/// # Errors
/// See [`Error`].
pub async fn sign(
    store: &Objects,
    signer: &SessionKeys,
    listed: &Listed<'_>,
    request: &ObjectsRequest,
    ends: (DateTime<Utc>, DateTime<Utc>),
) -> Result<ObjectsReply, Error> {
    let (now, capability_ends) = ends;
    let end = capability_ends.min(signer.expires_at).min(now + LONGEST);
    let seconds = u64::try_from((end - now).num_seconds()).ok().filter(|seconds| *seconds > 0);
    let lasts = Duration::from_secs(seconds.ok_or(Error::Expiring)?);
    let presigning = PresigningConfig::builder().start_time(now.into()).expires_in(lasts).build();
    let presigning = presigning.map_err(|error| Error::Sign(error.to_string()))?;
    let client = client(store, signer);
    let (page, next) = listed.page(request);
    let mut objects = Vec::with_capacity(page.len());
    for (bucket, object) in page {
        objects.push(address(&client, bucket, object, presigning.clone()).await?);
    }
    Ok(ObjectsReply { objects, next, expires_at: now + lasts })
}

async fn address(
    client: &Client,
    bucket: &str,
    object: &ManifestObject,
    presigning: PresigningConfig,
) -> Result<ObjectAddress, Error> {
    let request = client
        .get_object()
        .bucket(bucket)
        .key(object.key.as_str())
        .set_version_id(object.version_id.clone())
        .if_match(format!("\"{}\"", object.etag))
        .presigned(presigning)
        .await
        .map_err(|error| Error::Sign(aws_sdk_s3::error::DisplayErrorContext(error).to_string()))?;
    Ok(ObjectAddress {
        bucket: bucket.to_owned(),
        key: object.key.clone(),
        size: object.size,
        etag: object.etag.clone(),
        url: Secret::new(request.uri().to_owned()),
    })
}

/// A client of the same store with other keys.
fn client(store: &Objects, keys: &SessionKeys) -> Client {
    let credentials = Credentials::new(
        keys.access_key_id.clone(),
        keys.secret_access_key.expose().clone(),
        Some(keys.session_token.expose().clone()),
        Some(keys.expires_at.into()),
        "attempt",
    );
    Client::from_conf(store.client().config().to_builder().credentials_provider(credentials).build())
}
