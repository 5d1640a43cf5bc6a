//! Bundles and input files, by content. What a client calls its hash is only a claim: content is
//! spooled to a file of its own and hashed on the way, and goes to the object store only if the
//! claim was true.

use std::{io, time::Duration};

use async_trait::async_trait;
use aws_sdk_s3::{operation::get_object::GetObjectError, primitives::ByteStream};
use axum::body::Bytes;
use futures::{Stream, StreamExt as _, stream};
use tempfile::NamedTempFile;
use tokio::{io::AsyncWriteExt as _, sync::Semaphore, time::timeout};
use trace_aws::Failure;
use trace_contracts::{
    OrgId, Sha256,
    digest::Sha256Hasher,
    wire::{limit, worker::Blob},
};

use trace_controls::{Protection, stands};

use crate::{bundles::BlobSource, objects::Objects};

/// Uploads at the same time: with [`limit::BLOB_BYTES`] each, what they may spool is bounded.
static SLOTS: Semaphore = Semaphore::const_new(8);
/// An upload waits this long for a slot, and this long for its next bytes.
const PATIENCE: Duration = Duration::from_secs(30);
/// One upload takes this long at most.
const UPLOAD_TIME: Duration = Duration::from_secs(15 * 60);

/// Why a blob was not stored or can't be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// More bytes than a blob may have.
    #[error("a blob has at most {} bytes", limit::BLOB_BYTES)]
    TooLarge,
    /// The content is not what its address says.
    #[error("the content has SHA-256 {found}, its address says {claimed}: was it changed while it was sent?")]
    WrongHash {
        /// What the client said.
        claimed: Sha256,
        /// What it sent.
        found: Sha256,
    },
    /// The connection ended or stalled before the content was there.
    #[error("the upload ended before all of it was there; send it again")]
    Interrupted,
    /// Too many uploads at once.
    #[error("too many uploads at once; try again")]
    Busy,
    /// The spool file can't be written.
    #[error("the spool file failed")]
    Spool(#[source] io::Error),
    /// The object store failed.
    #[error("the object store failed")]
    Store(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Content on this machine that has been hashed: the hash is not a claim any more.
#[derive(Debug)]
pub struct Spooled {
    file: NamedTempFile,
    blob: Blob,
}

/// The content in the object store.
#[derive(Debug)]
pub struct StoredBlobs(Objects);

impl Spooled {
    /// What it is.
    #[must_use]
    pub const fn blob(&self) -> Blob {
        self.blob
    }

    /// The content, from its beginning.
    ///
    /// # Errors
    /// When the spool file is gone.
    pub fn open(&self) -> Result<std::fs::File, Error> {
        self.file.reopen().map_err(Error::Spool)
    }
}

impl StoredBlobs {
    /// In this store.
    #[must_use]
    pub const fn new(objects: Objects) -> Self {
        Self(objects)
    }
}

#[async_trait]
impl BlobSource for StoredBlobs {
    async fn fetch(&self, org: OrgId, blob: Blob) -> Result<Option<Spooled>, Error> {
        let request = self.0.client().get_object().bucket(self.0.bucket());
        let answer = request.key(Objects::blob_key(org, blob.sha256)).send().await;
        let body = match answer {
            Ok(object) => object.body,
            Err(error) if error.as_service_error().is_some_and(GetObjectError::is_no_such_key) => {
                return Ok(None);
            }
            Err(error) => return Err(Error::Store(Failure::of("S3", "GetObject", &error).into())),
        };
        let pieces = stream::unfold(body, |mut body| async { Some((body.next().await?, body)) });
        spool(pieces, blob.size).await.map(Some)
    }
}

/// Takes in content that its sender calls `claimed`, within bounds of size and time.
///
/// # Errors
/// When it is something else, too large, or does not arrive.
pub async fn receive<E>(
    content: impl Stream<Item = Result<Bytes, E>>,
    claimed: Sha256,
) -> Result<Spooled, Error> {
    let slot = timeout(PATIENCE, SLOTS.acquire()).await;
    let _slot = slot.map_err(|_| Error::Busy)?.map_err(|_| Error::Busy)?;
    let spooled =
        timeout(UPLOAD_TIME, spool(content, limit::BLOB_BYTES)).await.map_err(|_| Error::Interrupted)??;
    let found = spooled.blob.sha256;
    if !stands(Protection::UploadedHash) {
        return Ok(Spooled { blob: Blob { sha256: claimed, ..spooled.blob }, ..spooled });
    }
    if found == claimed { Ok(spooled) } else { Err(Error::WrongHash { claimed, found }) }
}

/// Writes content of at most so many bytes to a file of its own.
///
/// # Errors
/// When it is more, or does not arrive.
pub async fn spool<E>(content: impl Stream<Item = Result<Bytes, E>>, most: u64) -> Result<Spooled, Error> {
    let file = NamedTempFile::new().map_err(Error::Spool)?;
    let mut writer = tokio::fs::File::from_std(file.reopen().map_err(Error::Spool)?);
    let mut hasher = Sha256Hasher::default();
    let mut size: u64 = 0;
    let mut content = std::pin::pin!(content);
    while let Some(piece) = timeout(PATIENCE, content.next()).await.map_err(|_| Error::Interrupted)? {
        let piece = piece.map_err(|_| Error::Interrupted)?;
        size += piece.len() as u64;
        if size > most {
            return Err(Error::TooLarge);
        }
        hasher.update(&piece);
        writer.write_all(&piece).await.map_err(Error::Spool)?;
    }
    writer.flush().await.map_err(Error::Spool)?;
    Ok(Spooled { file, blob: Blob { sha256: hasher.finish(), size } })
}

/// Puts content into the object store. The same content again is the same object.
///
/// # Errors
/// When the spool file or the store fails.
pub async fn store(objects: &Objects, org: OrgId, spooled: &Spooled) -> Result<(), Error> {
    let body =
        ByteStream::from_path(spooled.file.path()).await.map_err(|error| Error::Store(error.into()))?;
    objects
        .client()
        .put_object()
        .bucket(objects.bucket())
        .key(Objects::blob_key(org, spooled.blob.sha256))
        .body(body)
        .send()
        .await
        .map_err(|error| Error::Store(Failure::of("S3", "PutObject", &error).into()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(content: &'static [u8]) -> impl Stream<Item = Result<Bytes, io::Error>> {
        stream::iter(content.chunks(3).map(|piece| Ok(Bytes::from_static(piece))))
    }

    #[tokio::test]
    async fn content_is_what_it_hashes_to() {
        let claimed = Sha256::of(b"ten bytes!");
        let spooled = receive(pieces(b"ten bytes!"), claimed).await.unwrap();
        assert_eq!(spooled.blob(), Blob { sha256: claimed, size: 10 });
        assert_eq!(std::fs::read(spooled.file.path()).unwrap(), b"ten bytes!");
    }

    #[tokio::test]
    async fn a_false_claim_and_a_broken_upload_leave_nothing() {
        let claimed = Sha256::of(b"something else");
        let error = receive(pieces(b"ten bytes!"), claimed).await.unwrap_err();
        assert!(matches!(error, Error::WrongHash { .. }), "{error}");
        let broken = pieces(b"ten").chain(stream::iter([Err(io::Error::other("reset"))]));
        let error = receive(broken, claimed).await.unwrap_err();
        assert!(matches!(error, Error::Interrupted), "{error}");
    }
}
