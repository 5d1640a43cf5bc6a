//! Queries that are answered, and what is written down about them.

use std::io::Cursor;

use arrow::ipc::reader::StreamReader;
use axum::http::StatusCode;
use serde_json::json;
use trace_contracts::{
    Name,
    grant::{Budgets, FilterValue, RowFilter},
    wire::plane::ReadableDataset,
};

use crate::{
    platform::{Platform, flights, grants},
    tokens,
};

const AVERAGES: &str =
    "SELECT origin, avg(delay) AS delay, count(*) AS n FROM flights GROUP BY origin ORDER BY origin";

#[tokio::test]
async fn a_task_reads_its_inputs_in_every_format() {
    let platform = Platform::start().await;
    let token = platform.flights_token(1);
    let ask = |format: &'static str| {
        let request = platform.http.post(platform.tasks.join("v1/task/query").unwrap()).bearer_auth(&token);
        request.json(&json!({"sql": AVERAGES, "format": format})).send()
    };

    let response = ask("json").await.unwrap();
    assert_eq!(response.headers()["trace-rows"], "2");
    assert_eq!(response.headers()["content-type"], "application/json");
    insta::assert_json_snapshot!(response.json::<serde_json::Value>().await.unwrap());

    let response = ask("csv").await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/csv; charset=utf-8");
    assert_eq!(response.text().await.unwrap(), "origin,delay,n\nEWR,3.0,6\nJFK,2.5,6\n");

    let response = ask("arrow").await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/vnd.apache.arrow.stream");
    let stream = StreamReader::try_new(Cursor::new(response.bytes().await.unwrap()), None).unwrap();
    let batches: Vec<_> = stream.collect::<Result<_, _>>().unwrap();
    assert_eq!(batches.iter().map(|batch| batch.num_rows()).sum::<usize>(), 2);
}

#[tokio::test]
async fn every_query_leaves_a_row_before_its_answer() {
    let platform = Platform::start().await;
    let token = platform.flights_token(1);
    platform.ask(&token, AVERAGES).await.unwrap();
    platform.ask(&token, "SELECT * FROM secrets").await.unwrap_err();
    platform.ask(&token, "DROP TABLE flights").await.unwrap_err();
    platform.ask(&token, "SELECT nothing FROM flights").await.unwrap_err();
    let mut audited = serde_json::to_value(platform.audited()).unwrap();
    for entry in audited.as_array_mut().unwrap() {
        assert!(entry["detail"]["ms"].take().is_u64());
    }
    insta::assert_json_snapshot!(audited);
}

#[tokio::test]
async fn what_cannot_be_audited_is_not_answered() {
    let platform = Platform::start().await;
    let token = platform.flights_token(1);
    *platform.dispatcher.audit_is_away.lock().unwrap() = true;
    let problem = platform.ask(&token, "SELECT 1").await.unwrap_err();
    assert_eq!(problem["code"], "unavailable");
}

#[tokio::test]
async fn a_table_that_is_not_granted_is_a_denial() {
    let platform = Platform::start().await;
    let token = platform.flights_token(1);
    insta::assert_json_snapshot!(platform.ask(&token, "SELECT * FROM rival_flights").await.unwrap_err());
}

#[tokio::test]
async fn filters_and_columns_of_the_grant_hold() {
    let platform = Platform::start().await;
    let mut grant = platform.dataset("flights", &[flights(), flights()]);
    grant.columns = Some(vec!["flight".to_owned()]);
    grant.row_filter = Some(RowFilter([("origin".to_owned(), FilterValue::Text("JFK".to_owned()))].into()));
    let token = platform.token(1, &[("flights", &grant)]);
    let rows = platform.ask(&token, "SELECT count(*), sum(flight) FROM flights").await.unwrap();
    assert_eq!(rows, json!([[12, 60]]));
    assert!(platform.ask(&token, "SELECT origin FROM flights").await.is_err());
}

#[tokio::test]
async fn a_user_reads_published_datasets() {
    let platform = Platform::start().await;
    let grant = platform.dataset("flights", &[flights()]);
    platform.dispatcher.published.lock().unwrap().push(ReadableDataset {
        name: "delays_by_month".parse::<Name>().unwrap(),
        dataset: grant.dataset,
        version: grant.version,
        manifest: grant.manifest,
    });
    let token = tokens::user(&tokens::user_claims());
    let body = json!({"sql": "SELECT count(*) FROM delays_by_month", "format": "csv"});
    let (status, body) = platform.post(&platform.users, "v1/query", &token, &body).await;
    assert_eq!((status, &body[..]), (StatusCode::OK, &b"count(*)\n12\n"[..]));
    let actor = serde_json::to_value(platform.audited()[0].actor).unwrap();
    assert_eq!(actor, json!({"kind": "user", "user": "u5"}));
}

#[tokio::test]
async fn results_are_bounded_by_the_service_and_by_the_token() {
    let platform = Platform::start().await;
    let cross = "SELECT a.flight FROM flights a, flights b, flights c";
    let token = platform.flights_token(1);
    let problem = platform.ask(&token, cross).await.unwrap_err();
    assert_eq!(problem["code"], "limit_exceeded");
    assert!(problem["detail"].as_str().unwrap().contains("more than 1000 rows"), "{problem}");
    let problem = platform.ask(&token, "SELECT replace('aaaaaaaaaa', 'a', replace('xxxxxxxxxx', 'x', concat('0123456789', '0123456789', '0123456789', '0123456789', '0123456789', '0123456789', '0123456789', '0123456789', '0123456789', '0123456789'))), a.flight FROM flights a").await.unwrap_err();
    assert!(problem["detail"].as_str().unwrap().contains("more than 100000 bytes"), "{problem}");

    let grant = platform.dataset("flights", &[flights()]);
    let budgets = Budgets { result_rows: Some(3), result_bytes: None };
    let token = tokens::capability(&tokens::claims(2, grants(&[("flights", &grant)], budgets)));
    let problem = platform.ask(&token, "SELECT * FROM flights").await.unwrap_err();
    assert!(problem["detail"].as_str().unwrap().contains("more than 3 rows"), "{problem}");
    assert!(platform.ask(&token, "SELECT * FROM flights LIMIT 3").await.is_ok());
}

#[tokio::test]
async fn a_manifest_pins_its_objects() {
    let platform = Platform::start().await;
    let token = platform.flights_token(1);
    let key = "data/o1/r1/t1/a1/out/flights-0.parquet";
    platform.objects.overwrite(key, b"something else");
    let problem = platform.ask(&token, "SELECT * FROM flights").await.unwrap_err();
    assert_eq!(problem["code"], "sql_failed");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains(key) && detail.contains("no longer what was committed"), "{detail}");
    platform.objects.delete(key);
    assert!(platform.ask(&token, "SELECT * FROM flights").await.is_err());
    // Nothing that was written beside them is part of the table.
    platform.objects.put("data/o1/r1/t1/a1/out/flights-9.parquet", &flights());
    assert!(platform.ask(&token, "SELECT * FROM flights").await.is_err());
}

/// What an engine remembers is what was committed: it is named by its ETag. So after an object was
/// overwritten the committed rows are answered, or none.
#[tokio::test]
async fn what_was_read_before_an_object_was_overwritten_is_what_was_committed() {
    let platform = Platform::start().await;
    let token = platform.flights_token(1);
    let committed = platform.ask(&token, "SELECT * FROM flights ORDER BY 1").await.unwrap();
    platform.objects.overwrite("data/o1/r1/t1/a1/out/flights-0.parquet", b"something else");
    for _ in 0..4 {
        match platform.ask(&token, "SELECT * FROM flights ORDER BY 1").await {
            Ok(rows) => assert_eq!(rows, committed),
            Err(problem) => {
                let detail = problem["detail"].as_str().unwrap();
                assert!(detail.contains("no longer what was committed"), "{detail}");
            }
        }
    }
}

#[tokio::test]
async fn too_many_objects_and_too_long_a_statement_are_said_so() {
    let platform = Platform::start().await;
    let grant = platform.dataset("flights", &vec![flights(); 51]);
    let problem = platform.ask(&platform.token(1, &[("flights", &grant)]), "SELECT 1").await.unwrap_err();
    assert!(problem["detail"].as_str().unwrap().contains("more than 50 objects"), "{problem}");
    let long = format!("SELECT '{}'", "x".repeat(65_536));
    let problem = platform.ask(&platform.flights_token(1), &long).await.unwrap_err();
    assert_eq!(problem["code"], "sql_refused");
}
