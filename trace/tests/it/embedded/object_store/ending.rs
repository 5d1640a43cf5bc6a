//! Sessions end: by the clock, and with their attempt.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{interval, timeout},
};
use trace_contracts::AttemptId;

use super::{TestStore, signer};

const LONG: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_session_is_refused() {
    let test = TestStore::start().await;
    test.put("data/in/a", b"content").await;
    let session = test.signer(&test.session_of(1, Duration::from_secs(2)));
    assert_eq!(session.send("GET", "/trace/data/in/a", &[], b"").await.status, 200);
    let presigned = session.presign("GET", "/trace/data/in/a");
    let url = format!("http://{}{presigned}", session.address);
    assert_eq!(reqwest::get(&url).await.unwrap().status(), 200);
    let refused = async {
        let mut again = interval(Duration::from_millis(50));
        loop {
            again.tick().await;
            let reply = session.send("GET", "/trace/data/in/a", &[], b"").await;
            if reply.status != 200 {
                break reply;
            }
        }
    };
    let reply = timeout(LONG, refused).await.expect("the session expires");
    assert!(reply.status == 400 && reply.text().contains("ExpiredToken"), "{}", reply.text());
    assert_eq!(reqwest::get(&url).await.unwrap().status(), 400, "a presigned request ends with its session");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_attempt_is_refused_everywhere() {
    let test = TestStore::start().await;
    test.put("data/in/a", b"content").await;
    let (first, second) = (test.signer(&test.session()), test.signer(&test.session()));
    let other = test.signer(&test.session_of(10, Duration::from_secs(900)));
    let presigned = format!("http://{}{}", first.address, first.presign("GET", "/trace/data/in/a"));
    assert_eq!(reqwest::get(&presigned).await.unwrap().status(), 200);
    test.store.revoke(AttemptId::from_db(1));
    for session in [&first, &second] {
        let reply = session.send("GET", "/trace/data/in/a", &[], b"").await;
        assert!(reply.status == 400 && reply.text().contains("over"), "{}", reply.text());
    }
    assert_eq!(reqwest::get(&presigned).await.unwrap().status(), 400);
    assert_eq!(other.send("GET", "/trace/data/in/a", &[], b"").await.status, 200, "a10 is not a1");
    assert_eq!(test.denials.take().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_in_flight_breaks_off_at_revocation() {
    const SIZE: usize = 48 * 1024 * 1024;
    let test = TestStore::start().await;
    test.put("data/in/large", &vec![7; SIZE]).await;
    let session = test.signer(&test.session());
    let head = session.head("GET", "/trace/data/in/large", &[], "UNSIGNED-PAYLOAD", 0);
    let mut stream = TcpStream::connect(&session.address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut start = vec![0; 4096];
    stream.read_exact(&mut start).await.unwrap();
    assert_eq!(signer::parse(&start).status, 200);
    test.store.revoke(AttemptId::from_db(1));
    let mut rest = Vec::new();
    let read = timeout(LONG, stream.read_to_end(&mut rest)).await.expect("the connection ends");
    assert!(read.is_err() || rest.len() < SIZE - 4096, "the whole object came: {} bytes", rest.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_in_flight_leaves_nothing_after_revocation() {
    let test = TestStore::start().await;
    let session = test.signer(&test.session());
    let body = vec![7; 4 * 1024 * 1024];
    let head = session.head("PUT", "/trace/data/t1/x", &[], "UNSIGNED-PAYLOAD", body.len());
    let mut stream = TcpStream::connect(&session.address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&body[..2 * 1024 * 1024]).await.unwrap();
    // The upload is under way once it has a file for its bytes.
    let drafts = test.folder.path().join("objects/drafts");
    let begun = async {
        let mut again = interval(Duration::from_millis(5));
        while std::fs::read_dir(&drafts).unwrap().count() == 0 {
            again.tick().await;
        }
    };
    timeout(LONG, begun).await.expect("the upload begins");
    test.store.revoke(AttemptId::from_db(1));
    let mut reply = Vec::new();
    let _ = timeout(LONG, stream.read_to_end(&mut reply)).await.expect("the upload ends");
    assert_eq!(signer::parse(&reply).status, 400, "{}", String::from_utf8_lossy(&reply));
    assert!(test.get("data/t1/x").await.is_none());
    assert_eq!(std::fs::read_dir(&drafts).unwrap().count(), 0);
}
