//! An object store for the tests: ranges, ETags, and nothing without a signature.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use arrow::array::RecordBatch;
use axum::{
    Router,
    extract::{Path, RawQuery, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use parquet::arrow::ArrowWriter;
use trace_contracts::{Manifest, ManifestObject, PartitionKey, Sha256};

pub const BUCKET: &str = "trace";

/// Objects by key, with their ETags.
#[derive(Clone, Default)]
pub struct Objects(Arc<Mutex<HashMap<String, Object>>>);

/// An ETag and a body.
type Object = (String, Vec<u8>);

impl Objects {
    pub fn router(&self) -> Router {
        Router::new().route("/trace/{*key}", get(object)).with_state(self.clone())
    }

    /// Stores a batch as Parquet and gives back its entry for a manifest.
    pub fn put(&self, key: &str, batch: &RecordBatch) -> ManifestObject {
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
        writer.write(batch).unwrap();
        writer.close().unwrap();
        self.put_bytes(key, bytes)
    }

    /// Stores anything and gives back its entry for a manifest.
    pub fn put_bytes(&self, key: &str, bytes: Vec<u8>) -> ManifestObject {
        let etag = Sha256::of(&bytes).to_string()[..32].to_owned();
        let object = ManifestObject {
            partition: PartitionKey::whole(),
            key: key.parse().unwrap(),
            size: bytes.len() as u64,
            etag: etag.clone(),
            version_id: None,
        };
        self.0.lock().unwrap().insert(key.to_owned(), (etag, bytes));
        object
    }

    /// Replaces what lies at a key.
    pub fn overwrite(&self, key: &str, bytes: &[u8]) {
        self.0.lock().unwrap().insert(key.to_owned(), ("other".to_owned(), bytes.to_vec()));
    }

    pub fn delete(&self, key: &str) {
        self.0.lock().unwrap().remove(key);
    }

    pub fn manifest(objects: Vec<ManifestObject>) -> Manifest {
        Manifest::new(BUCKET.to_owned(), objects)
    }
}

async fn object(
    State(objects): State<Objects>,
    Path(key): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let query = query.unwrap_or_default();
    if !query.contains("X-Amz-Signature=") || !query.contains("if-match") {
        return StatusCode::FORBIDDEN.into_response();
    }
    let objects = objects.0.lock().unwrap();
    let Some((etag, bytes)) = objects.get(&key) else { return StatusCode::NOT_FOUND.into_response() };
    let etag = format!("\"{etag}\"");
    if headers[header::IF_MATCH] != *etag {
        return StatusCode::PRECONDITION_FAILED.into_response();
    }
    let range = headers[header::RANGE].to_str().unwrap().strip_prefix("bytes=").unwrap();
    let (first, last) = range.split_once('-').unwrap();
    let part = bytes[first.parse().unwrap()..=last.parse().unwrap()].to_vec();
    (StatusCode::PARTIAL_CONTENT, [(header::ETAG, etag)], part).into_response()
}
