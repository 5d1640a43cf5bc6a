//! An object store in memory: just the requests that the dispatcher makes, without signatures.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, Query, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};

/// What the store holds, by key.
#[derive(Debug, Clone, Default)]
pub struct FakeS3 {
    objects: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    signers: Arc<Mutex<Vec<String>>>,
}

impl FakeS3 {
    /// Serves a new store; answers it and its address.
    pub async fn start() -> (Self, url::Url) {
        let store = Self::default();
        let router = Router::new()
            .route("/{bucket}", get(list))
            .route("/{bucket}/", get(list))
            .route("/{bucket}/{*key}", get(read).put(write))
            .layer(DefaultBodyLimit::disable())
            .with_state(store.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("a listener has an address");
        tokio::spawn(async move { axum::serve(listener, router).await });
        (store, format!("http://{address}").parse().expect("an address"))
    }

    /// The content of a key.
    pub fn get(&self, key: &str) -> Option<Vec<u8>> {
        self.objects.lock().expect("no test panics while it holds this").get(key).cloned()
    }

    /// Puts content at a key, as a task does.
    pub fn put(&self, key: &str, content: &[u8]) {
        let mut objects = self.objects.lock().expect("no test panics while it holds this");
        objects.insert(key.to_owned(), content.to_vec());
    }

    /// Every key.
    pub fn keys(&self) -> Vec<String> {
        self.objects.lock().expect("no test panics while it holds this").keys().cloned().collect()
    }

    /// The access keys that signed what was written since the last call.
    pub fn take_signers(&self) -> Vec<String> {
        std::mem::take(&mut *self.signers.lock().expect("no test panics while it holds this"))
    }
}

fn etag(content: &[u8]) -> String {
    format!("\"{}\"", &trace_contracts::Sha256::of(content).to_string()[..32])
}

async fn write(
    State(store): State<FakeS3>,
    Path((_, key)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    store.signers.lock().expect("no test panics while it holds this").extend(access_key(&headers));
    let chunked = headers.get(header::CONTENT_ENCODING).is_some_and(|value| value == "aws-chunked");
    let content = if chunked { unchunked(&body) } else { body.to_vec() };
    let etag = etag(&content);
    store.put(&key, &content);
    [(header::ETAG, etag)].into_response()
}

/// Who has signed a request: `Credential=KEY/…` of its `Authorization`.
pub fn access_key(headers: &HeaderMap) -> Option<String> {
    let authorization = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (_, credential) = authorization.split_once("Credential=")?;
    credential.split('/').next().map(ToOwned::to_owned)
}

/// Takes the framing off: sizes in hexadecimal, each followed by so many bytes, until a 0.
fn unchunked(mut body: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    while let Some(end) = body.windows(2).position(|pair| pair == b"\r\n") {
        let line = std::str::from_utf8(&body[..end]).expect("a chunk's head is text");
        let size = line.split(';').next().and_then(|size| usize::from_str_radix(size, 16).ok());
        match size.expect("a chunk starts with its size") {
            0 => break,
            size => {
                content.extend_from_slice(&body[end + 2..end + 2 + size]);
                body = &body[end + 2 + size + 2..];
            }
        }
    }
    content
}

async fn read(State(store): State<FakeS3>, Path((_, key)): Path<(String, String)>) -> Response {
    match store.get(&key) {
        Some(content) => ([(header::ETAG, etag(&content))], content).into_response(),
        None => {
            let error = "<Error><Code>NoSuchKey</Code><Message>no such key</Message></Error>";
            (StatusCode::NOT_FOUND, [(header::CONTENT_TYPE, "application/xml")], error).into_response()
        }
    }
}

async fn list(State(store): State<FakeS3>, Query(query): Query<BTreeMap<String, String>>) -> Response {
    let prefix = query.get("prefix").cloned().unwrap_or_default();
    let objects: String = store
        .keys()
        .into_iter()
        .filter(|key| key.starts_with(&prefix))
        .map(|key| {
            let content = store.get(&key).unwrap_or_default();
            format!(
                "<Contents><Key>{key}</Key><Size>{}</Size><ETag>{}</ETag></Contents>",
                content.len(),
                etag(&content).replace('"', "&quot;")
            )
        })
        .collect();
    let body = format!("<ListBucketResult><IsTruncated>false</IsTruncated>{objects}</ListBucketResult>");
    ([(header::CONTENT_TYPE, "application/xml")], body).into_response()
}
