//! `trace query`: what goes to standard output.

use serde_json::{Value, json};

use crate::platform::{Answer, Platform};

async fn platform() -> Platform {
    Platform::start(|asked| {
        let request: Value = serde_json::from_slice(&asked.body).unwrap();
        match request["format"].as_str().unwrap() {
            "json" => Answer::json(&json!({
                "columns": [{"name": "origin", "type": "Utf8"}, {"name": "n", "type": "Int64"}],
                "rows": [["JFK", 12]],
            })),
            "csv" => Answer::bytes("text/csv", b"origin,n\nJFK,12\n"),
            _ => Answer::bytes("application/vnd.apache.arrow.stream", &[0xff, 0x00, 0x0a, 0xff]),
        }
    })
    .await
}

#[tokio::test]
async fn each_format_is_passed_on_as_it_is() {
    let platform = platform().await;
    let table = platform.trace(&["query", "SELECT 1"]).await.ended_with(0);
    assert!(table.text().contains("│ JFK    ┆ 12 │") && table.text().ends_with("1 row\n"), "{table:?}");
    let json = platform.trace(&["query", "SELECT 1", "--json"]).await.ended_with(0);
    assert_eq!(json.document()["rows"], json!([["JFK", 12]]));
    let csv = platform.trace(&["query", "SELECT 1", "--format", "csv"]).await.ended_with(0);
    assert_eq!(csv.stdout, b"origin,n\nJFK,12\n");
    let arrow = platform.trace(&["query", "SELECT 1", "--format", "arrow"]).await.ended_with(0);
    assert_eq!(arrow.stdout, [0xff, 0x00, 0x0a, 0xff]);
    assert_eq!(platform.lines(), vec!["POST /v1/query"; 4]);
}

#[tokio::test]
async fn a_refused_statement_says_why() {
    let platform =
        Platform::start(|_| Answer::problem(400, "sql_refused", "only one SELECT is allowed", &json!([])))
            .await;
    let ran = platform.trace(&["query", "DROP TABLE x", "--format", "csv"]).await.ended_with(3);
    assert_eq!(ran.stderr, "error: A title: only one SELECT is allowed\n");
    assert!(ran.stdout.is_empty());
}
