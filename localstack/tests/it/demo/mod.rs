//! The demo DAG on real data, from its deploy to its figures, on a platform that is installed as in a cloud.

mod programs;
mod services;

use std::{fs, path::PathBuf};

use serde_json::Value;

use services::Services;

fn dags() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../dags").canonicalize().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn published_rows_are_those_computed_without_the_platform() {
    let services = Services::start().await;
    services.trace(&["deploy", &dags().join("flights.yaml").display().to_string()]).await;
    let run = services.trace(&["trigger", "flights", "--wait"]).await;
    assert_eq!((&run["state"], &run["tasks"]["succeeded"]), (&"succeeded".into(), &39.into()), "{run}");
    for (dataset, key) in
        [("delays_by_month", "year, month, origin"), ("route_stats", "year, month, origin, dest")]
    {
        let expected = fs::read_to_string(dags().join(format!("expected/{dataset}.json"))).unwrap();
        let expected: Value = serde_json::from_str(&expected).unwrap();
        let columns: Vec<&str> =
            expected["columns"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        let sql = format!("SELECT {} FROM {dataset} ORDER BY {key}", columns.join(", "));
        assert_eq!(services.query(&sql).await, expected["rows"], "{dataset}");
    }
    let report = services.query("SELECT plane, vector, target, denied FROM intruder_report").await;
    let report = report.as_array().unwrap();
    let passed: Vec<&Value> = report.iter().filter(|row| row[3] != true).map(|row| &row[2]).collect();
    // SeaweedFS lists buckets for whoever asks; `s3:ListAllMyBuckets` is in no session policy, so AWS does not.
    assert_eq!((report.len() > 20, passed), (true, vec![&Value::from("ListBuckets")]));
    // Each wake-up was taken and deleted.
    services.queue.empty().await.unwrap();
    assert!(!services.log().contains("\"level\":\"ERROR\""), "{}", services.log());
}
