//! Sealing: what is secret of a webhook lies in the database as ciphertext, under a key that is not there.
//!
//! AES-256-GCM with a random nonce in front. What a ciphertext is for (which org, which row) goes in as
//! associated data: whoever can write to the database can't have one org's key sign for another.

use std::{fmt, path::Path};

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    rand,
};
use trace_contracts::{OrgId, Sha256};
use uuid::Uuid;

use super::Settings;
use crate::keys;

/// The file in the key folder, where the configuration names no other.
const FILE: &str = "webhooks.seal";
/// A key has so many bytes.
pub const KEY_BYTES: usize = 32;
/// So many bytes of a key's hash tell which key it is.
const FINGERPRINT_BYTES: usize = 16;

/// Why something can't be sealed or unsealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A file that is no key.
    #[error(
        "the file of the webhooks' sealing key has another length than {KEY_BYTES} bytes: make one with `head -c {KEY_BYTES} /dev/urandom`"
    )]
    Length,
    /// A ciphertext of another key or another row, or none at all.
    #[error("what is sealed of a webhook can't be opened: it was sealed with another key, or changed")]
    Unseal,
    /// The system gives no random numbers, or the cipher does not run.
    #[error("nothing can be sealed: the system's random numbers are not available")]
    Seal,
}

/// What is sealed, and where it belongs.
#[derive(Debug, Clone, Copy)]
pub struct Label {
    /// What it is.
    pub what: What,
    /// Whose.
    pub org: OrgId,
    /// Its row.
    pub row: Uuid,
}

/// Kinds of what is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// A key that signs.
    Key,
    /// The path of an address.
    Target,
}

impl Label {
    fn bytes(self) -> Vec<u8> {
        let what = match self.what {
            What::Key => "key",
            What::Target => "target",
        };
        format!("trace-webhook-1/{what}/{}/{}", self.org, self.row).into_bytes()
    }
}

/// The key that seals.
pub struct SealingKey {
    key: LessSafeKey,
    fingerprint: [u8; FINGERPRINT_BYTES],
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealingKey")
    }
}

impl SealingKey {
    /// Reads the key that is configured; without one, that of the key folder, which is made where it is absent.
    ///
    /// # Errors
    /// When there is none, or the file is open to others.
    pub fn open(settings: &Settings, key_dir: &Path) -> Result<Self, super::Error> {
        let content = match &settings.sealing_key {
            Some(path) => keys::read_secret(path)?,
            None => keys::read_or_make_secret(key_dir, FILE, || random::<KEY_BYTES>().map(Vec::from))?,
        };
        Ok(Self::new(&content)?)
    }

    /// The key of these bytes.
    ///
    /// # Errors
    /// When they are too few or too many.
    pub fn new(bytes: &[u8]) -> Result<Self, Error> {
        let key = UnboundKey::new(&AES_256_GCM, bytes).map_err(|_| Error::Length)?;
        let mut fingerprint = [0; FINGERPRINT_BYTES];
        fingerprint.copy_from_slice(&Sha256::of(bytes).as_bytes()[..FINGERPRINT_BYTES]);
        Ok(Self { key: LessSafeKey::new(key), fingerprint })
    }

    /// Tells keys apart, without telling the key.
    #[must_use]
    pub const fn fingerprint(&self) -> &[u8] {
        &self.fingerprint
    }

    /// Seals.
    ///
    /// # Errors
    /// [`Error::Seal`].
    pub fn seal(&self, label: Label, plain: &[u8]) -> Result<Vec<u8>, Error> {
        let nonce = random::<NONCE_LEN>().ok_or(Error::Seal)?;
        let mut sealed = plain.to_vec();
        self.key
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(label.bytes()),
                &mut sealed,
            )
            .map_err(|_| Error::Seal)?;
        sealed.splice(0..0, nonce);
        Ok(sealed)
    }

    /// What was sealed with this key under this label.
    ///
    /// # Errors
    /// [`Error::Unseal`].
    pub fn unseal(&self, label: Label, sealed: &[u8]) -> Result<Vec<u8>, Error> {
        let (nonce, rest) = sealed.split_at_checked(NONCE_LEN).ok_or(Error::Unseal)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Error::Unseal)?;
        let mut opened = rest.to_vec();
        let plain = self.key.open_in_place(nonce, Aad::from(label.bytes()), &mut opened);
        plain.map(|plain| plain.to_vec()).map_err(|_| Error::Unseal)
    }
}

/// Random bytes from the system; `None` where it has none.
pub(super) fn random<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).ok().map(|()| bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(what: What, org: i64, row: u128) -> Label {
        Label { what, org: OrgId::from_db(org), row: Uuid::from_u128(row) }
    }

    #[test]
    fn what_is_sealed_opens_under_its_own_label_and_key_alone() {
        let key = SealingKey::new(&[7; KEY_BYTES]).unwrap();
        let own = label(What::Key, 1, 1);
        let sealed = key.seal(own, b"hunter2").unwrap();
        assert_eq!(key.unseal(own, &sealed).unwrap(), b"hunter2");
        assert!(!sealed.windows(7).any(|window| window == b"hunter2"));
        assert_ne!(key.seal(own, b"hunter2").unwrap(), sealed, "a nonce of its own each time");
        for other in [label(What::Target, 1, 1), label(What::Key, 2, 1), label(What::Key, 1, 2)] {
            assert_eq!(key.unseal(other, &sealed), Err(Error::Unseal));
        }
        let stranger = SealingKey::new(&[8; KEY_BYTES]).unwrap();
        assert_eq!(stranger.unseal(own, &sealed), Err(Error::Unseal));
        assert_ne!(stranger.fingerprint(), key.fingerprint());
        let mut changed = sealed.clone();
        changed[NONCE_LEN] ^= 1;
        assert_eq!(key.unseal(own, &changed), Err(Error::Unseal));
        assert_eq!(key.unseal(own, &sealed[..5]), Err(Error::Unseal));
    }

    #[test]
    fn a_key_has_its_length() {
        assert!(matches!(SealingKey::new(&[7; 31]), Err(Error::Length)));
    }

    #[test]
    fn the_key_of_a_folder_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("keys");
        let open = || SealingKey::open(&Settings::default(), &dir).unwrap();
        let first = open();
        assert_eq!(first.fingerprint(), open().fingerprint());
        std::fs::write(dir.join(FILE), b"short").unwrap();
        let short = SealingKey::open(&Settings::default(), &dir);
        assert!(matches!(short, Err(super::super::Error::Seal(Error::Length))));
    }
}
