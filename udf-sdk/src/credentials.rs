//! Keys for the object store that reach what the capability does.

use std::{fmt, sync::Arc, time::SystemTime};

use serde::{Deserialize, Deserializer};

use crate::time::parse_utc;

/// A text that no log should hold; `Debug` hides it.
#[derive(Clone)]
pub struct Secret(Arc<str>);

/// Keys for the object store (S3). Hand them to any S3 client, together with the endpoint in
/// `AWS_ENDPOINT_URL_S3` and path-style addresses.
#[derive(Debug, Clone, Deserialize)]
pub struct Credentials {
    /// The region to sign for.
    pub region: String,
    /// Several when the grants do not fit into one policy; the first one writes.
    pub sessions: Vec<Session>,
    /// Folders of inputs that no session reaches: [`Context::objects`](crate::Context::objects) has
    /// addresses of what is in them.
    #[serde(default)]
    pub folders_by_address: u32,
}

/// A page of addresses.
#[derive(Debug, Clone, Deserialize)]
pub struct Objects {
    /// In the order of their keys.
    pub objects: Vec<ObjectAddress>,
    /// Where the next page begins; `None` on the last one.
    #[serde(default)]
    pub next: Option<String>,
    /// When the addresses expire (RFC 3339, UTC).
    pub expires_at: String,
}

/// A presigned read of one object of an input.
#[derive(Debug, Clone, Deserialize)]
pub struct ObjectAddress {
    /// The bucket.
    pub bucket: String,
    /// The key.
    pub key: String,
    /// In bytes.
    pub size: u64,
    /// To be sent as `If-Match`, in double quotes.
    pub etag: String,
    /// The address, for `GET`.
    pub url: Secret,
}

/// Keys of one session.
#[derive(Debug, Clone, Deserialize)]
pub struct Session {
    /// Access key id.
    pub access_key_id: String,
    /// Secret access key.
    pub secret_access_key: Secret,
    /// Session token; requests without it are refused.
    pub session_token: Secret,
    /// When they expire (RFC 3339, UTC); ask again before.
    pub expires_at: String,
    /// Prefixes (`s3://bucket/dir/`) that may be read with them.
    pub read: Vec<String>,
    /// Prefixes that may be written with them.
    pub write: Vec<String>,
}

impl Credentials {
    /// When the first session expires; `None` when one does not tell.
    pub(crate) fn end(&self) -> Option<SystemTime> {
        let ends: Option<Vec<SystemTime>> =
            self.sessions.iter().map(|session| parse_utc(&session.expires_at)).collect();
        ends?.into_iter().min()
    }
}

impl Secret {
    pub(crate) fn new(text: String) -> Self {
        Self(text.into())
    }

    /// The text itself, for the request that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}
