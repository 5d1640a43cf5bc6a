//! Local files as pinned objects, read by range.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{File, Metadata},
    io::{self, Read, Seek, SeekFrom},
    net::SocketAddr,
    os::unix::fs::MetadataExt,
    path::PathBuf,
    sync::Arc,
};

use axum::{
    Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use trace_contracts::{Name, Secret};
use uuid::Uuid;

use crate::catalog::{EngineCatalog, EngineObject, EngineTable};

/// A file, as it was when it was published.
struct Object {
    path: PathBuf,
    etag: String,
}

type Objects = Arc<HashMap<Uuid, Object>>;

/// The catalog of these files, and the routes by which engines read them at `address`.
pub(crate) fn publish(
    files: &BTreeMap<Name, PathBuf>,
    address: SocketAddr,
) -> Result<(EngineCatalog, Router), (PathBuf, io::Error)> {
    let mut catalog = EngineCatalog::default();
    let mut objects = HashMap::new();
    for (name, path) in files {
        let metadata = path.metadata().map_err(|error| (path.clone(), error))?;
        let id = Uuid::new_v4();
        let object = EngineObject {
            label: path.display().to_string(),
            url: Secret::new(format!("http://{address}/objects/{id}")),
            etag: etag(&metadata),
            size: metadata.len(),
        };
        objects.insert(id, Object { path: path.clone(), etag: object.etag.clone() });
        let table = EngineTable { objects: Arc::new([object]), columns: None, row_filter: None };
        catalog.tables.insert(name.clone(), table);
    }
    let router = Router::new().route("/objects/{id}", get(object)).with_state(Arc::new(objects));
    Ok((catalog, router))
}

async fn object(State(objects): State<Objects>, Path(id): Path<Uuid>, headers: HeaderMap) -> Response {
    let range = headers.get(header::RANGE).and_then(|range| range.to_str().ok()).and_then(parse);
    let (Some(_), Some((first, last))) = (objects.get(&id), range) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let read = tokio::task::spawn_blocking(move || objects.get(&id).map(|object| object.read(first, last)));
    match read.await {
        Ok(Some(Ok(Some((etag, bytes))))) => {
            (StatusCode::PARTIAL_CONTENT, [(header::ETAG, format!("\"{etag}\""))], bytes).into_response()
        }
        Ok(Some(Ok(None))) => StatusCode::PRECONDITION_FAILED.into_response(),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

impl Object {
    /// The bytes from `first` to `last`; `None` when the file has changed.
    fn read(&self, first: u64, last: u64) -> io::Result<Option<(String, Vec<u8>)>> {
        let mut file = File::open(&self.path)?;
        if etag(&file.metadata()?) != self.etag {
            return Ok(None);
        }
        file.seek(SeekFrom::Start(first))?;
        let mut bytes = Vec::new();
        file.take(last - first + 1).read_to_end(&mut bytes)?;
        Ok(Some((self.etag.clone(), bytes)))
    }
}

/// Changes whenever the file does.
fn etag(metadata: &Metadata) -> String {
    format!("{}-{}-{}-{}", metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec())
}

/// `bytes=FIRST-LAST`, the one form that the store asks in.
fn parse(range: &str) -> Option<(u64, u64)> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then_some((first, last))
}
