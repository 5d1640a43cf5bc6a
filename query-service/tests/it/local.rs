//! Queries over local files, as `trace udf test` asks them.

use std::fs::File;

use parquet::arrow::ArrowWriter;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use trace_query_service::{
    config::{EngineCommand, Engines, Limits},
    local,
};

use crate::platform::{engine_program, flights};

#[tokio::test]
async fn local_files_are_tables_behind_the_same_gate() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("flights.parquet");
    let mut writer = ArrowWriter::try_new(File::create(&path).unwrap(), flights().schema(), None).unwrap();
    writer.write(&flights()).unwrap();
    writer.close().unwrap();
    let command = EngineCommand { program: engine_program(&folder), args: vec!["engine".into()] };
    let config = local::Config {
        files: [("flights".parse().unwrap(), path)].into(),
        engines: Engines { count: 1, command: Some(command), ..Engines::default() },
        limits: Limits::default(),
    };
    let shutdown = CancellationToken::new();
    let local = local::serve(config, shutdown.clone()).await.unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://{}/v1/task/query", local.address);
    let ask = async |sql: &str| -> Value {
        http.post(&url).json(&json!({ "sql": sql })).send().await.unwrap().json().await.unwrap()
    };
    assert_eq!(ask("SELECT count(*) FROM flights").await["rows"], json!([[12]]));
    assert_eq!(ask("SELECT * FROM weather").await["code"], "forbidden");
    assert_eq!(ask("SELECT * FROM '/etc/passwd'").await["code"], "forbidden");
    assert_eq!(ask("DROP TABLE flights").await["code"], "sql_refused");
    shutdown.cancel();
    local.stopped().await;
}

#[tokio::test]
async fn a_missing_file_is_named() {
    let config = local::Config {
        files: [("x".parse().unwrap(), "/nowhere/x.parquet".into())].into(),
        engines: Engines::default(),
        limits: Limits::default(),
    };
    let Err(error) = local::serve(config, CancellationToken::new()).await else { panic!("it is not there") };
    assert!(error.to_string().starts_with("/nowhere/x.parquet: "), "{error}");
}
