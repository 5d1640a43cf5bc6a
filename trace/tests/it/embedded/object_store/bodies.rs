//! Bodies: what is promised about them must hold, or nothing is stored; readers get what they ask for.

use super::TestStore;

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_not_as_promised_is_not_stored() {
    let test = TestStore::start().await;
    let root = test.root();
    let other = trace_contracts::Sha256::of(b"other").to_string();
    let unsigned = "UNSIGNED-PAYLOAD";
    let cases: [(&[(&str, &str)], &str); 5] = [
        (&[], &other),
        (&[("content-md5", "XUFAKrxLKna5cZ2REBfFkg==")], unsigned),
        (&[("x-amz-checksum-crc32", "AAAAAA==")], unsigned),
        (&[("x-amz-checksum-crc64nvme", "AAAAAAAAAAA=")], unsigned),
        (&[("x-amz-checksum-sha256", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")], unsigned),
    ];
    for (headers, hash) in cases {
        let reply = root.send_hashed("PUT", "/trace/a/x", headers, hash, b"world").await;
        assert_eq!(reply.status, 400, "{headers:?}: {}", reply.text());
        assert!(test.get("a/x").await.is_none(), "{headers:?}");
    }
    let right = [("x-amz-checksum-crc32", "OncRQw=="), ("content-md5", "fXkwN6B2AYZXSwKC8vQ15w==")];
    let reply = root.send_hashed("PUT", "/trace/a/x", &right, unsigned, b"world").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
}

/// What the AWS SDKs send: chunks, and a checksum after them.
#[tokio::test(flavor = "multi_thread")]
async fn chunks_with_a_trailing_checksum_are_checked_and_stored_without_their_wrapping() {
    let test = TestStore::start().await;
    let root = test.root();
    let headers = [
        ("content-encoding", "aws-chunked"),
        ("x-amz-decoded-content-length", "5"),
        ("x-amz-trailer", "x-amz-checksum-crc32"),
    ];
    let body = |crc: &str| format!("5\r\nworld\r\n0\r\nx-amz-checksum-crc32:{crc}\r\n\r\n");
    let streaming = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
    let good = root.send_hashed("PUT", "/trace/a/x", &headers, streaming, body("OncRQw==").as_bytes()).await;
    assert_eq!(good.status, 200, "{}", good.text());
    assert_eq!(test.get("a/x").await.unwrap(), b"world");
    let stored = root.send("HEAD", "/trace/a/x", &[], b"").await;
    assert_eq!(stored.header("content-encoding"), None);
    let bad = root.send_hashed("PUT", "/trace/a/y", &headers, streaming, body("AAAAAA==").as_bytes()).await;
    assert_eq!(bad.status, 400, "{}", bad.text());
    let missing =
        root.send_hashed("PUT", "/trace/a/y", &headers, streaming, b"5\r\nworld\r\n0\r\n\r\n").await;
    assert_eq!(missing.status, 400, "{}", missing.text());
    let cut = root.send_hashed("PUT", "/trace/a/y", &headers, streaming, b"5\r\nwor").await;
    assert_ne!(cut.status, 200);
    assert!(test.get("a/y").await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_ask_by_etag_and_by_range() {
    let test = TestStore::start().await;
    test.put("a/x", b"0123456789").await;
    let root = test.root();
    let head = root.send("HEAD", "/trace/a/x", &[], b"").await;
    let etag = head.header("etag").unwrap().to_owned();
    assert_eq!(etag, format!("\"{}\"", trace_contracts::Sha256::of(b"0123456789")));
    assert_eq!(head.header("content-length"), Some("10"));
    let get = async |headers: &[(&str, &str)]| {
        let reply = root.send("GET", "/trace/a/x", headers, b"").await;
        (reply.status, String::from_utf8(reply.body).unwrap())
    };
    assert_eq!(get(&[("if-match", &etag)]).await, (200, "0123456789".to_owned()));
    assert_eq!(get(&[("if-match", &etag), ("range", "bytes=2-4")]).await, (206, "234".to_owned()));
    assert_eq!(get(&[("range", "bytes=-3")]).await, (206, "789".to_owned()));
    assert_eq!(get(&[("range", "bytes=8-")]).await, (206, "89".to_owned()));
    assert_eq!(get(&[("range", "bytes=10-")]).await.0, 416);
    assert_eq!(get(&[("if-none-match", &etag)]).await.0, 304);
    test.put("a/x", b"changed").await;
    assert_eq!(get(&[("if-match", &etag)]).await.0, 412, "a reader never gets another version unawares");
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_can_insist_on_what_they_replace() {
    let test = TestStore::start().await;
    let root = test.root();
    let put = async |headers: &[(&str, &str)]| root.send("PUT", "/trace/a/x", headers, b"x").await.status;
    assert_eq!(put(&[("if-none-match", "*")]).await, 200);
    assert_eq!(put(&[("if-none-match", "*")]).await, 412);
    assert_eq!(put(&[("if-match", "\"other\"")]).await, 412);
    assert_eq!(put(&[("if-match", "*")]).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_writer_says_is_given_back() {
    let test = TestStore::start().await;
    let root = test.root();
    let headers = [("content-type", "text/csv"), ("x-amz-meta-rows", "12"), ("cache-control", "no-store")];
    assert_eq!(root.send("PUT", "/trace/a/x", &headers, b"x").await.status, 200);
    let copied = root.send("PUT", "/trace/a/y", &[("x-amz-copy-source", "/trace/a/x")], b"").await;
    assert_eq!(copied.status, 200, "{}", copied.text());
    for key in ["a/x", "a/y"] {
        let head = root.send("HEAD", &format!("/trace/{key}"), &[], b"").await;
        for (name, value) in headers {
            assert_eq!(head.header(name), Some(value), "{key}");
        }
    }
    for option in ["x-amz-tagging", "x-amz-acl", "x-amz-server-side-encryption"] {
        let value = if option == "x-amz-acl" { "private" } else { "AES256" };
        let reply = root.send("PUT", "/trace/a/z", &[(option, value)], b"x").await;
        assert_eq!(reply.status, 501, "{option} is not taken and ignored");
    }
}
