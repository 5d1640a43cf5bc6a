//! An object store of exactly the granted objects, read by their presigned addresses.

use std::{
    collections::HashMap,
    fmt,
    ops::Range,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use chrono::DateTime;
use futures::{StreamExt, stream, stream::BoxStream};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, path::Path,
};
use reqwest::{Response, StatusCode, header};
use tokio::sync::OnceCell;
use trace_contracts::Sha256;

use crate::catalog::{EngineCatalog, EngineObject};

/// Objects up to this size are fetched whole, once a query: one request instead of one for the
/// footer and one for each run of columns.
const WHOLE_BYTES: u64 = 1 << 20;
/// What whole objects may take in all.
const WHOLE_BYTES_IN_ALL: u64 = 64 << 20;
/// Tries of one request, where the connection or the store fails.
const TRIES: usize = 3;

/// The granted objects. Listing, writing and every other path are refused.
pub(crate) struct GrantedStore {
    http: reqwest::Client,
    objects: HashMap<Path, Granted>,
    failure: Mutex<Option<Failure>>,
}

struct Granted {
    object: EngineObject,
    /// Where it is small enough, its bytes once they were fetched.
    whole: Option<OnceCell<Bytes>>,
}

/// Why an object could not be read. Never holds an address: addresses are secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    /// It is gone, or not what was committed.
    #[error("object `{0}` is gone or no longer what was committed; run the job that made it again")]
    Changed(String),
    /// The store says no to our signature.
    #[error("the object store refuses to read `{0}`")]
    Refused(String),
    /// The store is away.
    #[error("the object store can't be reached to read `{0}`; try again")]
    Away(String),
}

impl GrantedStore {
    /// The store of a catalog's objects.
    pub(crate) fn new(http: reqwest::Client, catalog: &EngineCatalog) -> Self {
        let mut left = WHOLE_BYTES_IN_ALL;
        let mut objects = HashMap::new();
        for object in catalog.tables.values().flat_map(|table| table.objects.iter()) {
            let fits = object.size <= WHOLE_BYTES.min(left);
            left -= if fits { object.size } else { 0 };
            let whole = fits.then(OnceCell::new);
            objects.insert(path(object), Granted { object: object.clone(), whole });
        }
        Self { http, objects, failure: Mutex::default() }
    }

    /// The object as DataFusion knows it. Its path is a hash of its identity, so that what is cached
    /// by path is cached by content.
    pub(crate) fn meta(&self, object: &EngineObject) -> ObjectMeta {
        ObjectMeta {
            location: path(object),
            last_modified: DateTime::UNIX_EPOCH,
            size: object.size,
            e_tag: Some(object.etag.clone()),
            version: None,
        }
    }

    /// The first failure of the query, which says more than what the operators made of it.
    pub(crate) fn failure(&self) -> Option<Failure> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn read(&self, granted: &Granted, range: Range<u64>) -> Result<Bytes, Failure> {
        let object = &granted.object;
        let Some(whole) = &granted.whole else { return self.fetch(object, range).await };
        let whole = whole.get_or_try_init(|| self.fetch(object, 0..object.size)).await?;
        Ok(whole.slice(range.start as usize..range.end as usize))
    }

    async fn fetch(&self, object: &EngineObject, range: Range<u64>) -> Result<Bytes, Failure> {
        let mut failure = Failure::Away(object.label.clone());
        for _ in 0..TRIES {
            match self.fetch_once(object, &range).await {
                Err(away @ Failure::Away(_)) => failure = away,
                verdict => return verdict,
            }
        }
        Err(failure)
    }

    async fn fetch_once(&self, object: &EngineObject, range: &Range<u64>) -> Result<Bytes, Failure> {
        let away = || Failure::Away(object.label.clone());
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let response = self
            .http
            .get(object.url.expose())
            .header(header::IF_MATCH, format!("\"{}\"", object.etag))
            .header(header::RANGE, format!("bytes={}-{}", range.start, range.end - 1))
            .send()
            .await
            .map_err(|_| away())?;
        check(&response, object, range)?;
        body(response, (range.end - range.start) as usize).await?.ok_or_else(away)
    }
}

/// Whether the answer is the range that was asked for, of the object that was pinned.
fn check(response: &Response, object: &EngineObject, range: &Range<u64>) -> Result<(), Failure> {
    let label = || object.label.clone();
    let whole = *range == (0..object.size);
    match response.status() {
        StatusCode::PARTIAL_CONTENT => {}
        StatusCode::OK if whole => {}
        StatusCode::NOT_FOUND | StatusCode::PRECONDITION_FAILED | StatusCode::RANGE_NOT_SATISFIABLE => {
            return Err(Failure::Changed(label()));
        }
        status if status.is_client_error() => return Err(Failure::Refused(label())),
        _ => return Err(Failure::Away(label())),
    }
    let etag = response.headers().get(header::ETAG).and_then(|etag| etag.to_str().ok());
    if etag.map(|etag| etag.trim_matches('"')) != Some(&object.etag) {
        return Err(Failure::Changed(label()));
    }
    Ok(())
}

/// The body if it has exactly `expected` bytes; stops reading at the first byte too many.
async fn body(response: Response, expected: usize) -> Result<Option<Bytes>, Failure> {
    let mut bytes = BytesMut::with_capacity(expected);
    let mut chunks = response.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        let Ok(chunk) = chunk else { return Ok(None) };
        if bytes.len() + chunk.len() > expected {
            return Ok(None);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok((bytes.len() == expected).then(|| bytes.freeze()))
}

fn path(object: &EngineObject) -> Path {
    let identity = format!("{}\n{}\n{}", object.label, object.etag, object.size);
    Path::from(format!("{}.parquet", Sha256::of(identity.as_bytes())))
}

/// A client for presigned addresses: no redirects, no proxies, no waiting for ever.
pub(crate) fn http_client() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_secs(5))
        .read_timeout(Duration::from_secs(10))
        .build()
}

impl fmt::Debug for GrantedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GrantedStore({} objects)", self.objects.len())
    }
}

impl fmt::Display for GrantedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

fn refused(operation: &str) -> Error {
    Error::NotSupported { source: format!("granted objects can be read, not {operation}").into() }
}

#[async_trait]
impl ObjectStore for GrantedStore {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let granted = self.objects.get(location).ok_or_else(|| Error::NotFound {
            path: location.to_string(),
            source: "it is not a granted object".into(),
        })?;
        let size = granted.object.size;
        let asked = options.range.as_ref().map_or(Ok(0..size), |range| range.as_range(size));
        let range = asked.map_err(|error| Error::Generic { store: "granted", source: Box::new(error) })?;
        let bytes = if options.head {
            Bytes::new()
        } else {
            self.read(granted, range.clone()).await.map_err(|failure| self.failed(failure))?
        };
        Ok(GetResult {
            payload: GetResultPayload::Stream(stream::once(async { Ok(bytes) }).boxed()),
            meta: self.meta(&granted.object),
            range,
            attributes: object_store::Attributes::default(),
        })
    }

    async fn put_opts(&self, _: &Path, _: PutPayload, _: PutOptions) -> Result<PutResult> {
        Err(refused("written"))
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Err(refused("written"))
    }

    fn delete_stream(&self, _: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        stream::once(async { Err(refused("deleted")) }).boxed()
    }

    fn list(&self, _: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        stream::once(async { Err(refused("listed")) }).boxed()
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        Err(refused("listed"))
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(refused("copied"))
    }
}

impl GrantedStore {
    fn failed(&self, failure: Failure) -> Error {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(failure.clone());
        Error::Generic { store: "granted", source: Box::new(failure) }
    }
}
