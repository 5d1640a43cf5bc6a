//! An object store on loopback that answers what engines ask one: ranges of pinned objects by
//! presigned addresses. It checks what is asked for, and not the signature; the embedded store's own
//! tests do that.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use axum::{
    Router,
    extract::{Path as UrlPath, RawQuery, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use trace_contracts::{Manifest, ManifestObject, PartitionKey};

/// The bucket.
pub const BUCKET: &str = "trace";
const ETAG: &str = "as-laid-out";

/// The routes over the files of `folder`.
pub fn router(folder: &Path) -> Router {
    let folder: Arc<PathBuf> = Arc::new(folder.to_owned());
    Router::new().route("/trace/data/{file}", get(object)).with_state(folder)
}

/// The manifest of one table.
pub fn manifest(folder: &Path, table: &str) -> anyhow::Result<Manifest> {
    let file = format!("{table}.parquet");
    let size = folder.join(&file).metadata()?.len();
    let object = ManifestObject {
        partition: PartitionKey::whole(),
        key: format!("data/{file}").parse()?,
        size,
        etag: ETAG.to_owned(),
        version_id: None,
    };
    Ok(Manifest::new(BUCKET.to_owned(), vec![object]))
}

async fn object(
    State(folder): State<Arc<PathBuf>>,
    UrlPath(file): UrlPath<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let signed = query.is_some_and(|query| query.contains("X-Amz-Signature=") && query.contains("if-match"));
    let pinned = headers.get(header::IF_MATCH).is_some_and(|etag| *etag == *format!("\"{ETAG}\""));
    let range = headers.get(header::RANGE).and_then(|range| range.to_str().ok()).and_then(parse);
    let (true, true, Some((first, last)), false) = (signed, pinned, range, file.contains('/')) else {
        return StatusCode::FORBIDDEN.into_response();
    };
    let read = tokio::task::spawn_blocking(move || read(&folder.join(file), first, last));
    match read.await {
        Ok(Ok(bytes)) => {
            (StatusCode::PARTIAL_CONTENT, [(header::ETAG, format!("\"{ETAG}\""))], bytes).into_response()
        }
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

fn read(path: &Path, first: u64, last: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; (last - first + 1) as usize];
    File::open(path)?.read_exact_at(&mut bytes, first)?;
    Ok(bytes)
}

fn parse(range: &str) -> Option<(u64, u64)> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then_some((first, last))
}
