//! The object store as the dispatcher uses it: listing outputs page by page, streaming blobs.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    extract::{Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use reqwest::Method;
use serde::Deserialize;
use trace_contracts::{Manifest, wire::worker::CompleteVerdict};
use trace_dispatcher::config::Limits;

use crate::support::{
    Platform,
    dags::{job, spec},
    platform::Options,
    wire::succeeded,
};

/// An S3 that knows `ListObjectsV2` and `GetObject` of one bucket.
#[derive(Clone, Default)]
struct Store(Arc<Mutex<Vec<String>>>);

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct List {
    prefix: String,
    continuation_token: Option<String>,
}

const PAGE: usize = 2;

impl Store {
    async fn serve(&self) -> String {
        let router = Router::new()
            .route("/trace", get(list))
            .route("/trace/", get(list))
            .route("/trace/{*key}", get(object))
            .with_state(self.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        format!("http://{address}")
    }

    fn put(&self, key: String) {
        let mut keys = self.0.lock().unwrap();
        keys.push(key);
        keys.sort();
    }
}

async fn list(State(store): State<Store>, Query(list): Query<List>) -> String {
    let from: usize = list.continuation_token.map_or(0, |token| token.parse().unwrap());
    let keys = store.0.lock().unwrap();
    let all: Vec<&String> = keys.iter().filter(|key| key.starts_with(&list.prefix)).collect();
    let page = all.iter().skip(from).take(PAGE);
    let contents: String = page
        .map(|key| format!("<Contents><Key>{key}</Key><ETag>&quot;e&quot;</ETag><Size>7</Size></Contents>"))
        .collect();
    let next = from + PAGE;
    let more = if next < all.len() {
        format!("<IsTruncated>true</IsTruncated><NextContinuationToken>{next}</NextContinuationToken>")
    } else {
        "<IsTruncated>false</IsTruncated>".to_owned()
    };
    format!(r#"<?xml version="1.0"?><ListBucketResult><Name>trace</Name>{more}{contents}</ListBucketResult>"#)
}

async fn object(
    State(store): State<Store>,
    axum::extract::Path(key): axum::extract::Path<String>,
) -> Response {
    if store.0.lock().unwrap().contains(&key) {
        return format!("content of {key}").into_response();
    }
    let error = r#"<?xml version="1.0"?><Error><Code>NoSuchKey</Code><Message>no</Message></Error>"#;
    (StatusCode::NOT_FOUND, error).into_response()
}

async fn platform(store: &Store) -> Platform {
    let limits = Limits { output_objects: 5, ..Limits::default() };
    Platform::with(Options { limits, object_store: Some(store.serve().await), ..Options::default() }).await
}

#[tokio::test]
async fn everything_under_the_prefix_is_in_the_manifest_and_nothing_else() {
    let store = Store::default();
    let platform = platform(&store).await;
    let run = platform.run(spec("d", vec![job("a")])).await;
    let lease = platform.claim_one().await;
    let root = format!("data/{}/{run}/{}/{}", platform.org, lease.launch.task, lease.attempt);
    for name in ["out/a.parquet", "out/b/c.parquet", "out/z.parquet", "out/y.parquet", "scratch/x.parquet"] {
        store.put(format!("{root}/{name}"));
    }
    store.put(format!("{root}0/out/other.parquet"));
    assert_eq!(platform.complete_one(succeeded(&lease)).await, CompleteVerdict::Recorded);
    let json: String =
        sqlx::query_scalar("select manifest from commits").fetch_one(&platform.db).await.unwrap();
    let manifest: Manifest = serde_json::from_str(&json).unwrap();
    let keys: Vec<&str> = manifest.objects.iter().map(|object| object.key.as_str()).collect();
    let expected =
        ["a.parquet", "b/c.parquet", "y.parquet", "z.parquet"].map(|name| format!("{root}/out/{name}"));
    assert_eq!(keys, expected);
    assert_eq!(manifest.total_bytes(), 28);
}

#[tokio::test]
async fn too_many_objects_and_odd_names_are_refused() {
    let store = Store::default();
    let platform = platform(&store).await;
    let run = platform.run(spec("d", vec![job("a"), job("b")])).await;
    let leases = platform.claim(2).await;
    let root =
        |n: usize| format!("data/{}/{run}/{}/{}/out", platform.org, leases[n].launch.task, leases[n].attempt);
    (0..6).for_each(|n| store.put(format!("{}/{n}.parquet", root(0))));
    store.put(format!("{}/a%2f..parquet", root(1)));
    let verdicts = platform.complete(leases.iter().map(succeeded).collect()).await;
    let detail = |verdict: &CompleteVerdict| match verdict {
        CompleteVerdict::Refused { detail } => detail.clone(),
        other => panic!("{other:?}"),
    };
    assert!(detail(&verdicts[0]).contains("more than 5 objects"), "{verdicts:?}");
    assert!(detail(&verdicts[1]).contains("rename the file"), "{verdicts:?}");
}

#[tokio::test]
async fn blobs_are_streamed_by_org_and_hash() {
    let store = Store::default();
    let platform = platform(&store).await;
    let sha256 = trace_contracts::Sha256::of(b"bundle");
    store.put(format!("blobs/{}/{sha256}", platform.org));
    let get = |path: String| {
        let request = platform.internal(Method::GET, &path, &platform.worker);
        async move { request.send().await.unwrap() }
    };
    let found = get(format!("/internal/blobs/{sha256}?org={}", platform.org)).await;
    assert_eq!(found.text().await.unwrap(), format!("content of blobs/{}/{sha256}", platform.org));
    assert_eq!(get(format!("/internal/blobs/{sha256}?org=o99")).await.status(), 404);
    assert_eq!(get(format!("/internal/blobs/{sha256}?org=../o1")).await.status(), 400);
    assert_eq!(get(format!("/internal/blobs/{sha256}")).await.status(), 400);
}
