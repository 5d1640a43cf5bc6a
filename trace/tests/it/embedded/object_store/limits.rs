//! Every input has a bound.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{interval, timeout},
};
use trace::embedded::object_store::Limits;

use super::{TestStore, signer};

const LONG: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn objects_and_keys_have_a_size() {
    let test = TestStore::with_limits(Limits { object_bytes: 1000, ..Limits::default() }).await;
    let root = test.root();
    assert_eq!(root.send("PUT", "/trace/a/x", &[], &[0; 1000]).await.status, 200);
    let large = root.send("PUT", "/trace/a/y", &[], &[0; 1001]).await;
    assert!(large.status == 400 && large.text().contains("EntityTooLarge"), "{}", large.text());
    for key in ["x".repeat(1025), format!("a/{}", "x".repeat(251))] {
        let reply = root.send("PUT", &format!("/trace/{key}"), &[], b"x").await;
        assert_eq!(reply.status, 400, "{}", reply.text());
    }
    let longest = vec!["x".repeat(204); 5].join("/");
    assert_eq!(root.send("PUT", &format!("/trace/{longest}"), &[], b"x").await.status, 200);
    let metadata = "x".repeat(2048);
    let reply = root.send("PUT", "/trace/a/z", &[("x-amz-meta-a", &metadata)], b"x").await;
    assert_eq!(reply.status, 400);
    let delete = format!("<Delete>{}</Delete>", "<Object><Key>a</Key></Object>".repeat(1001));
    let md5 = root.send("POST", "/trace?delete", &[], delete.as_bytes()).await;
    assert_eq!(md5.status, 400, "{}", md5.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_heads_and_bodies_are_cut_off() {
    let short = Duration::from_millis(300);
    let test =
        TestStore::with_limits(Limits { header_timeout: short, body_pause: short, ..Limits::default() })
            .await;
    let root = test.root();
    let head = root.head("PUT", "/trace/a/x", &[], "UNSIGNED-PAYLOAD", 100);
    for sent in [&head[..40], &format!("{head}only this")] {
        let mut stream = TcpStream::connect(&root.address).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        let mut reply = Vec::new();
        let _ = timeout(LONG, stream.read_to_end(&mut reply)).await.expect("the connection is closed");
        assert!(matches!(signer::parse(&reply).status, 0 | 400 | 408), "{}", String::from_utf8_lossy(&reply));
    }
    assert!(test.get("a/x").await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_has_so_many_requests_in_flight_and_connections_wait() {
    let limits = Limits { requests_of_a_session: 2, connections: 4, ..Limits::default() };
    let test = TestStore::with_limits(limits).await;
    test.put("data/in/large", &vec![7; 32 * 1024 * 1024]).await;
    let session = test.signer(&test.session());
    let head = session.head("GET", "/trace/data/in/large", &[], "UNSIGNED-PAYLOAD", 0);
    let mut stalled = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(&session.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.read_exact(&mut [0; 16]).await.unwrap();
        stalled.push(stream);
    }
    let third = session.send("GET", "/trace/data/in/large", &[], b"").await;
    assert_eq!(third.status, 503, "{}", third.head);
    let other = test.signer(&test.session_of(2, Duration::from_secs(60)));
    assert_eq!(other.send("HEAD", "/trace/data/in/large", &[], b"").await.status, 200);
    drop(stalled);
    let freed = async {
        let mut again = interval(Duration::from_millis(20));
        while session.send("HEAD", "/trace/data/in/large", &[], b"").await.status != 200 {
            again.tick().await;
        }
    };
    timeout(LONG, freed).await.expect("slots come back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_stops_and_its_objects_stay() {
    let TestStore { store, denials, folder } = TestStore::start().await;
    let test = TestStore { store, denials, folder };
    test.put("a/x", b"kept").await;
    let old = test.root();
    let TestStore { store, denials, folder } = test;
    timeout(LONG, store.shutdown()).await.expect("the store stops");
    let config = trace::embedded::object_store::Config {
        root: folder.path().join("objects"),
        listen: old.address.parse().unwrap(),
        bucket: super::BUCKET.to_owned(),
        region: super::REGION.to_owned(),
        limits: Limits::default(),
        denials: denials.clone(),
    };
    let store = trace::embedded::object_store::EmbeddedObjectStore::start(config).await.unwrap();
    let test = TestStore { store, denials, folder };
    assert_eq!(test.get("a/x").await.unwrap(), b"kept");
    let reply = old.send("GET", "/trace/a/x", &[], b"").await;
    assert_eq!(reply.status, 403, "root keys end with the process that made them");
}
