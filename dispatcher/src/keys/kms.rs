//! KMS as the root of trust: a key that never leaves it certifies the keys that sign capabilities.
//!
//! KMS signs once a rotation and not once a token, whose number would cost its quota. What it signed is checked
//! here before it is used, by the public half that is fetched once.

use std::time::Duration;

use aws_sdk_kms::{
    Client,
    primitives::Blob,
    types::{KeySpec, MessageType, SigningAlgorithmSpec},
};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use trace_aws::{Aws, Failure, Patience};
use trace_contracts::{
    KeyId,
    certificate::{self, CertificateClaims, CertifiedKey, Root, fixed_signature, with_signature},
    keys::KeySet,
};

use crate::db::keys::{Certificate, Point};

/// Which key of KMS, and how it is reached.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where KMS is.
    pub aws: Aws,
    /// The key: its ARN, id or alias. Its spec is ECC_NIST_P256, its usage SIGN_VERIFY.
    pub key: String,
    /// How long a key signs at most after it was certified, in seconds: as long as KMS may be away.
    #[serde(default = "six_hours")]
    pub certificate_seconds: u64,
}

const fn six_hours() -> u64 {
    6 * 3600
}

/// Callers wait for this, and at the start a transaction does, which may not rest for ten seconds.
const PATIENCE: Patience =
    Patience { attempt: Duration::from_secs(3), operation: Duration::from_secs(8), tries: 3 };

/// Why a key is not certified.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// KMS does not answer, or does not do it.
    #[error(transparent)]
    Kms(#[from] Failure),
    /// The key is of another kind.
    #[error(
        "the key `{key}` of KMS is {found}, and a root of trust is ECC_NIST_P256 for SIGN_VERIFY: make such a key, and set `keys.root.kms.key` to it"
    )]
    Spec {
        /// The key.
        key: String,
        /// What it is.
        found: String,
    },
    /// What KMS has signed does not verify.
    #[error(
        "what KMS has signed does not verify by the public key that it gave before: if `keys.root.kms.key` is an alias that leads to another key now, start the dispatchers again, and give planes the new public key"
    )]
    Signature,
    /// No public key.
    #[error(transparent)]
    Root(#[from] certificate::Error),
}

/// Certifies keys with one key of KMS, for one issuer.
#[derive(Debug)]
pub struct Certifier {
    client: Client,
    key: String,
    root: Root,
    issuer: String,
    lifetime: Duration,
}

impl Certifier {
    /// Fetches the public half. What a certified key signs is believed for `overlap` after it signs no more.
    ///
    /// # Errors
    /// When KMS does not answer, or its key is of another kind.
    pub async fn open(config: &Config, issuer: &str, overlap: Duration) -> Result<Self, Error> {
        let client = Client::new(&config.aws.sdk(PATIENCE));
        let root = public_half(&client, &config.key).await?;
        let lifetime = Duration::from_secs(config.certificate_seconds) + overlap;
        Ok(Self { client, key: config.key.clone(), root, issuer: issuer.to_owned(), lifetime })
    }

    /// Has a key certified from now on.
    ///
    /// # Errors
    /// When KMS does not do it.
    pub async fn certify(&self, kid: &KeyId, point: &Point) -> Result<Certificate, Error> {
        let now = Utc::now().timestamp();
        let lifetime = i64::try_from(self.lifetime.as_secs()).unwrap_or(i64::MAX / 2);
        let claims = CertificateClaims {
            iss: self.issuer.clone(),
            sub: kid.clone(),
            x: point.x.clone(),
            y: point.y.clone(),
            iat: now,
            exp: now.saturating_add(lifetime),
        };
        let input = claims.to_signing_input();
        let text = with_signature(&input, &self.sign(&input).await?);
        let certified =
            CertifiedKey::verify(&text, &self.root, &self.issuer).map_err(|_| Error::Signature)?;
        let until = DateTime::from_timestamp(certified.claims().exp, 0).ok_or(Error::Signature)?;
        Ok(Certificate { text, until })
    }

    /// The keys of certificates of this root.
    ///
    /// # Errors
    /// When there is none.
    pub fn key_set<'c>(
        &self,
        certificates: impl IntoIterator<Item = &'c str>,
    ) -> Result<KeySet, trace_contracts::keys::Error> {
        KeySet::certified(certificates, &self.root, &self.issuer)
    }

    async fn sign(&self, input: &str) -> Result<[u8; 64], Error> {
        let call = self.client.sign().key_id(&self.key).message(Blob::new(input.as_bytes()));
        let call = call.message_type(MessageType::Raw).signing_algorithm(SigningAlgorithmSpec::EcdsaSha256);
        let answer = call.send().await.map_err(|error| Failure::of("KMS", "Sign", &error))?;
        answer.signature().and_then(|signature| fixed_signature(signature.as_ref())).ok_or(Error::Signature)
    }
}

async fn public_half(client: &Client, key: &str) -> Result<Root, Error> {
    let answer = client.get_public_key().key_id(key).send().await;
    let answer = answer.map_err(|error| Failure::of("KMS", "GetPublicKey", &error))?;
    if answer.key_spec() != Some(&KeySpec::EccNistP256) {
        let found = answer.key_spec().map_or("of no kind", KeySpec::as_str).to_owned();
        return Err(Error::Spec { key: key.to_owned(), found });
    }
    let der = answer.public_key().map(AsRef::as_ref).unwrap_or_default();
    Ok(Root::from_spki(der)?)
}
