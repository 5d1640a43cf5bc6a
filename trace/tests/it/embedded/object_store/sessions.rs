//! What a session may do, and what becomes of the rest.

use std::time::Duration;

use super::{BUCKET, TestStore};

const MINUTES: Duration = Duration::from_secs(900);

#[tokio::test(flavor = "multi_thread")]
async fn a_session_does_what_its_policy_says() {
    let test = TestStore::start().await;
    for key in ["data/in/a", "data/t1/old", "data/t10/x", "data/other/x"] {
        test.put(key, b"content").await;
    }
    let session = test.signer(&test.session());
    let copy = |source: &'static str| vec![("x-amz-copy-source", source)];
    let allowed = [
        ("GET", "/trace/data/in/a", vec![]),
        ("HEAD", "/trace/data/in/a", vec![]),
        ("PUT", "/trace/data/t1/new", vec![]),
        ("GET", "/trace/data/t1/new", vec![]),
        ("PUT", "/trace/data/t1/copied", copy("/trace/data/in/a")),
        ("PUT", "/trace/data/t1/copied2", copy("trace/data%2Fin%2Fa")),
        ("GET", "/trace?list-type=2&prefix=data%2Ft1%2F", vec![]),
        ("GET", "/trace?list-type=2&prefix=data/t1/&delimiter=/", vec![]),
        ("GET", "/trace?prefix=data%2Ft1%2F", vec![]),
    ];
    for (method, target, headers) in allowed {
        let reply = session.send(method, target, &headers, b"").await;
        assert_eq!(reply.status, 200, "{method} {target}: {}", reply.text());
    }
    assert_eq!(test.denials.take(), Vec::<String>::new());

    let denied = [
        ("GET", "/trace/data/t10/x", vec![], "GetObject data/t10/x"),
        ("HEAD", "/trace/data/other/x", vec![], "HeadObject data/other/x"),
        ("GET", "/trace/data/none", vec![], "GetObject data/none"),
        ("GET", "/other/data/in/a", vec![], "GetObject data/in/a"),
        ("PUT", "/trace/data/in/a", vec![], "PutObject data/in/a"),
        ("PUT", "/trace/data/t10/x", vec![], "PutObject data/t10/x"),
        ("PUT", "/trace/data/t1", vec![], "PutObject data/t1"),
        ("DELETE", "/trace/data/t1/new", vec![], "DeleteObject data/t1/new"),
        ("PUT", "/trace/data/t1/stolen", copy("/trace/data/other/x"), "CopyObject data/other/x"),
        ("PUT", "/trace/data/in/b", copy("/trace/data/in/a"), "CopyObject data/in/b"),
        ("GET", "/trace?list-type=2", vec![], "ListObjectsV2 "),
        ("GET", "/trace?list-type=2&prefix=", vec![], "ListObjectsV2 "),
        ("GET", "/trace?list-type=2&prefix=data%2Ft1", vec![], "ListObjectsV2 data/t1"),
        ("GET", "/trace?list-type=2&prefix=data%2Ft10%2F", vec![], "ListObjectsV2 data/t10/"),
        ("GET", "/trace?prefix=data%2Fin%2F", vec![], "ListObjects data/in/"),
        ("GET", "/trace?uploads", vec![], "ListMultipartUploads "),
        ("GET", "/trace?location", vec![], "GetBucketLocation "),
        ("HEAD", "/trace", vec![], "HeadBucket "),
        ("GET", "/", vec![], "ListBuckets "),
        ("POST", "/trace/data/in/up?uploads", vec![], "CreateMultipartUpload data/in/up"),
        ("PUT", "/trace/data/in/up?partNumber=1&uploadId=x", vec![], "UploadPart data/in/up"),
        ("DELETE", "/trace/data/in/up?uploadId=x", vec![], "AbortMultipartUpload data/in/up"),
        ("GET", "/trace/data/in/up?uploadId=x", vec![], "ListParts data/in/up"),
    ];
    for (method, target, headers, expected) in denied {
        let reply = session.send(method, target, &headers, b"").await;
        assert_eq!(reply.status, 403, "{method} {target}: {}", reply.text());
        assert_eq!(test.denials.take(), [expected], "{method} {target}");
    }
    assert!(test.get("data/t1/stolen").await.is_none());
    assert_eq!(test.get("data/in/a").await.unwrap(), b"content");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_part_copy_reads_its_source_too() {
    let test = TestStore::start().await;
    test.put("data/other/x", b"secret").await;
    test.put("data/in/a", b"content").await;
    let session = test.signer(&test.session());
    let created = session.send("POST", "/trace/data/t1/big?uploads", &[], b"").await;
    assert_eq!(created.status, 200, "{}", created.text());
    let text = created.text();
    let id = text.split("<UploadId>").nth(1).unwrap().split('<').next().unwrap();
    let target = format!("/trace/data/t1/big?partNumber=1&uploadId={id}");
    let stolen = session.send("PUT", &target, &[("x-amz-copy-source", "/trace/data/other/x")], b"").await;
    assert_eq!(stolen.status, 403, "{}", stolen.text());
    assert_eq!(test.denials.take(), ["UploadPartCopy data/other/x"]);
    let copied = session.send("PUT", &target, &[("x-amz-copy-source", "/trace/data/in/a")], b"").await;
    assert_eq!(copied.status, 200, "{}", copied.text());

    let other = test.signer(&test.session_of(2, MINUTES));
    let foreign = other.send("PUT", &target.replace("/t1/big", "/t1/other"), &[], b"x").await;
    assert_eq!(foreign.status, 404, "an upload belongs to its key: {}", foreign.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_that_this_store_does_not_have_are_refused() {
    let test = TestStore::start().await;
    test.put("data/t1/x", b"content").await;
    let session = test.signer(&test.session());
    let unknown = [
        ("PUT", "/fresh"),
        ("DELETE", "/trace"),
        ("GET", "/trace?acl"),
        ("PUT", "/trace?policy"),
        ("GET", "/trace?versions"),
        ("GET", "/trace/data/t1/x?acl"),
        ("PUT", "/trace/data/t1/x?acl"),
        ("GET", "/trace/data/t1/x?tagging"),
        ("POST", "/trace/data/t1/x?restore"),
        ("POST", "/trace/data/t1/x?select&select-type=2"),
        ("GET", "/trace/data/t1/x?torrent"),
    ];
    for (method, target) in unknown {
        for signer in [&session, &test.root()] {
            let reply = signer.send(method, target, &[], b"").await;
            assert_eq!(reply.status, 501, "{method} {target}: {}", reply.text());
        }
        assert_eq!(test.denials.take().len(), 1, "{method} {target}: the session's refusal is audited");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_and_token_belong_together() {
    let test = TestStore::start().await;
    test.put("data/in/a", b"content").await;
    let (mine, other) = (test.session(), test.session_of(2, MINUTES));
    let target = format!("/{BUCKET}/data/in/a");
    let good = test.signer(&mine);
    assert_eq!(good.send("GET", &target, &[], b"").await.status, 200);
    let tokens = [
        None,
        Some(String::new()),
        Some("x".to_owned()),
        Some(other.session_token.expose().clone()),
        Some(mine.session_token.expose()[1..].to_owned()),
    ];
    for token in tokens {
        let mut bad = good.clone();
        bad.token = token.clone();
        let reply = bad.send("GET", &target, &[], b"").await;
        assert_eq!(reply.status, 400, "{token:?}: {}", reply.text());
        assert!(reply.text().contains("InvalidToken"), "{}", reply.text());
        assert_eq!(test.denials.take(), ["GetObject data/in/a"]);
        let reply = super::signer::exchange(
            &bad.address,
            format!(
                "GET {} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n",
                bad.presign("GET", &target),
                bad.address
            )
            .as_bytes(),
        )
        .await;
        assert_eq!(reply.status, 400, "presigned, {token:?}: {}", reply.text());
        assert_eq!(test.denials.take(), ["GetObject data/in/a"]);
    }
    let mut root = test.root();
    root.token = Some(mine.session_token.expose().clone());
    assert_eq!(root.send("GET", &target, &[], b"").await.status, 400);
    let mut wrong_secret = good;
    wrong_secret.secret = other.secret_access_key.expose().clone();
    assert_eq!(wrong_secret.send("GET", &target, &[], b"").await.status, 403);
}
