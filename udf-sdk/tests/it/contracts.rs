//! The SDK has wire types of its own to stay small: they must read what the platform's write.

use chrono::{DateTime, Utc};
use serde_json::json;
use tempfile::TempDir;
use trace_contracts::{
    Audience, Secret,
    wire::task::{
        Column, ContextReply, CredentialsReply, ObjectAddress, ObjectsReply, ObjectsRequest, QueryRequest,
        QueryResult, SessionCredentials, TokenReply, TokenRequest,
    },
};
use trace_udf::Row;

use crate::platform::{Asked, Platform, context};

const END: &str = "2999-01-01T00:00:00.123456Z";

fn text(body: &impl serde::Serialize) -> String {
    serde_json::to_string(body).unwrap()
}

fn end() -> DateTime<Utc> {
    END.parse().unwrap()
}

fn answer(asked: &Asked) -> (u16, String) {
    let body = match asked.line.as_str() {
        "POST /v1/task/token" => {
            let request: TokenRequest = serde_json::from_str(&asked.body).unwrap();
            assert_eq!(request.audience, Audience::Query);
            text(&TokenReply { token: Secret::new("q".to_owned()), expires_at: end() })
        }
        "POST /v1/task/query" => {
            let request: QueryRequest = serde_json::from_str(&asked.body).unwrap();
            assert_eq!(request.sql, "SELECT n FROM flights");
            let columns = vec![Column { name: "n".to_owned(), data_type: "Int64".to_owned() }];
            text(&QueryResult { columns, rows: vec![vec![json!("9007199254740993")]] })
        }
        "POST /v1/task/credentials" => text(&CredentialsReply {
            region: "us-east-1".to_owned(),
            sessions: vec![SessionCredentials {
                access_key_id: "id".to_owned(),
                secret_access_key: Secret::new("key".to_owned()),
                session_token: Secret::new("session".to_owned()),
                expires_at: end(),
                read: vec!["s3://trace/data/o1/r1/t1/a1/out/".parse().unwrap()],
                write: vec![],
            }],
            folders_by_address: 3,
        }),
        "POST /v1/task/objects" => {
            let request: ObjectsRequest = serde_json::from_str(&asked.body).unwrap();
            assert_eq!(request.from.as_deref(), Some("data/o1/"));
            text(&ObjectsReply {
                objects: vec![ObjectAddress {
                    bucket: "trace".to_owned(),
                    key: "data/o1/r1/t1/a2/out/x".parse().unwrap(),
                    size: 7,
                    etag: "e".to_owned(),
                    url: Secret::new("http://store/?X-Amz-Signature=hush".to_owned()),
                }],
                next: None,
                expires_at: end(),
            })
        }
        "GET /v1/task/context" => text(&ContextReply {
            task: "t1.0".parse().unwrap(),
            attempt: "a1".parse().unwrap(),
            run: "r1".parse().unwrap(),
            dag: "flights".parse().unwrap(),
            job: "delays".parse().unwrap(),
            partition: "2013-01".parse().unwrap(),
            params: [("year".to_owned(), json!(2013))].into(),
            inputs: vec!["flights".parse().unwrap()],
            output: "s3://trace/data/o1/r1/t1/a1/out/".parse().unwrap(),
            scratch: "s3://trace/data/o1/r1/t1/a1/scratch/".parse().unwrap(),
            failures: 0,
        }),
        other => panic!("the SDK asks for {other}"),
    };
    (200, body)
}

#[test]
fn the_sdk_reads_what_the_platform_writes() {
    let platform = Platform::start(answer);
    let folder = TempDir::new().unwrap();
    let ctx = context(Some(&platform), folder.path(), "exit 1");

    let rows: Vec<Row> = ctx.sql("SELECT n FROM flights").unwrap();
    assert_eq!(rows[0]["n"], 9_007_199_254_740_993_i64);
    let credentials = ctx.credentials().unwrap();
    assert_eq!(credentials.sessions[0].read, ["s3://trace/data/o1/r1/t1/a1/out/"]);
    assert_eq!(credentials.sessions[0].secret_access_key.expose(), "key");
    assert!(!format!("{credentials:?}").contains("\"key\""));
    assert_eq!(credentials.folders_by_address, 3);
    ctx.credentials().unwrap();
    let asked = platform.asked();
    let asked = asked.iter().filter(|asked| asked.line.ends_with("credentials")).count();
    assert_eq!(asked, 1, "fresh keys are used again");
    let objects = ctx.objects(Some("data/o1/")).unwrap();
    assert_eq!((objects.objects[0].key.as_str(), objects.next.as_deref()), ("data/o1/r1/t1/a2/out/x", None));
    assert!(!format!("{objects:?}").contains("hush"));
    assert_eq!(ctx.param::<u32>("year").unwrap(), Some(2013));
    assert_eq!(ctx.param::<u32>("month").unwrap(), None);
    assert!(ctx.param::<bool>("year").is_err());
    assert_eq!(ctx.inputs().unwrap(), ["flights"]);
}
