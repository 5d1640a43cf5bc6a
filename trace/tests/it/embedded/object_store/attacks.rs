//! What must be refused, however it is dressed.

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::Utc;

use super::{BUCKET, TestStore, signer::exchange};

#[tokio::test(flavor = "multi_thread")]
async fn there_is_no_anonymous_access() {
    let test = TestStore::start().await;
    test.put("data/in/x", b"secret").await;
    let client = reqwest::Client::new();
    let endpoint = test.store.endpoint();
    for path in ["", BUCKET, "trace/data/in/x", "trace?list-type=2"] {
        let reply = client.get(endpoint.join(path).unwrap()).send().await.unwrap();
        assert_eq!(reply.status(), 403, "{path}");
    }
    let put = client.put(endpoint.join("trace/data/in/y").unwrap()).body("x").send().await.unwrap();
    assert_eq!(put.status(), 403);
    assert!(test.get("data/in/y").await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn sigv2_is_refused_even_when_it_is_right() {
    let test = TestStore::start().await;
    test.put("data/in/x", b"secret").await;
    let root = test.root();
    let date = Utc::now().format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let sign = |text: String| {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, root.secret.as_bytes());
        STANDARD.encode(hmac::sign(&key, text.as_bytes()))
    };
    let signature = sign(format!("GET\n\n\n{date}\n/trace/data/in/x"));
    let header = format!(
        "GET /trace/data/in/x HTTP/1.1\r\nhost: {}\r\ndate: {date}\r\nauthorization: AWS {}:{signature}\r\nconnection: close\r\n\r\n",
        root.address, root.key
    );
    let reply = exchange(&root.address, header.as_bytes()).await;
    assert_eq!(reply.status, 400, "{}", reply.text());
    assert!(reply.text().contains("SigV2"), "{}", reply.text());

    let expires = Utc::now().timestamp() + 60;
    let signature = sign(format!("GET\n\n\n{expires}\n/trace/data/in/x"));
    let mut url = test.store.endpoint().join("trace/data/in/x").unwrap();
    url.query_pairs_mut()
        .append_pair("AWSAccessKeyId", &root.key)
        .append_pair("Expires", &expires.to_string())
        .append_pair("Signature", &signature);
    let reply = reqwest::get(url).await.unwrap();
    assert_eq!(reply.status(), 400);
    assert!(reply.text().await.unwrap().contains("SigV2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_are_refused() {
    let test = TestStore::start().await;
    let form = "--x\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\ndata/in/form\r\n--x\r\n\
                Content-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\nhello\r\n--x--\r\n";
    let reply = reqwest::Client::new()
        .post(test.store.endpoint().join(BUCKET).unwrap())
        .header("content-type", "multipart/form-data; boundary=x")
        .body(form)
        .send()
        .await
        .unwrap();
    assert_eq!(reply.status(), 501);
    assert!(test.get("data/in/form").await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_encoding_of_a_path_leaves_the_prefix() {
    let test = TestStore::start().await;
    test.put("data/other/secret", b"secret").await;
    let session = test.signer(&test.session());
    let targets = [
        "/trace/data/in/../other/secret",
        "/trace/data/in/%2e%2e/other/secret",
        "/trace/data/in/%2E%2E%2Fother%2Fsecret",
        "/trace/data/in/..%2fother/secret",
        "/trace/data/in/%252e%252e/other/secret",
        "/trace/data/in/..%5cother%5csecret",
        "/trace/data/in//secret",
        "/trace/data/in/./secret",
        "/trace/data/in/%00",
        "/trace/data/in/x%0a",
        "/trace/data/in/",
        "/trace/data%2Fother%2Fsecret",
        "/trace/..%2f..%2fetc/passwd",
        "/trace//etc/passwd",
        "/../trace/data/other/secret",
        "/%74race/data/other/secret",
    ];
    for target in targets {
        for method in ["GET", "PUT"] {
            let reply = session.send(method, target, &[], b"").await;
            assert!((400..500).contains(&reply.status), "{method} {target}: {}", reply.text());
            let root = test.root().send(method, target, &[], b"").await;
            let is_canonical =
                target.ends_with("2Fsecret") && !target.contains("2E") || target.contains("%74race");
            assert_eq!(root.status == 200, is_canonical, "root: {method} {target}: {}", root.text());
        }
    }
    assert!(!test.denials.take().is_empty(), "refused keys are told to the audit log");
    let written: Vec<_> = walk(&test.folder.path().join("objects"));
    assert!(
        written.iter().all(|path| path.ends_with("data/other/secret#") || path.ends_with("lock")),
        "{written:?}"
    );
}

fn walk(folder: &std::path::Path) -> Vec<String> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files.extend(walk(&path)),
            false => files.push(path.display().to_string()),
        }
    }
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_covers_what_the_request_does() {
    let test = TestStore::start().await;
    test.put("data/in/x", b"one").await;
    test.put("data/other/secret", b"secret").await;
    let root = test.root();
    let head = |more: &str, target: &str, method: &str| {
        format!(
            "{method} {target} HTTP/1.1\r\nhost: {}\r\n{more}content-length: 0\r\nconnection: close\r\n\r\n",
            root.address
        )
    };
    let presigned = root.presign("PUT", "/trace/data/in/made");
    let copy = head("x-amz-copy-source: /trace/data/other/secret\r\n", &presigned, "PUT");
    let reply = exchange(&root.address, copy.as_bytes()).await;
    assert_eq!(reply.status, 403, "a presigned PUT does not become a copy: {}", reply.text());
    assert!(test.get("data/in/made").await.is_none());

    let presigned = root.presign("GET", "/trace/data/in/x");
    let good = exchange(&root.address, head("", &presigned, "GET").as_bytes()).await;
    assert_eq!((good.status, good.body.as_slice()), (200, b"one".as_slice()));
    for target in
        [presigned.replace("/in/x", "/other/secret"), presigned.replace("Expires=60", "Expires=600")]
    {
        let reply = exchange(&root.address, head("", &target, "GET").as_bytes()).await;
        assert_eq!(reply.status, 403, "{target}");
    }
    let reply = exchange(&root.address, head("", &presigned, "DELETE").as_bytes()).await;
    assert_eq!(reply.status, 403, "another method");

    let signed = root.head("GET", "/trace/data/in/x", &[], "UNSIGNED-PAYLOAD", 0);
    let moved = signed.replace("/in/x", "/other/secret");
    assert_eq!(exchange(&root.address, moved.as_bytes()).await.status, 403);
    let other_date = signed.replace("x-amz-date: 2", "x-amz-date: 1");
    assert_eq!(exchange(&root.address, other_date.as_bytes()).await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn old_requests_and_other_regions_are_refused() {
    let test = TestStore::start().await;
    test.put("data/in/x", b"one").await;
    let mut elsewhere = test.root();
    elsewhere.region = "us-east-1".to_owned();
    let reply = elsewhere.send("GET", "/trace/data/in/x", &[], b"").await;
    assert_eq!(reply.status, 400);
    assert!(reply.text().contains("AWS_REGION"), "{}", reply.text());
    let mut unknown = test.root();
    unknown.key = "AKIAAAAAAAAAAAAAAAAA".to_owned();
    assert_eq!(unknown.send("GET", "/trace/data/in/x", &[], b"").await.status, 403);
    let mut wrong = test.root();
    wrong.secret = wrong.secret.chars().rev().collect();
    assert_eq!(wrong.send("GET", "/trace/data/in/x", &[], b"").await.status, 403);
}
