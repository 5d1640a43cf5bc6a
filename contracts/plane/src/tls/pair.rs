//! A certificate and its key, read from files.

use std::{
    fs::File,
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::Deserialize;
use tokio_rustls::rustls::{
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    sign::CertifiedKey,
};
use trace_contracts::Sha256;

/// A chain and a key are some kilobytes.
const MAX_BYTES: u64 = 256 * 1024;
/// Others may not read the key, and nobody but its owner may write it. A group may read it, because that is how
/// orchestrators hand secrets to a user that is not root.
const EXPOSED: u32 = 0o027;

/// Where a listener's certificate and key lie, both PEM.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Files {
    /// The certificate, followed by those that lead from it to its authority.
    pub certificate: PathBuf,
    /// Its private key (PKCS #8, PKCS #1 or SEC 1).
    pub key: PathBuf,
}

/// Why a pair can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A file can't be read.
    #[error("{path} can't be read: {reason}", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A file that is no certificate or key by its size.
    #[error("{} is longer than 256 KiB: it should hold one certificate chain, or one key", .0.display())]
    TooLong(PathBuf),
    /// Somebody else could read or change the key.
    #[error("the key {path} is open to others: run `chmod 600 {path}`", path = .0.display())]
    Exposed(PathBuf),
    /// No certificate.
    #[error("{path} holds no certificate in PEM: {reason}", path = .path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// No key.
    #[error("{} holds no private key in PEM", .0.display())]
    Key(PathBuf),
    /// They do not belong together.
    #[error("{certificate} and {key} are no pair: {reason}", certificate = .certificate.display(), key = .key.display())]
    Pair {
        /// The certificate.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
        /// What rustls says of them.
        reason: String,
    },
}

/// What the files held at one moment. Not `Debug`: there is a key in it.
pub(super) struct Content {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Files {
    /// Reads both, as they are now.
    pub(super) fn read(&self) -> Result<Content, Error> {
        let key = File::open(&self.key).map_err(unreadable(&self.key))?;
        if key.metadata().map_err(unreadable(&self.key))?.mode() & EXPOSED != 0 {
            return Err(Error::Exposed(self.key.clone()));
        }
        let certificate = File::open(&self.certificate).map_err(unreadable(&self.certificate))?;
        Ok(Content { certificate: bounded(certificate, &self.certificate)?, key: bounded(key, &self.key)? })
    }
}

impl Content {
    /// Tells one content from another.
    pub(super) fn digests(&self) -> [Sha256; 2] {
        [Sha256::of(&self.certificate), Sha256::of(&self.key)]
    }

    /// What a listener shows and signs with; they belong together.
    pub(super) fn certified(&self, files: &Files) -> Result<Arc<CertifiedKey>, Error> {
        let chain = certificates(&self.certificate, &files.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|_| Error::Key(files.key.clone()))?;
        let certified = CertifiedKey::from_der(chain, key, &super::provider());
        certified.map(Arc::new).map_err(|error| Error::Pair {
            certificate: files.certificate.clone(),
            key: files.key.clone(),
            reason: error.to_string(),
        })
    }
}

/// All certificates of a PEM file; at least one.
pub(super) fn certificates(pem: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let refused = |reason: String| Error::Certificate { path: path.to_owned(), reason };
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|error| refused(error.to_string()))?;
    if found.is_empty() { Err(refused("there is none in it".to_owned())) } else { Ok(found) }
}

/// The whole of a small file.
pub(super) fn bounded(file: File, path: &Path) -> Result<Vec<u8>, Error> {
    let mut content = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut content).map_err(unreadable(path))?;
    if content.len() as u64 > MAX_BYTES { Err(Error::TooLong(path.to_owned())) } else { Ok(content) }
}

pub(super) fn unreadable(path: &Path) -> impl Fn(io::Error) -> Error {
    let path = path.to_owned();
    move |error| Error::Read { path: path.clone(), reason: error.to_string() }
}
