//! Keys that sign, each in a file that nobody else can read, and the ring of those that sign capabilities.

mod files;
pub mod kms;
pub mod ring;

use std::{
    io,
    path::{Path, PathBuf},
};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, Header};
use serde::Serialize;
use trace_contracts::{KeyId, Sha256, keys::KeySet};

pub use self::ring::KeyRing;
use crate::db::{self, keys::Point};

/// The content of a file that is another secret than a signing key: checked as those are.
///
/// # Errors
/// When it is not there, is no file, or is open to others.
pub fn read_secret(path: &Path) -> Result<Vec<u8>, Error> {
    files::read(path)
}

/// The content of a secret in the key folder. Where it is absent, what `make` gives is written first; of several
/// processes that do so at once, one wins for all.
///
/// # Errors
/// As [`read_secret`], and when nothing can be made.
pub fn read_or_make_secret(
    dir: &Path,
    name: &str,
    make: impl FnOnce() -> Option<Vec<u8>>,
) -> Result<Vec<u8>, Error> {
    files::prepare(dir)?;
    let path = dir.join(name);
    match files::read(&path) {
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
        read => return read,
    }
    files::create(dir, &path, &make().ok_or(Error::Generate)?)?;
    files::read(&path)
}

/// An ES256 key. `Debug` shows its id alone.
pub struct SigningKey {
    pair: EcdsaKeyPair,
    kid: KeyId,
    point: Point,
    jwks: String,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder or file can't be used.
    #[error("the key at `{path}` can't be used: {source}")]
    Io {
        /// The folder or file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Somebody else could read or replace the key.
    #[error(
        "`{path}` has mode {mode:o}: others must have no access; run `chmod go= {path}`, and if others may have read the key, delete it so that a new one is made"
    )]
    Permissions {
        /// The folder or file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It is somebody else's.
    #[error(
        "`{path}` belongs to user {owner}, and this service runs as user {user}: give it away with `chown {user} {path}` if its content is yours to trust, and start again"
    )]
    Owner {
        /// The folder or file.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who we are.
        user: u32,
    },
    /// It is not what it should be.
    #[error("`{path}` is not {expected}")]
    Kind {
        /// The path.
        path: PathBuf,
        /// What should be there.
        expected: &'static str,
    },
    /// The file holds no ES256 key.
    #[error("`{path}` holds no ES256 key (PKCS #8, DER): restore it, or delete it so that a new one is made")]
    Content {
        /// The file.
        path: PathBuf,
    },
    /// No key could be made.
    #[error("no signing key could be made")]
    Generate,
    /// The database says that another key signs than any that is here.
    #[error(
        "the key `{kid}` signs capabilities, and `{folder}` does not have it: every dispatcher of one database needs the same key folder. If the key is lost for good, set `keys: {{ when_lost: replace }}` and start once: a new key signs then, and what the lost one signed is believed until its time is up"
    )]
    Lost {
        /// The key.
        kid: KeyId,
        /// The key folder.
        folder: PathBuf,
    },
    /// The root of trust does not certify a key.
    #[error("the root of trust certifies no key that signs capabilities: {0}")]
    Root(#[from] kms::Error),
    /// The key that signs is not certified, or not for long enough.
    #[error(
        "the key `{0}` is not certified by the root of trust for as long as a token lives, so that nobody would believe what it signs: a new key is certified as soon as KMS answers; see this dispatcher's log for what it says"
    )]
    Uncertified(KeyId),
    /// The keys in the database make no key set.
    #[error("the keys in the database make no key set")]
    Set(#[from] trace_contracts::keys::Error),
    /// The database failed.
    #[error(transparent)]
    Db(#[from] db::Error),
}

/// Why no token was signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The claims are no JSON.
    #[error("the claims of a token can't be written")]
    Claims(#[from] serde_json::Error),
    /// Signing failed.
    #[error("the key does not sign")]
    Sign(#[from] aws_lc_rs::error::Unspecified),
}

/// The file's name in its folder.
const FILE: &str = "capability-es256.p8";

impl SigningKey {
    /// Opens the key in `dir`, and makes folder and key when they are absent.
    ///
    /// # Errors
    /// When somebody else could read the key, or the file holds none. See [`Error`].
    pub fn open(dir: &Path) -> Result<Self, Error> {
        files::prepare(dir)?;
        let path = dir.join(FILE);
        if !path.try_exists().map_err(|source| at(&path, source))? {
            files::create(dir, &path, files::generate()?.as_ref())?;
        }
        Self::read(&path)
    }

    /// Reads the key of a file, such as one that an operator brings.
    ///
    /// # Errors
    /// When somebody else could read or replace it, or it holds none.
    pub fn read(path: &Path) -> Result<Self, Error> {
        Self::from_pkcs8(&files::read(path)?).ok_or_else(|| Error::Content { path: path.to_owned() })
    }

    fn from_pkcs8(pkcs8: &[u8]) -> Option<Self> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8).ok()?;
        // An uncompressed point: 4, then x and y of 32 bytes each.
        let public = pair.public_key().as_ref();
        let part = |range| Some(URL_SAFE_NO_PAD.encode(public.get(range)?));
        let point = Point { x: part(1..33)?, y: part(33..65)? };
        let kid = thumbprint(&point)?;
        let jwks = serde_json::json!({ "keys": [jwk(&kid, &point)] });
        Some(Self { pair, kid, point, jwks: jwks.to_string() })
    }

    /// A signed token: a header that names this key and says what kind of token it is, and the claims (JWS,
    /// compact). `jsonwebtoken` would read and check the key anew for each token, which takes as long again as
    /// signing.
    ///
    /// # Errors
    /// When the claims are no JSON, or signing fails.
    pub fn token(&self, kind: &str, claims: &impl Serialize) -> Result<String, SignError> {
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some(kind.to_owned());
        header.kid = Some(self.kid.as_str().to_owned());
        let mut token = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&header)?);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(serde_json::to_vec(claims)?, &mut token);
        let signature = self.pair.sign(&SystemRandom::new(), token.as_bytes())?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature.as_ref(), &mut token);
        Ok(token)
    }

    /// The key's id: the thumbprint of its public half (RFC 7638).
    #[must_use]
    pub fn kid(&self) -> &str {
        self.kid.as_str()
    }

    /// The same as an id.
    #[must_use]
    pub const fn id(&self) -> &KeyId {
        &self.kid
    }

    /// The public half.
    #[must_use]
    pub const fn point(&self) -> &Point {
        &self.point
    }

    /// The public half, as a JWKS document.
    #[must_use]
    pub fn jwks(&self) -> &str {
        &self.jwks
    }

    /// The public half, for verifying.
    ///
    /// # Errors
    /// Never for a key that was opened: its JWKS is of our own making.
    pub fn key_set(&self) -> Result<KeySet, trace_contracts::keys::Error> {
        KeySet::from_jwks(&self.jwks)
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

fn at(path: &Path, source: io::Error) -> Error {
    Error::Io { path: path.to_owned(), source }
}

/// RFC 7638: the required members in the order of their names.
fn thumbprint(Point { x, y }: &Point) -> Option<KeyId> {
    let members = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
    URL_SAFE_NO_PAD.encode(Sha256::of(members.as_bytes()).as_bytes()).parse().ok()
}

/// A public key as a JWKS lists it.
fn jwk(kid: &KeyId, Point { x, y }: &Point) -> serde_json::Value {
    serde_json::json!({
        "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": kid, "x": x, "y": y,
    })
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::{MetadataExt, PermissionsExt},
    };

    use super::*;

    fn dir() -> (tempfile::TempDir, PathBuf) {
        let outer = tempfile::tempdir().unwrap();
        let dir = outer.path().join("keys");
        (outer, dir)
    }

    #[test]
    fn the_key_is_made_once_and_private() {
        let (_outer, dir) = dir();
        let first = SigningKey::open(&dir).unwrap();
        assert_eq!(fs::metadata(&dir).unwrap().mode() & 0o777, 0o700);
        assert_eq!(fs::metadata(dir.join(FILE)).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1, "nothing but the key is left");
        assert_eq!(SigningKey::open(&dir).unwrap().kid(), first.kid());
        assert!(first.key_set().unwrap().has(first.kid()));
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let (_outer, dir) = dir();
        SigningKey::open(&dir).unwrap();
        fs::set_permissions(dir.join(FILE), fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(SigningKey::open(&dir), Err(Error::Permissions { mode: 0o640, .. })));
        fs::set_permissions(dir.join(FILE), fs::Permissions::from_mode(0o600)).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(matches!(SigningKey::open(&dir), Err(Error::Permissions { mode: 0o755, .. })));
    }

    #[test]
    fn links_and_garbage_are_refused() {
        let (outer, dir) = dir();
        SigningKey::open(&dir).unwrap();
        fs::rename(dir.join(FILE), outer.path().join("elsewhere")).unwrap();
        std::os::unix::fs::symlink(outer.path().join("elsewhere"), dir.join(FILE)).unwrap();
        assert!(matches!(SigningKey::open(&dir), Err(Error::Kind { .. })));
        fs::remove_file(dir.join(FILE)).unwrap();
        fs::write(dir.join(FILE), b"not a key").unwrap();
        fs::set_permissions(dir.join(FILE), fs::Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(SigningKey::open(&dir), Err(Error::Content { .. })));
    }
}
