//! The demo DAG on real data, beside figures that `dags/expected/compute.py` computed without the platform.

use std::{fs, path::PathBuf};

use serde_json::Value;

use crate::platform::{Platform, json};

fn dags() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../dags").canonicalize().unwrap()
}

fn path(file: &str) -> String {
    dags().join(file).display().to_string()
}

#[test]
fn published_rows_are_those_computed_without_the_platform() {
    let platform = Platform::start();
    json(&platform.trace_as_rival(&["deploy", &path("rival.yaml"), "--json"]));
    json(&platform.trace_as_rival(&["trigger", "rival", "--wait", "--json"]));
    let first = json(&platform.trace(&["deploy", &path("flights.yaml"), "--json"]));
    let again = json(&platform.trace(&["deploy", &path("flights.yaml"), "--json"]));
    assert_eq!((&first["created"], &again["created"]), (&Value::Bool(true), &Value::Bool(false)));
    assert_eq!(first["version"], again["version"], "the same file twice is one version");

    let run = platform.json(&["trigger", "flights", "--wait", "--json"]);
    assert_eq!(run["state"], "succeeded");
    assert_eq!(run["tasks"]["succeeded"], 39);

    for (dataset, key) in
        [("delays_by_month", "year, month, origin"), ("route_stats", "year, month, origin, dest")]
    {
        let expected = fs::read_to_string(dags().join(format!("expected/{dataset}.json"))).unwrap();
        let expected: Value = serde_json::from_str(&expected).unwrap();
        let columns: Vec<&str> =
            expected["columns"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        let sql = format!("SELECT {} FROM {dataset} ORDER BY {key}", columns.join(", "));
        let found = platform.json(&["query", &sql, "--format", "json"]);
        assert_eq!(found["rows"], expected["rows"], "{dataset}");
    }

    let report = platform.json(&[
        "query",
        "SELECT plane, count(*) AS tried, sum(CASE WHEN denied THEN 1 ELSE 0 END) AS denied FROM intruder_report GROUP BY plane ORDER BY plane",
        "--format",
        "json",
    ]);
    let planes = report["rows"].as_array().unwrap();
    let names: Vec<&str> = planes.iter().filter_map(|row| row[0].as_str()).collect();
    assert_eq!(names, ["dispatcher", "object_store", "query", "sandbox"], "every plane was attacked");
    for row in planes {
        assert_eq!(row[1], row[2], "every attack on {} was denied", row[0]);
    }
    let denied = platform.json(&["audit", "--limit", "1000", "--json"]);
    let denied = denied.as_array().unwrap().iter().filter(|entry| entry["verdict"] == "deny");
    assert!(denied.count() >= 10, "denials are in the audit log");
}
