//! Access keys, as long and as random as those of AWS.

use base64::{Engine, engine::general_purpose::STANDARD};
use rand::{Rng, RngCore};
use trace_contracts::Secret;

/// A long-lived pair: everything that the store can do. For trusted services only.
#[derive(Debug, Clone)]
pub struct RootCredentials {
    /// `AKIA…`
    pub access_key_id: String,
    /// The secret to sign with.
    pub secret_access_key: Secret<String>,
}

impl RootCredentials {
    /// New random ones; they end with the process.
    pub(super) fn random() -> Self {
        Self { access_key_id: access_key_id("AKIA"), secret_access_key: secret(30) }
    }
}

/// An id of 20 characters that starts with `kind`, such as `ASIA` for a session.
pub(super) fn access_key_id(kind: &str) -> String {
    const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut rng = rand::rng();
    let tail: String = (0..16).map(|_| char::from(BASE32[rng.random_range(0..BASE32.len())])).collect();
    format!("{kind}{tail}")
}

/// The Base64 form of so many random bytes.
pub(super) fn secret(bytes: usize) -> Secret<String> {
    let mut random = vec![0; bytes];
    rand::rng().fill_bytes(&mut random);
    Secret::new(STANDARD.encode(random))
}
