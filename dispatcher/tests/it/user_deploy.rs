//! Deploying: versions by content, all or nothing.

use reqwest::{Method, StatusCode};
use serde_json::json;
use trace_contracts::{
    ErrorCode, Role, Sha256,
    wire::user::{DagInfo, DatasetInfo, DeployReply},
};

use crate::support::app::{TestApp, bundle, code, problem};

pub const ONE_JOB: &str = "name: d
params: { month: '2013-01', worst: 10 }
jobs:
  - name: a
    udf: { language: python, path: u }
    partitions: { list: [x, y] }
    retries: { max: 0 }
  - name: b
    udf: { language: python, path: u }
    inputs: [{ name: i, from: { job: a } }]
publish: { out: { from: { job: b } } }
";

#[tokio::test(flavor = "multi_thread")]
async fn the_same_content_is_the_same_version() {
    let test = TestApp::start().await;
    let writer = test.user(Role::Writer);
    let first = writer.deploy(ONE_JOB).await;
    assert!(first.created);
    let again = writer.deploy(ONE_JOB).await;
    assert_eq!((again.version, again.sha256, again.created), (first.version, first.sha256, false));

    let changed: DeployReply = writer.try_deploy(ONE_JOB, b"other code").await.json().await.unwrap();
    assert!(changed.created, "other bytes behind the same path are another version");
    assert_eq!(changed.dag, first.dag);
    let info: DagInfo = writer.get("/v1/dags/d").await;
    assert_eq!(info.version, changed.version);

    let back = writer.deploy(ONE_JOB).await;
    assert!(!back.created);
    let info: DagInfo = writer.get("/v1/dags/d").await;
    assert_eq!(info.version, first.version, "deploying an old version makes it the current one");
}

#[tokio::test(flavor = "multi_thread")]
async fn deploys_at_the_same_time_agree() {
    let test = TestApp::start().await;
    let writer = test.user(Role::Writer);
    let deploys = (0..6).map(|_| writer.deploy(ONE_JOB));
    let replies = futures::future::join_all(deploys).await;
    assert_eq!(replies.iter().filter(|reply| reply.created).count(), 1);
    assert!(replies.iter().all(|reply| reply.version == replies[0].version));

    let named =
        |dag: &str| ONE_JOB.replace("name: d\n", &format!("name: {dag}\n")).replace("out:", "shared:");
    let (one, two) = (named("one"), named("two"));
    let (one, two) = tokio::join!(writer.try_deploy(&one, b"x"), writer.try_deploy(&two, b"x"));
    let mut statuses = [one.status(), two.status()];
    statuses.sort();
    assert_eq!(statuses, [StatusCode::CREATED, StatusCode::UNPROCESSABLE_ENTITY], "one of them has the name");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_file_says_everything_and_stores_nothing() {
    let test = TestApp::start().await;
    let writer = test.user(Role::Writer);
    let yaml = "name: d
jobs:
  - name: a
    udf: { language: python, path: u }
    timeout: 60
    inputs: [{ name: i, from: { job: z } }, { name: o, from: { dataset: nowhere } }]
";
    let problem = problem(writer.try_deploy(yaml, b"a bundle").await).await;
    insta::assert_json_snapshot!(problem);

    let unknown = ONE_JOB.replace("{ job: a }", "{ dataset: nowhere }");
    let problem = self::problem(writer.try_deploy(&unknown, b"a bundle").await).await;
    assert_eq!(problem.code, ErrorCode::InvalidDag);
    assert_eq!(problem.errors[0].field, "jobs[1].inputs[0].from.dataset");

    let nothing: Vec<DagInfo> = writer.get("/v1/dags").await;
    assert!(nothing.is_empty());
    let nothing: Vec<DatasetInfo> = writer.get("/v1/datasets").await;
    assert!(nothing.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn blobs_must_be_what_they_are_called() {
    let test = TestApp::start().await;
    let writer = test.user(Role::Writer);
    let (claimed, content) = (Sha256::of(b"something"), b"something else".to_vec());
    let path = format!("/v1/blobs/{claimed}");
    let refused = writer.request(Method::PUT, &path).body(content).send().await.unwrap();
    let problem = problem(refused).await;
    assert_eq!(problem.code, ErrorCode::BadRequest);
    assert!(problem.detail.contains(&claimed.to_string()), "{}", problem.detail);
    assert!(test.s3.keys().is_empty(), "nothing was stored");
    assert_eq!(writer.send(Method::HEAD, &path).await.status(), StatusCode::NOT_FOUND);

    // The deploy says so, too, with the place that needs the blob.
    let blob = json!({ "sha256": claimed, "size": 9 });
    let body = json!({ "yaml": ONE_JOB, "blobs": { "u": blob } });
    let problem = self::problem(writer.post("/v1/dags", &body).await).await;
    assert_eq!(problem.errors.len(), 2, "{:?}", problem.errors);
    assert_eq!((problem.errors[0].line, &*problem.errors[0].field), (Some(5), "jobs[0].udf.path"));

    let stored = writer.upload(b"something").await;
    let again = writer.request(Method::PUT, &path).body("something").send().await.unwrap();
    assert_eq!(again.status(), StatusCode::OK, "the same content again is fine");
    assert_eq!(test.s3.keys(), [format!("blobs/o1/{claimed}")]);
    assert_eq!(test.s3.get(&format!("blobs/o1/{claimed}")).unwrap(), b"something");
    let found = writer.send(Method::HEAD, &path).await;
    assert_eq!((found.status(), found.headers()["content-length"].to_str().unwrap()), (StatusCode::OK, "9"));

    let lied = json!({ "yaml": ONE_JOB, "blobs": { "u": { "sha256": stored.sha256, "size": 10 } } });
    assert_eq!(code(writer.post("/v1/dags", &lied).await).await, ErrorCode::InvalidDag);
    let rival = test.named("r", "rival", Role::Writer);
    assert_eq!(
        rival.send(Method::HEAD, &path).await.status(),
        StatusCode::NOT_FOUND,
        "blobs belong to an org"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_bundle_is_refused_with_its_places() {
    let test = TestApp::start().await;
    let writer = test.user(Role::Writer);
    let native = ONE_JOB.replace("python", "rust");
    for (yaml, content, why) in [
        (ONE_JOB, b"no archive".to_vec(), "is not a readable zip archive"),
        (ONE_JOB, bundle("../main.py", b"pass"), "has a part that is empty, `.` or `..`"),
        (ONE_JOB, bundle("src/main.py", b"pass"), "no `main.py` at its top; add it to the folder"),
        (&native, bundle("main", b"#!/bin/sh"), "it is not an executable for Linux"),
    ] {
        let blob = writer.upload(&content).await;
        let body = json!({ "yaml": yaml, "blobs": { "u": blob } });
        let problem = problem(writer.post("/v1/dags", &body).await).await;
        assert_eq!(problem.code, ErrorCode::InvalidDag, "{problem:?}");
        assert_eq!(problem.errors.len(), 2, "one for each job that names it: {:?}", problem.errors);
        let first = &problem.errors[0];
        assert_eq!((first.line, &*first.field), (Some(5), "jobs[0].udf.path"));
        assert!(first.message.contains(why), "{}", first.message);
    }
    let nothing: Vec<DagInfo> = writer.get("/v1/dags").await;
    assert!(nothing.is_empty());
}

/// What was found good is remembered, and other content under the name is not it.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_examined_is_what_is_stored() {
    let test = TestApp::start().await;
    let writer = test.user(Role::Writer);
    let blob = writer.upload(&bundle("main.py", b"pass")).await;
    let body = json!({ "yaml": ONE_JOB, "blobs": { "u": blob } });
    test.s3.put(&format!("blobs/o1/{}", blob.sha256), &bundle("main.py", b"evil"));
    let swapped = problem(writer.post("/v1/dags", &body).await).await;
    assert!(swapped.errors[0].message.contains("is something else: upload it again"), "{swapped:?}");
    writer.upload(&bundle("main.py", b"pass")).await;
    assert_eq!(writer.post("/v1/dags", &body).await.status(), StatusCode::CREATED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_is_refused() {
    let test = TestApp::start().await;
    let writer = test.user(Role::Writer);
    let large = json!({ "yaml": "x".repeat(5 << 20) });
    let problem = problem(writer.post("/v1/dags", &large).await).await;
    assert_eq!(problem.code, ErrorCode::InvalidDag);
    assert!(problem.errors[0].message.contains("at most 4194304"), "{:?}", problem.errors);
    let huge = json!({ "yaml": "x".repeat(10 << 20) });
    assert_eq!(code(writer.post("/v1/dags", &huge).await).await, ErrorCode::PayloadTooLarge);
    assert_eq!(code(writer.post("/v1/dags", &json!({ "yml": "" })).await).await, ErrorCode::BadRequest);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_published_name_has_one_owner_and_can_move() {
    let test = TestApp::start().await;
    let writer = test.user(Role::Writer);
    writer.deploy(ONE_JOB).await;
    let other = ONE_JOB.replace("name: d\n", "name: e\n");
    let problem = problem(writer.try_deploy(&other, b"a bundle").await).await;
    assert_eq!(problem.errors[0].message, "the DAG `d` publishes `out` already: choose another name");
    assert_eq!((problem.errors[0].line, &*problem.errors[0].field), (Some(11), "publish.out"));

    // From one job to the other, and then away, which frees it.
    writer.deploy(&ONE_JOB.replace("from: { job: b } } }", "from: { job: a } } }")).await;
    let moved: DatasetInfo = writer.get("/v1/datasets/out").await;
    assert_eq!(&*moved.job, "a");
    writer.deploy(&ONE_JOB.replace("publish: { out:", "publish: { mine:")).await;
    writer.deploy(&other).await;
    let owned: DatasetInfo = writer.get("/v1/datasets/out").await;
    assert_eq!(&*owned.dag, "e");
}
