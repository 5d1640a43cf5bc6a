//! An object store of exactly the granted objects, read by their presigned addresses.

mod blocks;
mod fetch;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    fmt,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::DateTime;
use futures::{StreamExt, stream, stream::BoxStream};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, coalesce_ranges, path::Path,
};
use tokio::sync::OnceCell;
use trace_contracts::Sha256;

pub(crate) use self::{blocks::Blocks, fetch::http_client};
use crate::catalog::{EngineCatalog, EngineObject};

/// Objects up to this size are fetched whole, once a query: one request instead of one for the
/// footer and one for each run of columns.
const WHOLE_BYTES: u64 = 1 << 20;
/// What whole objects may take in all.
const WHOLE_BYTES_IN_ALL: u64 = 64 << 20;
/// Ranges of one object that are this near to each other are fetched in one request.
const GAP_BYTES: u64 = 256 << 10;

/// The granted objects. Listing, writing and every other path are refused.
pub(crate) struct GrantedStore {
    http: reqwest::Client,
    blocks: Arc<Blocks>,
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

impl Granted {
    /// Refuses what a footer claims and the object can't have.
    fn has(&self, range: &Range<u64>) -> Result<()> {
        if range.start <= range.end && range.end <= self.object.size {
            return Ok(());
        }
        let source = format!("bytes {range:?} of an object of {}", self.object.size).into();
        Err(Error::Generic { store: "granted", source })
    }
}

impl GrantedStore {
    /// The store of a catalog's objects.
    pub(crate) fn new(http: reqwest::Client, blocks: Arc<Blocks>, catalog: &EngineCatalog) -> Self {
        let mut left = WHOLE_BYTES_IN_ALL;
        let mut objects = HashMap::new();
        for object in catalog.tables.values().flat_map(|table| table.objects.iter()) {
            let fits = object.size <= WHOLE_BYTES.min(left);
            left -= if fits { object.size } else { 0 };
            let whole = fits.then(OnceCell::new);
            objects.insert(path(object), Granted { object: object.clone(), whole });
        }
        Self { http, blocks, objects, failure: Mutex::default() }
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

    fn granted(&self, location: &Path) -> Result<&Granted> {
        self.objects.get(location).ok_or_else(|| Error::NotFound {
            path: location.to_string(),
            source: "it is not a granted object".into(),
        })
    }

    async fn read(&self, at: &Path, granted: &Granted, range: Range<u64>) -> Result<Bytes, Failure> {
        let object = &granted.object;
        let Some(whole) = &granted.whole else { return self.read_block(at, object, range).await };
        let whole = whole.get_or_try_init(|| self.read_block(at, object, 0..object.size)).await?;
        Ok(whole.slice(range.start as usize..range.end as usize))
    }

    /// A range from the blocks, or else from the object store.
    async fn read_block(
        &self,
        at: &Path,
        object: &EngineObject,
        range: Range<u64>,
    ) -> Result<Bytes, Failure> {
        if let Some(bytes) = self.blocks.get(at, &range) {
            return Ok(bytes);
        }
        let bytes = fetch::fetch(&self.http, object, range.clone()).await?;
        self.blocks.put(at, range.start, &bytes);
        Ok(bytes)
    }
}

fn path(object: &EngineObject) -> Path {
    let identity = format!("{}\n{}\n{}", object.label, object.etag, object.size);
    Path::from(format!("{}.parquet", Sha256::of(identity.as_bytes())))
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
        let granted = self.granted(location)?;
        let size = granted.object.size;
        let asked = options.range.as_ref().map_or(Ok(0..size), |range| range.as_range(size));
        let range = asked.map_err(|error| Error::Generic { store: "granted", source: Box::new(error) })?;
        let bytes = if options.head {
            Bytes::new()
        } else {
            self.read(location, granted, range.clone()).await.map_err(|failure| self.failed(failure))?
        };
        Ok(GetResult {
            payload: GetResultPayload::Stream(stream::once(async { Ok(bytes) }).boxed()),
            meta: self.meta(&granted.object),
            range,
            attributes: object_store::Attributes::default(),
        })
    }

    /// What blocks have comes from them; the rest in as few requests as are sensible.
    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let granted = self.granted(location)?;
        ranges.iter().try_for_each(|range| granted.has(range))?;
        let known = |range: &Range<u64>| self.blocks.get(location, range);
        let mut found: Vec<Option<Bytes>> = ranges.iter().map(known).collect();
        let missing = |(range, found): (&Range<u64>, &Option<Bytes>)| found.is_none().then(|| range.clone());
        let missing: Vec<Range<u64>> = ranges.iter().zip(&found).filter_map(missing).collect();
        let fetch = |range| self.read(location, granted, range);
        let fetched = coalesce_ranges(&missing, fetch, GAP_BYTES).await;
        let mut fetched = fetched.map_err(|failure| self.failed(failure))?.into_iter();
        for slot in found.iter_mut().filter(|slot| slot.is_none()) {
            *slot = fetched.next();
        }
        Ok(found.into_iter().flatten().collect())
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
