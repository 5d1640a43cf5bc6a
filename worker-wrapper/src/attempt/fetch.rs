//! Fetching blobs: hashed and counted while they arrive, and kept only when both hold.

use std::{fs::Permissions, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc};

use reqwest::{Response, StatusCode};
use tokio::{fs::File, io::AsyncWriteExt as _};
use trace_contracts::{
    OrgId,
    digest::Sha256Hasher,
    wire::{limit::BLOB_BYTES, worker::Blob},
};

use trace_controls::{Protection, stands};

use crate::{
    backoff::{Backoff, DISPATCHER_AWAY, Retrying},
    cache::{self, Cache, Entry, Form},
    dispatcher::{self, Dispatcher},
};

/// Times that a blob may arrive broken.
const TRIES: u32 = 5;

/// Why a blob is not there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The dispatcher does not have it.
    #[error("the platform has no content {} for this org; deploy the DAG again", .0.sha256)]
    Missing(Blob),
    /// Not what was declared.
    #[error("content {} is not what its hash and its size of {} bytes say", .0.sha256, .0.size)]
    Mismatch(Blob),
    /// Larger than any blob may be.
    #[error("content {} is declared with {} bytes; a blob has at most {BLOB_BYTES}", .0.sha256, .0.size)]
    TooLarge(Blob),
    /// The dispatcher could not be asked, or broke off.
    #[error("fetching content {}: {}", .0.sha256, .1)]
    Dispatcher(Blob, #[source] dispatcher::Error),
    /// The connection broke off in the middle.
    #[error("fetching content {}: {}", .0.sha256, .1)]
    Broken(Blob, #[source] reqwest::Error),
    /// This machine's disk.
    #[error("storing content {}: {}", .0.sha256, .1)]
    Disk(Blob, #[source] std::io::Error),
}

impl Error {
    /// Whether it is the platform's fault, not the task's.
    pub(crate) const fn is_ours(&self) -> bool {
        matches!(self, Self::Dispatcher(..) | Self::Broken(..) | Self::Disk(..))
    }
}

/// A blob as a read-only file, fetched unless it is cached.
pub(crate) async fn fetch(
    cache: &Cache,
    dispatcher: &Dispatcher,
    org: OrgId,
    blob: Blob,
) -> Result<Arc<Entry>, Error> {
    let key = cache::Key { org, sha256: blob.sha256, form: Form::File };
    cache.get(key, async |path: &Path| download(dispatcher, org, blob, path).await).await
}

async fn download(dispatcher: &Dispatcher, org: OrgId, blob: Blob, path: &Path) -> Result<u64, Error> {
    if blob.size > BLOB_BYTES {
        return Err(Error::TooLarge(blob));
    }
    let mut retrying = Retrying::new(DISPATCHER_AWAY);
    let mut backoff = Backoff::default();
    let mut tries_left = TRIES;
    loop {
        let error = match try_download(dispatcher, org, blob, path).await {
            Ok(()) => return Ok(blob.size),
            Err(error) => error,
        };
        let again = match &error {
            Error::Dispatcher(_, error) => error.is_passing() && retrying.again().await,
            // A body that was cut or mixed up on the way looks like content that lies.
            Error::Broken(..) | Error::Mismatch(_) if tries_left > 1 => {
                tries_left -= 1;
                backoff.pause().await;
                true
            }
            _ => false,
        };
        if !again {
            return Err(error);
        }
        tracing::warn!(%error, "a blob did not arrive; trying again");
        cache::remove(path).map_err(|error| Error::Disk(blob, error))?;
    }
}

async fn try_download(dispatcher: &Dispatcher, org: OrgId, blob: Blob, path: &Path) -> Result<(), Error> {
    let response = dispatcher.blob(org, blob.sha256).await.map_err(|error| match error.status() {
        Some(StatusCode::NOT_FOUND) => Error::Missing(blob),
        _ => Error::Dispatcher(blob, error),
    })?;
    let file = File::create_new(path).await.map_err(|error| Error::Disk(blob, error))?;
    store(response, blob, file).await
}

async fn store(mut response: Response, blob: Blob, mut file: File) -> Result<(), Error> {
    let mut hasher = Sha256Hasher::default();
    let mut left = blob.size;
    while let Some(chunk) = response.chunk().await.map_err(|error| Error::Broken(blob, error))? {
        left = left.checked_sub(chunk.len() as u64).ok_or(Error::Mismatch(blob))?;
        hasher.update(&chunk);
        file.write_all(&chunk).await.map_err(|error| Error::Disk(blob, error))?;
    }
    file.flush().await.map_err(|error| Error::Disk(blob, error))?;
    // Whatever the umask: the sandbox's user has to be able to read it.
    file.set_permissions(Permissions::from_mode(0o444)).await.map_err(|error| Error::Disk(blob, error))?;
    if left == 0 && (hasher.finish() == blob.sha256 || !stands(Protection::FetchedHash)) {
        Ok(())
    } else {
        Err(Error::Mismatch(blob))
    }
}
