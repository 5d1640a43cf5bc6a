//! Tunnels, with real ClientHellos and a real client.

use std::{process::Command, sync::Arc};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection,
    pki_types::PrivatePkcs8KeyDer, pki_types::ServerName,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use trace_contracts::EgressGrant;

use crate::{
    dns::{Dns, addresses},
    outside::Outside,
    platform::{Platform, grant, limits, loopback, to_end},
};

/// What a client of this name sends first.
fn hello(server_name: &str) -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::try_from(server_name.to_owned()).unwrap();
    let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut bytes = Vec::new();
    connection.write_tls(&mut bytes).unwrap();
    bytes
}

/// The same message in records of so many bytes.
fn in_records(hello: &[u8], size: usize) -> Vec<u8> {
    hello[5..]
        .chunks(size)
        .flat_map(|piece| {
            let [high, low] = u16::try_from(piece.len()).unwrap().to_be_bytes();
            [&[22, 3, 1, high, low], piece].concat()
        })
        .collect()
}

async fn named(policy: serde_json::Value) -> (Platform, Outside, String) {
    let dns = Dns::start(vec![("good.test", addresses(&["127.0.0.1"]))]).await;
    let platform = Platform::with(limits(), policy, vec![dns.address]).await;
    let outside = Outside::answering(b"answer").await;
    let destination = format!("good.test:{}", outside.port());
    (platform, outside, destination)
}

#[tokio::test]
async fn a_tunnel_carries_what_follows_a_hello_for_its_host() {
    let (platform, outside, destination) = named(loopback()).await;
    let token = platform.token(1, &[grant(&destination)]);
    let hello = hello("good.test");
    for first in [hello.clone(), in_records(&hello, 7), in_records(&hello, 1)] {
        let (answered, mut tunnel) = platform.open(&token, &destination).await;
        assert_eq!(answered, 200);
        // In pieces, so that no record comes whole.
        for piece in first.chunks(100) {
            tunnel.write_all(piece).await.unwrap();
        }
        let mut answer = [0; 6];
        tunnel.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"answer");
        assert_eq!(outside.heard.lock().unwrap().last().unwrap(), &first, "passed on as it came");
        drop(tunnel);
    }
    let row = platform.audit_of(|entry| entry.action == "egress.tunnel").await;
    assert_eq!(row.detail["outcome"], "closed");
    assert_eq!(row.detail["bytes_down"], 6);
    assert_eq!(row.detail["bytes_up"].as_u64().unwrap(), hello.len() as u64);
}

#[tokio::test]
async fn a_tunnel_for_anything_else_carries_nothing() {
    let (platform, outside, destination) = named(loopback()).await;
    let address = outside.address.to_string();
    let token = platform.token(1, &[grant(&destination), grant(&address)]);
    let mut wide = in_records(&hello("good.test"), 1);
    wide.truncate(wide.len() - 6);
    for (rule, to, first) in [
        ("server_name_differs", &destination, hello("evil.test")),
        ("server_name_differs", &destination, hello("sub.good.test")),
        ("server_name_absent", &destination, hello("127.0.0.1")),
        ("server_name_differs", &address, hello("good.test")),
        ("not_tls", &destination, b"GET / HTTP/1.1\r\nHost: good.test\r\n\r\n".to_vec()),
        ("not_tls", &destination, b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()),
        ("not_tls", &destination, vec![22, 3, 1, 0xff, 0xff]),
        ("not_tls", &destination, vec![22; 70_000]),
        // A hello that never ends, and one that never starts.
        ("not_tls", &destination, wide),
        ("not_tls", &destination, Vec::new()),
    ] {
        let before = platform.audited().len();
        let (answered, mut tunnel) = platform.open(&token, to).await;
        assert_eq!(answered, 200);
        // It may be refused before all of it is sent.
        let _ = tunnel.write_all(&first).await;
        let answer = to_end(&mut tunnel).await.expect("the gateway closes it");
        assert!(answer.is_empty() || answer == [21, 3, 1, 0, 2, 2, 112], "{answer:?}");
        let row = platform
            .audit_of(|entry| entry.action == "egress.tunnel" && platform.audited()[before..].contains(entry))
            .await;
        assert_eq!(row.detail["rule"], rule);
        assert_eq!(serde_json::to_value(row.verdict).unwrap(), "deny");
    }
    assert!(outside.heard().concat().is_empty(), "not a byte");
}

#[tokio::test]
async fn a_tunnel_to_an_address_names_no_server() {
    let platform = Platform::start().await;
    let outside = Outside::answering(b"answer").await;
    let token = platform.token(1, &[grant(&outside.address.to_string())]);
    let (_, mut tunnel) = platform.open(&token, &outside.address.to_string()).await;
    tunnel.write_all(&hello("127.0.0.1")).await.unwrap();
    let mut answer = [0; 6];
    tunnel.read_exact(&mut answer).await.unwrap();
}

#[tokio::test]
async fn a_revoked_attempts_tunnels_close() {
    let (platform, outside, destination) = named(loopback()).await;
    let (mine, others) =
        (platform.token(1, &[grant(&destination)]), platform.token(2, &[grant(&destination)]));
    let (_, mut waiting) = platform.open(&mine, &destination).await;
    let (_, mut tunnel) = platform.open(&mine, &destination).await;
    let (_, mut other) = platform.open(&others, &destination).await;
    let mut answer = [0; 6];
    for tunnel in [&mut tunnel, &mut other] {
        tunnel.write_all(&hello("good.test")).await.unwrap();
        tunnel.read_exact(&mut answer).await.unwrap();
    }
    platform.kill_attempt(1);
    assert_eq!(to_end(&mut tunnel).await.as_deref(), Some(&[][..]), "it closes");
    assert_eq!(to_end(&mut waiting).await.as_deref(), Some(&[][..]), "and so does one that has not begun");
    other.write_all(b"more").await.unwrap();
    other.read_exact(&mut answer).await.unwrap();
    let row = platform.audit_of(|entry| entry.detail["outcome"] == "ended").await;
    assert_eq!(serde_json::to_value(row.actor).unwrap()["attempt"], "a1");
    assert_eq!(outside.heard().len(), 3);
}

#[tokio::test]
async fn a_tunnel_ends_at_its_budget_and_when_it_is_silent() {
    let (platform, _outside, destination) = named(loopback()).await;
    let hello = hello("good.test");
    let small = EgressGrant { max_bytes: hello.len() as u64 + 50, ..grant(&destination) };
    let (_, mut tunnel) = platform.open(&platform.token(1, &[small]), &destination).await;
    tunnel.write_all(&hello).await.unwrap();
    let mut answer = [0; 6];
    tunnel.read_exact(&mut answer).await.unwrap();
    tunnel.write_all(&[0; 60]).await.unwrap();
    assert!(to_end(&mut tunnel).await.is_some());
    platform.denied_by("byte_budget").await;

    let short = trace_egress_gateway::config::Limits { tunnel_silence_ms: 100, ..limits() };
    let platform = Platform::with(short, loopback(), Vec::new()).await;
    let outside = Outside::answering(b"answer").await;
    let address = outside.address.to_string();
    let (_, mut tunnel) = platform.open(&platform.token(1, &[grant(&address)]), &address).await;
    tunnel.write_all(&self::hello("127.0.0.1")).await.unwrap();
    assert_eq!(to_end(&mut tunnel).await.as_deref(), Some(&b"answer"[..]));
    platform.audit_of(|entry| entry.detail["outcome"] == "idle").await;
}

/// A TLS server of one name, in a thread of its own; gives back its port and its certificate.
fn https(name: &str) -> (u16, String) {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .unwrap();
    let config = Arc::new(config);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let mut connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut tls = rustls::Stream::new(&mut connection, &mut stream);
            let mut buffer = [0; 4096];
            if std::io::Read::read(&mut tls, &mut buffer).is_ok_and(|read| read > 0) {
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\nsecret";
                let _ = std::io::Write::write_all(&mut tls, answer);
                connection.send_close_notify();
                let _ = connection.complete_io(&mut stream);
            }
        }
    });
    (port, made.cert.pem())
}

/// `curl`, unchanged, with nothing but the proxy's address and the token as password.
#[tokio::test]
async fn a_real_client_gets_through_and_sees_refusals() {
    let dns =
        Dns::start(vec![("good.test", addresses(&["127.0.0.1"])), ("other.test", addresses(&["127.0.0.1"]))])
            .await;
    let platform = Platform::with(limits(), loopback(), vec![dns.address]).await;
    let (port, certificate) = https("good.test");
    let folder = tempfile::tempdir().unwrap();
    let trusted = folder.path().join("ca.pem");
    std::fs::write(&trusted, certificate).unwrap();
    let token = platform.token(1, &[grant(&format!("good.test:{port}"))]);
    let curl = async |address: String| {
        let proxy = format!("http://trace:{token}@{}", platform.address);
        let trusted = trusted.clone();
        tokio::task::spawn_blocking(move || {
            let mut curl = Command::new("curl");
            curl.args(["--silent", "--show-error", "--max-time", "20", "--noproxy", "", "--proxy", &proxy]);
            curl.arg("--cacert").arg(trusted).arg(address).env_clear().output().unwrap()
        })
        .await
        .unwrap()
    };
    let answered = curl(format!("https://good.test:{port}/")).await;
    assert_eq!(String::from_utf8_lossy(&answered.stdout), "secret", "{answered:?}");
    let refused = curl(format!("https://other.test:{port}/")).await;
    assert!(String::from_utf8_lossy(&refused.stderr).contains("403"), "{refused:?}");
}
