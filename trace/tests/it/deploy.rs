//! `trace deploy`: what is packed, sent, and said when the platform refuses.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::platform::{Answer, Asked, Platform};

const YAML: &str = "name: flights
jobs:
  - name: ingest
    operator: csv_to_parquet
    files: { source: data/a.csv }
  - name: delays
    udf: { language: python, path: udfs/delays }
";

fn dag(folder: &Path) -> String {
    for (path, content) in [("dag.yaml", YAML), ("data/a.csv", "x\n1\n"), ("udfs/delays/main.py", "pass\n")] {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    folder.join("dag.yaml").to_str().unwrap().to_owned()
}

fn deployed() -> Value {
    json!({"dag": "g1", "name": "flights", "version": "gv1", "sha256": "0".repeat(64), "created": true,
           "jobs": ["ingest", "delays"]})
}

/// Has the file, and misses the bundle.
fn script(asked: &Asked) -> Answer {
    const CSV: &str = "daff832f802000e645771a60983c76c963f6ee602a6230e45237bd360e91cc1a";
    match asked.line.split_once(' ').unwrap() {
        ("HEAD", path) if path.ends_with(CSV) => Answer::status(200),
        ("HEAD", _) => Answer::status(404),
        ("PUT", _) => Answer::status(201),
        ("POST", "/v1/dags") => Answer::json(&deployed()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn only_what_is_missing_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let platform = Platform::start(script).await;
    let ran = platform.trace(&["deploy", &dag(folder.path()), "--json"]).await.ended_with(0);
    assert_eq!(ran.document(), deployed());

    let asked = platform.asked();
    let methods: Vec<&str> = asked.iter().map(|asked| asked.line.split(' ').next().unwrap()).collect();
    assert_eq!(methods, ["HEAD", "HEAD", "PUT", "POST"], "{}", ran.stderr);
    assert!(asked.iter().all(|asked| asked.authorization == "Bearer a-token"));

    let request: Value = serde_json::from_slice(&asked[3].body).unwrap();
    assert_eq!(request["yaml"], YAML);
    assert_eq!(request["blobs"]["data/a.csv"]["size"], 4);
    let bundle = &request["blobs"]["udfs/delays"];
    assert_eq!(bundle["size"], asked[2].body.len());
    assert_eq!(asked[2].line, format!("PUT /v1/blobs/{}", bundle["sha256"].as_str().unwrap()));
    assert!(asked[2].body.starts_with(b"PK"), "a bundle is a zip");
}

#[tokio::test]
async fn a_large_file_is_sent_whole() {
    let folder = tempfile::tempdir().unwrap();
    let file = dag(folder.path());
    let content = "0123456789abcdef".repeat(100_000);
    fs::write(folder.path().join("data/a.csv"), &content).unwrap();
    let platform = Platform::start(script).await;
    let ran = platform.trace(&["deploy", &file]).await.ended_with(0);
    assert!(ran.text().starts_with("deployed flights as version gv1 (2 jobs): ingest, delays\n"));
    assert!(ran.stderr.contains("uploaded data/a.csv  1.5 MiB"), "{}", ran.stderr);
    let put = platform.asked().into_iter().find(|asked| asked.line.starts_with("PUT")).unwrap();
    assert_eq!(put.body, content.as_bytes());
}

#[tokio::test]
async fn errors_point_into_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let platform = Platform::start(|asked| match asked.line.as_str() {
        "POST /v1/dags" => Answer::problem(
            422,
            "invalid_dag",
            "2 errors",
            &json!([{"line": 4, "column": 15, "field": "jobs[0].operator", "message": "no such operator"},
                    {"field": "publish", "message": "is missing"}]),
        ),
        _ => Answer::status(200),
    })
    .await;
    let file = dag(folder.path());
    let ran = platform.trace(&["deploy", &file, "--json"]).await.ended_with(3);
    assert!(ran.stdout.is_empty());
    assert!(
        ran.stderr.contains(&format!("{file}:4:15  jobs[0].operator: no such operator\n")),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains(" 4 |     operator: csv_to_parquet\n"), "{}", ran.stderr);
    assert!(ran.stderr.contains(&format!("{file}  publish: is missing")), "{}", ran.stderr);
}

#[tokio::test]
async fn nothing_is_sent_when_something_cannot_be_packed() {
    let folder = tempfile::tempdir().unwrap();
    let file = dag(folder.path());
    fs::write(&file, YAML.replace("data/a.csv", "../secret")).unwrap();
    let platform = Platform::start(script).await;
    let ran = platform.trace(&["deploy", &file]).await.ended_with(2);
    assert!(ran.stderr.contains("must be a plain path below the folder"), "{}", ran.stderr);
    assert!(platform.asked().is_empty());
}
