//! Content by hash: asked for before it is sent.

use std::{path::Path, time::Duration};

use futures::TryStreamExt as _;
use reqwest::{Body, Method, StatusCode, header::CONTENT_LENGTH};
use tokio_util::io::ReaderStream;
use trace_contracts::{Sha256, wire::worker::Blob};

use super::{Client, Error, refusal, send};

/// The slowest line that an upload is given time for, in bytes a second.
const SLOWEST_UPLOAD: u64 = 64 * 1024;
/// How much of a file is read at once.
const CHUNK_BYTES: usize = 256 * 1024;

/// Where the bytes of a blob are.
#[derive(Debug)]
pub enum Content<'a> {
    /// Here.
    Bytes(bytes::Bytes),
    /// In a file, which is sent without taking it in whole.
    File(&'a Path),
}

impl Client {
    /// `HEAD /v1/blobs/{sha256}`: whether the org has it already.
    ///
    /// # Errors
    /// When the platform refuses or does not answer.
    pub async fn has_blob(&self, sha256: Sha256) -> Result<bool, Error> {
        let url = self.address.join(&["v1", "blobs", &sha256.to_string()]);
        let response =
            self.request(Method::HEAD, &url).send().await.map_err(|error| Error::transport(&url, &error))?;
        match response.status() {
            StatusCode::NOT_FOUND => Ok(false),
            status if status.is_success() => Ok(true),
            // A refusal of HEAD has no body to say why; the same question as GET would, and every
            // route of the platform refuses a user in the same words.
            _ => Err(self.whoami_refusal().await.unwrap_or(refusal(&url, response).await)),
        }
    }

    async fn whoami_refusal(&self) -> Option<Error> {
        self.get::<serde_json::Value>(&["v1", "whoami"], &[]).await.err()
    }

    /// `PUT /v1/blobs/{sha256}`. `sent` is told of each piece that goes out, in bytes.
    ///
    /// # Errors
    /// When the file can't be read, or the platform refuses or does not answer.
    pub async fn put_blob(
        &self,
        blob: Blob,
        content: &Content<'_>,
        sent: impl Fn(u64) + Send + Sync + 'static,
    ) -> Result<(), Error> {
        let url = self.address.join(&["v1", "blobs", &blob.sha256.to_string()]);
        let body = match content {
            Content::Bytes(bytes) => {
                sent(blob.size);
                Body::from(bytes.clone())
            }
            Content::File(path) => {
                let file = tokio::fs::File::open(path)
                    .await
                    .map_err(|source| Error::File { path: path.display().to_string(), source })?;
                let pieces = ReaderStream::with_capacity(file, CHUNK_BYTES);
                Body::wrap_stream(pieces.inspect_ok(move |piece| sent(piece.len() as u64)))
            }
        };
        let patience = Duration::from_secs(60 + blob.size / SLOWEST_UPLOAD);
        let request = self.request(Method::PUT, &url).timeout(patience).header(CONTENT_LENGTH, blob.size);
        send(&url, request.body(body)).await.map(drop)
    }
}
