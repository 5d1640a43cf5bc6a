//! The object store, and as whom it is reached.

use serde::Deserialize;
use trace_contracts::Secret;
use url::Url;

pub use trace_aws::Keys as StoreKeys;

/// The object store.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Unverified")]
pub struct ObjectStore {
    /// Its address; AWS's own for the region when absent.
    pub endpoint: Option<Url>,
    /// The region to sign for.
    pub region: String,
    /// The bucket that holds blobs and data.
    pub bucket: String,
    /// The dispatcher's own keys, in the file as `access_key_id` and `secret_access_key`. Absent: the identity that
    /// the machine has, such as the role of an ECS task, whose keys are renewed before they end.
    pub keys: Option<StoreKeys>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unverified {
    #[serde(default, deserialize_with = "super::optional_url")]
    endpoint: Option<Url>,
    region: String,
    bucket: String,
    #[serde(default)]
    access_key_id: Option<String>,
    #[serde(default)]
    secret_access_key: Option<Secret<String>>,
}

/// Half a key pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "`object_store` has one of `access_key_id` and `secret_access_key`: set both, or neither to use the machine's own role"
)]
struct HalfAPair;

impl TryFrom<Unverified> for ObjectStore {
    type Error = HalfAPair;

    fn try_from(unverified: Unverified) -> Result<Self, HalfAPair> {
        let Unverified { endpoint, region, bucket, access_key_id, secret_access_key } = unverified;
        let keys = match (access_key_id, secret_access_key) {
            (Some(access_key_id), Some(secret_access_key)) => {
                Some(StoreKeys { access_key_id, secret_access_key })
            }
            (None, None) => None,
            _ => return Err(HalfAPair),
        };
        Ok(Self { endpoint, region, bucket, keys })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(keys: &str) -> Result<ObjectStore, String> {
        let text = format!(r#"{{"region": "us-east-1", "bucket": "trace"{keys}}}"#);
        serde_json::from_str(&text).map_err(|error| error.to_string())
    }

    #[test]
    fn keys_come_in_pairs_or_not_at_all() {
        assert!(read("").unwrap().keys.is_none());
        let pair = read(r#", "access_key_id": "AKIA", "secret_access_key": "hush"}"#.trim_end_matches('}'));
        let shown = format!("{:?}", pair.unwrap());
        assert!(shown.contains("AKIA") && !shown.contains("hush"), "{shown}");
        for half in [r#", "access_key_id": "AKIA""#, r#", "secret_access_key": "hush""#] {
            let error = read(half).unwrap_err();
            assert!(error.contains("set both, or neither") && !error.contains("hush"), "{error}");
        }
        assert!(read(r#", "acces_key_id": "AKIA""#).is_err());
    }
}
