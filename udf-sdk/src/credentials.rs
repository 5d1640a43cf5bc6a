//! Keys for the object store that reach what the capability does.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Deserializer};

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
