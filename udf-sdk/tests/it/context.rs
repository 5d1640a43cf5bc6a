//! What a UDF sees of the platform.

use std::fs;

use serde::{Deserialize, Serialize};
use serde_json::json;
use tempfile::TempDir;
use trace_udf::{Error, Plane, Row, Schema, Type};

use crate::platform::{Answer, Asked, Platform, context};

/// Keeps what it is sent.
const KEEP: &str = "cat > \"$1\"";

fn token(text: &str, expires_at: &str) -> Answer {
    (200, json!({"token": text, "expires_at": expires_at}).to_string())
}

fn problem(status: u16, code: &str) -> Answer {
    (status, json!({"code": code, "status": status, "title": "", "detail": "why"}).to_string())
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Delay {
    origin: String,
    delay: Option<f64>,
}

#[test]
fn a_query_shows_the_query_token_and_nothing_else() {
    let platform = Platform::start(|asked: &Asked| match asked.line.as_str() {
        "POST /v1/task/token" => token("for-queries", "2999-01-01T00:00:00Z"),
        _ => (
            200,
            r#"{"columns":[{"name":"delay","type":"Float64"},{"name":"origin","type":"Utf8"}],
                "rows":[[1.5,"JFK"],[null,"LGA"]]}"#
                .to_owned(),
        ),
    });
    let folder = TempDir::new().unwrap();
    let ctx = context(Some(&platform), folder.path(), KEEP);
    let rows: Vec<Delay> = ctx.sql("SELECT 1").unwrap();
    let row = |origin: &str, delay| Delay { origin: origin.to_owned(), delay };
    assert_eq!(rows, [row("JFK", Some(1.5)), row("LGA", None)]);
    ctx.read::<Row>("flights").unwrap();

    let seen: Vec<_> = platform.asked().into_iter().map(|a| (a.line, a.token, a.body)).collect();
    let query = |sql: &str| {
        let body = json!({"sql": sql, "format": "json"}).to_string();
        ("POST /v1/task/query".to_owned(), "for-queries".to_owned(), body)
    };
    let exchange = json!({"audience": "trace:query"}).to_string();
    let expected = [
        ("POST /v1/task/token".to_owned(), "first".to_owned(), exchange),
        query("SELECT 1"),
        query("SELECT * FROM flights"),
    ];
    assert_eq!(seen, expected, "one exchange serves both queries");
}

#[test]
fn a_token_near_its_end_is_renewed() {
    let platform = Platform::start(|asked: &Asked| match asked.line.as_str() {
        "POST /v1/task/token" => token("short", "2013-01-01T00:00:00Z"),
        _ => (200, r#"{"columns":[],"rows":[]}"#.to_owned()),
    });
    let folder = TempDir::new().unwrap();
    let ctx = context(Some(&platform), folder.path(), KEEP);
    for _ in 0..2 {
        assert_eq!(ctx.sql::<Row>("SELECT 1").unwrap(), []);
    }
    let exchanges = platform.asked().iter().filter(|asked| asked.line.ends_with("token")).count();
    assert_eq!(exchanges, 2);
}

#[test]
fn refusals_are_typed() {
    let platform = Platform::start(|asked: &Asked| match asked.line.as_str() {
        "POST /v1/task/token" => token("t", "2999-01-01T00:00:00Z"),
        "POST /v1/task/query" if asked.body.contains("rival") => problem(403, "forbidden"),
        "POST /v1/task/query" => problem(422, "sql_failed"),
        _ => problem(401, "revoked"),
    });
    let folder = TempDir::new().unwrap();
    let ctx = context(Some(&platform), folder.path(), KEEP);
    let denied = ctx.read::<Row>("rival_secrets").unwrap_err();
    assert!(
        matches!(&denied, Error::Denied { plane: Plane::Query, code, detail } if code == "forbidden" && detail == "why")
    );
    assert_eq!(denied.to_string(), "denied by the query service (forbidden): why");
    assert!(matches!(ctx.sql::<Row>("SELECT 1/0"), Err(Error::Failed { plane: Plane::Query, .. })));
    assert!(matches!(ctx.credentials(), Err(Error::Denied { plane: Plane::Dispatcher, .. })));
    assert!(matches!(ctx.read::<Row>("flights; DROP"), Err(Error::Name(_))));
}

#[test]
fn a_busy_service_is_asked_again() {
    let platform = Platform::start({
        let busy = std::sync::atomic::AtomicUsize::new(2);
        move |_: &Asked| {
            use std::sync::atomic::Ordering;
            let left = busy.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
            if left.is_ok() { problem(503, "unavailable") } else { (200, "{\"at\":7}".to_owned()) }
        }
    });
    let folder = TempDir::new().unwrap();
    let saved: Option<Row> = context(Some(&platform), folder.path(), KEEP).checkpoint().unwrap();
    assert_eq!(saved.unwrap()["at"], 7);
    assert_eq!(platform.asked().len(), 3);
}

#[test]
fn a_checkpoint_comes_back_without_a_platform_too() {
    let folder = TempDir::new().unwrap();
    let ctx = context(None, folder.path(), KEEP);
    assert_eq!(ctx.checkpoint::<u32>().unwrap(), None);
    ctx.save_checkpoint(&7_u32).unwrap();
    assert_eq!(ctx.checkpoint::<u32>().unwrap(), Some(7));
    assert!(matches!(ctx.checkpoint::<String>(), Err(Error::Checkpoint(_))));
    assert!(matches!(ctx.save_checkpoint(&"x".repeat(70_000)), Err(Error::Checkpoint(_))));
    assert!(matches!(ctx.credentials(), Err(Error::NoDispatcher(_))));
}

#[test]
fn a_delivery_names_its_webhook_and_its_key() {
    let platform = Platform::start(|_: &Asked| (202, "{\"delivery\":\"dl17\"}".to_owned()));
    let folder = TempDir::new().unwrap();
    let ctx = context(Some(&platform), folder.path(), KEEP);
    assert_eq!(ctx.deliver("ops", "late-2013", &[7]).unwrap(), "dl17");
    assert!(matches!(ctx.deliver("ops", "k", &"x".repeat(70_000)), Err(Error::Delivery(_))));
    let asked = platform.asked();
    assert_eq!(asked.len(), 1, "what is too large is not sent");
    let told: serde_json::Value = serde_json::from_str(&asked[0].body).unwrap();
    assert_eq!(told, json!({ "to": "ops", "key": "late-2013", "body": [7] }));
    assert_eq!(context(None, folder.path(), KEEP).deliver("ops", "k", &7).unwrap(), "dl1", "a local test");
}

#[test]
fn rows_reach_the_writer_as_it_reads_them() {
    let folder = TempDir::new().unwrap();
    let ctx = context(None, folder.path(), KEEP);
    let rows = [
        Delay { origin: "JFK".to_owned(), delay: Some(1.5) },
        Delay { origin: "LGA".to_owned(), delay: None },
    ];
    let schema = Schema::new().column("delay", Type::Float64);
    ctx.write_as("delays", &schema, &rows).unwrap();

    let sent = fs::read(folder.path().join("delays.parquet")).unwrap();
    let target = folder.path().join("real.parquet");
    assert_eq!(trace_udf_native::convert(sent.as_slice(), &target).unwrap().rows, 2);
    assert_eq!(
        String::from_utf8(sent).unwrap(),
        "{\"columns\":[{\"name\":\"delay\",\"type\":\"float64\"}]}\n\
         {\"origin\":\"JFK\",\"delay\":1.5}\n{\"origin\":\"LGA\",\"delay\":null}\n"
    );
}

#[test]
fn what_the_writer_refuses_is_an_error() {
    let folder = TempDir::new().unwrap();
    let ctx = context(None, folder.path(), "echo 'row 1, column `a`: no' >&2; exit 1");
    let many = (0..100_000).map(|n| json!({"n": n, "padding": "x".repeat(20)}));
    let error = ctx.write("delays", many).unwrap_err();
    assert_eq!(error.to_string(), "`delays` was not written: row 1, column `a`: no");
}

#[test]
fn a_row_that_cannot_be_serialized_leaves_no_file() {
    let folder = TempDir::new().unwrap();
    let ctx = context(None, folder.path(), "echo begun > \"$1\"; cat >> \"$1\"");
    let broken = [std::collections::BTreeMap::from([(vec![1], 1)])];
    assert!(matches!(ctx.write("delays", &broken), Err(Error::Unwritable { row: 1, .. })));
    assert!(!folder.path().join("delays.parquet").exists());
}

#[test]
fn names_and_files_are_checked() {
    let folder = TempDir::new().unwrap();
    let ctx = context(None, folder.path(), KEEP);
    for bad in ["", ".hidden", "a/b", "../x", "a b", &"x".repeat(101)] {
        assert!(matches!(ctx.write_csv(bad, [json!({"a": 1})]), Err(Error::Name(_))), "{bad:?}");
    }
    ctx.write_json("fine.v1", [json!({"a": 1})]).unwrap();
    assert!(matches!(ctx.write_json("fine.v1", [json!({"a": 1})]), Err(Error::Io { .. })));
    assert!(ctx.file("writer").is_ok());
    assert!(matches!(ctx.file("../writer"), Err(Error::NoFile(_))));
    assert_eq!((ctx.partition(), ctx.deadline(), ctx.remaining()), ("2013-01", None, None));
}
