//! Outputs to the object store, with the attempt's own short-lived keys: whatever goes wrong here,
//! the wrapper has no more authority over data than the task it runs.

use std::time::Duration;

use aws_credential_types::Credentials;
use aws_sdk_s3::{
    Client,
    config::{
        BehaviorVersion, IdentityCache, Region, RequestChecksumCalculation, retry::RetryConfig,
        timeout::TimeoutConfig,
    },
    error::{DisplayErrorContext, ProvideErrorMetadata as _},
    primitives::{ByteStream, Length},
};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use trace_contracts::{ObjectKey, S3Prefix, wire::task::SessionCredentials};

use super::access::Access;
use crate::{
    backoff::Backoff,
    config::{Addressing, ObjectStore},
    launcher::{OutputError, OutputFile, Outputs},
    task_api::{NoAccess, OutputAccess},
};

/// Files in flight at a time.
const CONCURRENCY: usize = 4;
/// Tries for each file.
const TRIES: u32 = 5;
/// What one `PutObject` takes.
const MAX_OBJECT_BYTES: u64 = 5 << 30;
/// What a store calls a session whose time is up.
const EXPIRED: &str = "ExpiredToken";
/// One file is up within this time.
const TIMEOUT: Duration = Duration::from_secs(600);

/// Why outputs are not uploaded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The code left something that can't be an output.
    #[error("{0}")]
    Unacceptable(String),
    /// The outputs can't be read here.
    #[error("reading the output `{0}`: {1}")]
    Unreadable(String, String),
    /// There are no keys, or none any more.
    #[error("asking for the outputs' keys: {0}")]
    NoAccess(#[from] NoAccess),
    /// The store does not take it.
    #[error("uploading the output `{0}`: {1}")]
    Store(String, String),
}

impl From<OutputError> for Error {
    fn from(error: OutputError) -> Self {
        match error {
            OutputError::Unacceptable(detail) => Self::Unacceptable(detail),
            OutputError::Unreadable(detail) => Self::Unreadable("/out".to_owned(), detail),
        }
    }
}

/// The object store, without any keys of its own; clones share connections.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    client: Client,
}

impl Store {
    pub(crate) fn new(settings: &ObjectStore) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(5))
            .operation_timeout(TIMEOUT)
            .build();
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(settings.endpoint.as_str())
            .region(Region::new(settings.region.clone()))
            .force_path_style(settings.addressing == Addressing::Path)
            // Each attempt has keys of its own, used for a moment: a cache would only grow.
            .identity_cache(IdentityCache::no_cache())
            // The body is a file that was opened once; this module opens it again for each try.
            .retry_config(RetryConfig::disabled())
            // A checksum in a trailer would replace the exact Content-Length by chunks.
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .timeout_config(timeouts)
            .build();
        Self { client: Client::from_conf(config) }
    }
}

/// A file and where it goes.
struct Upload<'a> {
    file: OutputFile,
    key: ObjectKey,
    access: &'a Access<'a>,
}

/// Uploads every file. On success all of them are there, whole.
pub(crate) async fn upload(
    store: &Store,
    access: &Access<'_>,
    outputs: &dyn Outputs,
    files: Vec<OutputFile>,
) -> Result<(), Error> {
    let first = access.current().await?;
    let place = |file| place(file, &first.output).map(|(file, key)| Upload { file, key, access });
    let uploads: Vec<Upload<'_>> = files.into_iter().map(place).collect::<Result<_, Error>>()?;
    stream::iter(uploads)
        .map(Ok)
        .try_for_each_concurrent(CONCURRENCY, |upload| async move { store.put(outputs, &upload).await })
        .await
}

fn place(file: OutputFile, output: &S3Prefix) -> Result<(OutputFile, ObjectKey), Error> {
    if file.size > MAX_OBJECT_BYTES {
        let limit = MAX_OBJECT_BYTES >> 30;
        return Err(Error::Unacceptable(format!(
            "`{}` is larger than {limit} GiB; write several files",
            file.path
        )));
    }
    let key = output
        .object(&file.path)
        .map_err(|error| Error::Unacceptable(format!("an output's name can't be a key: {error}")))?;
    Ok((file, key))
}

impl Store {
    async fn put(&self, outputs: &dyn Outputs, upload: &Upload<'_>) -> Result<(), Error> {
        let mut backoff = Backoff::default();
        let mut tries_left = TRIES;
        loop {
            tries_left -= 1;
            let body = body(outputs, &upload.file).await?;
            let access = upload.access.current().await?;
            match self.try_put(upload, &access, body).await {
                Ok(()) => return Ok(()),
                Err(refusal) if refusal.code == EXPIRED && tries_left > 0 => {
                    upload.access.expired(&access).await;
                }
                Err(refusal) if refusal.is_passing && tries_left > 0 => {
                    tracing::warn!(key = %upload.key, reason = refusal.detail, "an output was not taken; trying again");
                    backoff.pause().await;
                }
                Err(refusal) => return Err(Error::Store(upload.file.path.clone(), refusal.detail)),
            }
        }
    }

    async fn try_put(
        &self,
        upload: &Upload<'_>,
        access: &OutputAccess,
        body: ByteStream,
    ) -> Result<(), Refusal> {
        let keys = aws_sdk_s3::config::Builder::new()
            .region(Region::new(access.region.clone()))
            .credentials_provider(credentials(&access.session));
        let put = self
            .client
            .put_object()
            .bucket(access.output.bucket())
            .key(upload.key.as_str())
            .content_length(i64::try_from(upload.file.size).unwrap_or(i64::MAX))
            .body(body)
            .customize()
            .config_override(keys);
        match put.send().await {
            Ok(_) => Ok(()),
            Err(error) => {
                let status = error.raw_response().map(|response| response.status().as_u16());
                let is_passing = !matches!(status, Some(400..=407 | 409..=428 | 430..=499));
                let detail = error.code().map_or_else(
                    || DisplayErrorContext(&error).to_string(),
                    |code| format!("{code}: {}", error.message().unwrap_or_default()),
                );
                let code = error.code().unwrap_or_default().to_owned();
                Err(Refusal { is_passing, code, detail })
            }
        }
    }
}

/// Why one try failed.
struct Refusal {
    is_passing: bool,
    code: String,
    detail: String,
}

async fn body(outputs: &dyn Outputs, file: &OutputFile) -> Result<ByteStream, Error> {
    let unreadable = |error: String| Error::Unreadable(file.path.clone(), error);
    let open = outputs.open(file).map_err(|error| unreadable(error.to_string()))?;
    ByteStream::read_from()
        .file(tokio::fs::File::from_std(open))
        .length(Length::Exact(file.size))
        .build()
        .await
        .map_err(|error| unreadable(error.to_string()))
}

fn credentials(session: &SessionCredentials) -> Credentials {
    Credentials::new(
        session.access_key_id.clone(),
        session.secret_access_key.expose().clone(),
        Some(session.session_token.expose().clone()),
        Some(session.expires_at.into()),
        "attempt",
    )
}
