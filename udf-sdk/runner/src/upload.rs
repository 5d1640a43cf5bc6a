//! Outputs to the object store, with the attempt's own short-lived keys.

use std::{fs::File, io, time::Duration};

use chrono::Utc;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use reqwest::{Body, StatusCode, header};
use tokio::task::spawn_blocking;
use tokio_util::io::ReaderStream;
use trace_contracts::{ObjectKey, Sha256, digest::Sha256Hasher};
use trace_plane::{Backoff, Trust, client::read_capped};
use trace_surface::output::{OutputDir, OutputFile};
use url::Url;

use crate::{
    api::{self, Api, OutputAccess},
    sigv4::{Request, Signer, amz_date, encode},
};

/// Files in flight at a time.
const CONCURRENCY: usize = 4;
/// Tries for each file.
const TRIES: u32 = 5;
/// What one `PutObject` takes.
const MAX_OBJECT_BYTES: u64 = 5 << 30;
/// One file is up within this time.
const TIMEOUT: Duration = Duration::from_secs(600);
/// A refusal is never longer.
const MAX_REPLY_BYTES: usize = 64 * 1024;

/// Why outputs are not uploaded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The code left something that can't be an output.
    #[error("{0}")]
    Unacceptable(String),
    /// There are no keys, or none any more.
    #[error(transparent)]
    Access(#[from] api::Error),
    /// The outputs can't be read.
    #[error("reading the output `{0}`: {1}")]
    Unreadable(String, String),
    /// The store does not take it.
    #[error("the object store does not take the output `{0}`: {1}")]
    Store(String, String),
}

/// The object store.
#[derive(Debug)]
pub struct Store {
    endpoint: Url,
    http: reqwest::Client,
}

/// A file and where it goes.
struct Upload {
    file: OutputFile,
    key: ObjectKey,
}

/// Uploads every file. On success all of them are there, whole.
///
/// # Errors
/// See [`Error`].
pub async fn upload(
    store: &Store,
    api: &Api,
    outputs: &OutputDir,
    files: Vec<OutputFile>,
) -> Result<(), Error> {
    if files.is_empty() {
        return Ok(());
    }
    let first = api.output_access().await?;
    let place = |file| place(file, &first);
    let uploads: Vec<Upload> = files.into_iter().map(place).collect::<Result<_, Error>>()?;
    let first = &first;
    stream::iter(uploads)
        .map(Ok)
        .try_for_each_concurrent(CONCURRENCY, |upload| async move {
            store.put(api, first, outputs, &upload).await
        })
        .await
}

fn place(file: OutputFile, access: &OutputAccess) -> Result<Upload, Error> {
    if file.size > MAX_OBJECT_BYTES {
        let limit = MAX_OBJECT_BYTES >> 30;
        return Err(Error::Unacceptable(format!(
            "`{}` is larger than {limit} GiB; write several files",
            file.path
        )));
    }
    let key = access.output.object(&file.path);
    let key =
        key.map_err(|error| Error::Unacceptable(format!("an output's name can't be a key: {error}")))?;
    Ok(Upload { file, key })
}

/// Why one try failed.
struct Refusal {
    status: Option<StatusCode>,
    detail: String,
}

impl Store {
    /// The store at `endpoint`, whose buckets are named in the path.
    #[must_use]
    pub fn new(endpoint: &Url, trust: &Trust) -> Self {
        Self { endpoint: endpoint.clone(), http: trust.http_client(TIMEOUT) }
    }

    async fn put(
        &self,
        api: &Api,
        first: &OutputAccess,
        outputs: &OutputDir,
        upload: &Upload,
    ) -> Result<(), Error> {
        let path = || upload.file.path.clone();
        let unreadable = |error: &dyn std::error::Error| Error::Unreadable(path(), error.to_string());
        let open = || outputs.open(&upload.file).map_err(|error| unreadable(&error));
        let hash = hash(open()?).await.map_err(|error| unreadable(&error))?;
        let mut backoff = Backoff::default();
        let mut renewed = None;
        let mut tries_left = TRIES;
        loop {
            tries_left -= 1;
            let access = renewed.as_ref().unwrap_or(first);
            let refusal = match self.try_put(access, upload, open()?, hash).await {
                Ok(()) => return Ok(()),
                Err(refusal) if tries_left > 0 => refusal,
                Err(refusal) => return Err(Error::Store(path(), refusal.detail)),
            };
            match refusal.status {
                // Keys last a quarter of an hour, and outputs may take longer.
                Some(StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED) => {
                    renewed = Some(api.output_access().await?);
                }
                _ => backoff.pause().await,
            }
        }
    }

    async fn try_put(
        &self,
        access: &OutputAccess,
        upload: &Upload,
        file: File,
        hash: Sha256,
    ) -> Result<(), Refusal> {
        let broken = |detail: String| Refusal { status: None, detail };
        let target = format!("{}{}/{}", self.endpoint.path(), access.output.bucket(), upload.key.as_str());
        let mut url = self.endpoint.clone();
        url.set_path(&encode(&target));
        let host = match (url.host_str(), url.port()) {
            (Some(host), Some(port)) => format!("{host}:{port}"),
            (host, _) => host.unwrap_or_default().to_owned(),
        };
        let (date, body) = (amz_date(Utc::now()), hash.to_string());
        let session = &access.session;
        let headers = [
            ("x-amz-content-sha256", body.as_str()),
            ("x-amz-date", date.as_str()),
            ("x-amz-security-token", session.session_token.expose().as_str()),
        ];
        let signed = [&[("host", host.as_str())][..], &headers].concat();
        let request = Request { method: "PUT", path: url.path(), headers: &signed, body: hash };
        let signer = Signer {
            access_key_id: &session.access_key_id,
            secret_access_key: &session.secret_access_key,
            region: &access.region,
        };
        let authorization = signer.authorization(&request, &date);
        let stream = ReaderStream::new(tokio::fs::File::from_std(file));
        let mut put = self.http.put(url).header(header::AUTHORIZATION, authorization);
        for (name, value) in headers {
            put = put.header(name, value);
        }
        let put = put.header(header::CONTENT_LENGTH, upload.file.size).body(Body::wrap_stream(stream));
        let response = put.send().await.map_err(|error| broken(error.without_url().to_string()))?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let said = read_capped(response, MAX_REPLY_BYTES).await.ok().flatten().unwrap_or_default();
        let said: String = String::from_utf8_lossy(&said).chars().take(300).collect();
        Err(Refusal { status: Some(status), detail: format!("{status}: {said}") })
    }
}

async fn hash(mut file: File) -> io::Result<Sha256> {
    spawn_blocking(move || {
        let mut hasher = Sha256Hasher::default();
        let mut buffer = vec![0; 256 * 1024];
        loop {
            match io::Read::read(&mut file, &mut buffer)? {
                0 => return Ok(hasher.finish()),
                length => hasher.update(&buffer[..length]),
            }
        }
    })
    .await
    .map_err(io::Error::other)?
}
