//! Presigned reads of exactly the manifest's objects, so that engines never hold credentials.
//!
//! The signature covers `If-Match`, so an address reads the pinned bytes or nothing, whatever is
//! written to the key later.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use aws_credential_types::Credentials;
use aws_sdk_s3::{
    Client,
    config::{BehaviorVersion, Region},
    presigning::PresigningConfig,
};
use trace_contracts::{ErrorCode, InputGrant, ManifestObject, PartitionKey, Secret, Sha256};
use trace_controls::{Protection, SWITCHABLE, stands};
use trace_plane::{Refusal, Reply};

use crate::{catalog::EngineObject, config};

/// How long an address reads. Longer than any query, and shorter than AWS's shortest session.
const VALID_FOR: Duration = Duration::from_secs(900);
/// Addresses are handed out again while they are younger than this.
const REUSED_FOR: Duration = Duration::from_secs(300);
/// Tables whose addresses are remembered at most.
const REMEMBERED: usize = 256;

/// A manifest, and the partition of it that is granted.
type Part = (Sha256, Option<PartitionKey>);

/// When it was signed, and the addresses.
type Signed = (Instant, Arc<[EngineObject]>);

/// Signs reads with the service's own identity.
pub(crate) struct Presigner {
    client: Client,
    signed: Mutex<HashMap<Part, Signed>>,
}

impl Presigner {
    /// A signer for this store.
    pub(crate) async fn new(store: &config::Store) -> Self {
        Self { client: Client::from_conf(client_config(store).await), signed: Mutex::default() }
    }

    /// Addresses of `objects`, which are those of `grant` in `bucket`.
    pub(crate) async fn presign(
        &self,
        grant: &InputGrant,
        bucket: &str,
        objects: impl Iterator<Item = &ManifestObject>,
    ) -> Reply<Arc<[EngineObject]>> {
        let part = (grant.manifest, grant.partition.clone());
        if let Some(signed) = self.recall(&part) {
            return Ok(signed);
        }
        let at = Instant::now();
        let mut signed = Vec::new();
        for object in objects {
            signed.push(self.sign(bucket, object).await?);
        }
        let signed: Arc<[EngineObject]> = signed.into();
        self.remember(part, at, &signed);
        Ok(signed)
    }

    async fn sign(&self, bucket: &str, object: &ManifestObject) -> Reply<EngineObject> {
        let valid = PresigningConfig::expires_in(VALID_FOR).map_err(|error| Refusal::internal(&error))?;
        let request = self
            .client
            .get_object()
            .bucket(bucket)
            .key(object.key.as_str())
            .set_version_id(object.version_id.clone())
            .set_if_match(stands(Protection::ObjectPins).then(|| format!("\"{}\"", object.etag)))
            .presigned(valid)
            .await
            .map_err(|error| {
                tracing::error!(error = &error as &dyn std::error::Error, "a read can't be signed");
                Refusal::new(
                    ErrorCode::Unavailable,
                    "the object store's credentials are not available; try again",
                )
            })?;
        Ok(EngineObject {
            label: format!("s3://{bucket}/{}", object.key),
            url: Secret::new(request.uri().to_owned()),
            etag: object.etag.clone(),
            size: object.size,
        })
    }

    fn recall(&self, part: &Part) -> Option<Arc<[EngineObject]>> {
        let signed = self.signed.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, objects) = signed.get(part)?;
        (at.elapsed() < REUSED_FOR && !SWITCHABLE).then(|| Arc::clone(objects))
    }

    fn remember(&self, part: Part, at: Instant, objects: &Arc<[EngineObject]>) {
        let mut signed = self.signed.lock().unwrap_or_else(PoisonError::into_inner);
        if signed.len() >= REMEMBERED {
            signed.clear();
        }
        signed.insert(part, (at, Arc::clone(objects)));
    }
}

async fn client_config(store: &config::Store) -> aws_sdk_s3::Config {
    let region = Region::new(store.region.clone());
    let builder = match &store.keys {
        Some(keys) => {
            let session = keys.session_token.as_ref().map(|token| token.expose().clone());
            let secret = keys.secret_access_key.expose().clone();
            aws_sdk_s3::Config::builder()
                .behavior_version(BehaviorVersion::latest())
                .credentials_provider(Credentials::new(&keys.access_key_id, secret, session, None, "trace"))
        }
        None => {
            let shared = aws_config::defaults(BehaviorVersion::latest()).region(region.clone()).load().await;
            aws_sdk_s3::config::Builder::from(&shared)
        }
    };
    let builder = builder.region(region);
    match &store.endpoint {
        Some(endpoint) => builder.endpoint_url(endpoint.as_str()).force_path_style(true).build(),
        None => builder.build(),
    }
}

#[cfg(test)]
mod tests {
    use trace_contracts::{DatasetId, DatasetVersionId};

    use super::*;

    fn store() -> config::Store {
        config::Store {
            endpoint: Some("http://127.0.0.1:9/".parse().unwrap()),
            region: "us-east-1".into(),
            keys: Some(config::StoreKeys {
                access_key_id: "AKID".into(),
                secret_access_key: Secret::new("hush".into()),
                session_token: None,
            }),
        }
    }

    #[tokio::test]
    async fn an_address_reads_one_object_at_one_etag_for_a_while() {
        let object = ManifestObject {
            partition: PartitionKey::whole(),
            key: "data/o1/part 0.parquet".parse().unwrap(),
            size: 7,
            etag: "abc".into(),
            version_id: Some("v1".into()),
        };
        let grant = InputGrant {
            dataset: DatasetId::from_db(1),
            version: DatasetVersionId::from_db((1 << 20) + 1),
            manifest: Sha256::of(b"m"),
            partition: None,
            columns: None,
            row_filter: None,
        };
        let presigner = Presigner::new(&store()).await;
        let signed = presigner.presign(&grant, "trace", [&object].into_iter()).await.unwrap();
        let url = signed[0].url.expose();
        assert!(url.starts_with("http://127.0.0.1:9/trace/data/o1/part%200.parquet?"), "{url}");
        assert!(url.contains("versionId=v1") && url.contains("X-Amz-Expires=900"), "{url}");
        assert!(url.contains("X-Amz-SignedHeaders=host%3Bif-match"), "{url}");
        assert!(!format!("{:?}", signed[0]).contains("X-Amz-Signature"));
        let again = presigner.presign(&grant, "trace", [&object].into_iter()).await.unwrap();
        assert!(Arc::ptr_eq(&signed, &again), "young addresses are used again");
    }
}
