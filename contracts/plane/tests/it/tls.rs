//! Listeners with TLS, and clients that believe an authority of their own.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{Router, routing::get};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{interval, timeout},
};
use tokio_util::sync::CancellationToken;
use trace_plane::{
    Door, Transport, Trust,
    listener::Error,
    tls::{self, Tls},
};

use crate::authority::{Authority, replace};

const LOOK_EVERY: Duration = Duration::from_millis(10);
const LONG: Duration = Duration::from_secs(20);

/// A server of `localhost` on loopback, whose files are looked at often.
struct Server {
    address: SocketAddr,
    folder: tempfile::TempDir,
    authority: Authority,
    stop: CancellationToken,
}

impl Server {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new();
        let files = authority.pair("localhost").write(folder.path());
        let tls = Tls::looking_every(files, LOOK_EVERY).unwrap();
        let listener = Door::Tls(tls).bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        let router = Router::new().route("/", get(|| async { "served" }));
        tokio::spawn(trace_plane::serve(listener, router, stop.clone()));
        Self { address, folder, authority, stop }
    }

    fn url(&self) -> String {
        format!("https://localhost:{}/", self.address.port())
    }

    fn trust(&self) -> Trust {
        Trust::read(Some(&self.authority.file(self.folder.path()))).unwrap()
    }

    /// What is shown to a connection that is made now.
    async fn shown(&self) -> Vec<u8> {
        let connector = self.trust().connector(&self.url().parse().unwrap()).unwrap().unwrap();
        let stream = TcpStream::connect(self.address).await.unwrap();
        let stream = connector.connect(stream).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    }

    async fn until_shown_is_not(&self, before: &[u8]) {
        let looking = async {
            let mut again = interval(LOOK_EVERY);
            while self.shown().await == before {
                again.tick().await;
            }
        };
        timeout(LONG, looking).await.expect("the new certificate is shown");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn get_with(trust: &Trust, url: &str) -> Result<String, String> {
    let said = |error: reqwest::Error| {
        let mut cause: &dyn std::error::Error = &error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        cause.to_string()
    };
    let answer = trust.http_client(LONG).get(url).send().await.map_err(said)?;
    answer.text().await.map_err(said)
}

#[tokio::test]
async fn only_an_authority_that_is_believed_makes_a_listener_believed_and_for_its_name_only() {
    let server = Server::start().await;
    assert_eq!(get_with(&server.trust(), &server.url()).await.unwrap(), "served");
    let system = get_with(&Trust::default(), &server.url()).await.unwrap_err();
    assert!(system.contains("UnknownIssuer"), "{system}");
    let other = tempfile::tempdir().unwrap();
    let other = Trust::read(Some(&Authority::new().file(other.path()))).unwrap();
    let other = get_with(&other, &server.url()).await.unwrap_err();
    assert!(other.contains("UnknownIssuer") || other.contains("BadSignature"), "{other}");
    let by_address = format!("https://127.0.0.1:{}/", server.address.port());
    let name = get_with(&server.trust(), &by_address).await.unwrap_err();
    assert!(name.contains("not valid for name"), "{name}");
}

#[tokio::test]
async fn curl_is_served_and_plain_http_is_not() {
    let server = Server::start().await;
    let authority = server.authority.file(server.folder.path());
    let (url, plain) = (server.url(), format!("http://127.0.0.1:{}/", server.address.port()));
    let said = tokio::task::spawn_blocking(move || {
        let curl = |arguments: &[&str]| {
            Command::new("curl")
                .args(["-sS", "--max-time", "20"])
                .args(arguments)
                .stdin(Stdio::null())
                .output()
                .unwrap()
        };
        let authority = authority.display().to_string();
        let tls12 = curl(&["--cacert", &authority, "--tls-max", "1.2", &url]);
        let tls13 = curl(&["--cacert", &authority, "--tlsv1.3", &url]);
        (tls12, tls13, curl(&["--cacert", "/dev/null", &url]), curl(&[&plain]))
    });
    let (tls12, tls13, unbelieved, plain) = said.await.unwrap();
    for served in [tls12, tls13] {
        assert_eq!(String::from_utf8_lossy(&served.stdout), "served", "{served:?}");
    }
    assert!(!unbelieved.status.success(), "{unbelieved:?}");
    assert!(!plain.status.success() && plain.stdout.is_empty(), "{plain:?}");
}

/// The first message of a client that knows nothing newer than this version (as `0x0302`, TLS 1.1).
fn hello_of(version: [u8; 2]) -> Vec<u8> {
    let mut body = version.to_vec();
    body.extend([7; 32]);
    // No session; ECDHE-ECDSA and ECDHE-RSA with AES; no compression.
    body.extend([0, 0, 8, 0xc0, 0x09, 0xc0, 0x13, 0xc0, 0x2b, 0xc0, 0x2f, 1, 0]);
    let groups = [0, 10, 0, 4, 0, 2, 0, 23];
    let points = [0, 11, 0, 2, 1, 0];
    let signatures = [0, 13, 0, 6, 0, 4, 4, 3, 8, 4];
    let extensions = [&groups[..], &points, &signatures].concat();
    body.extend((extensions.len() as u16).to_be_bytes());
    body.extend(extensions);
    let mut hello = vec![22, 3, 1];
    hello.extend((body.len() as u16 + 4).to_be_bytes());
    hello.extend([1, 0]);
    hello.extend((body.len() as u16).to_be_bytes());
    hello.extend(body);
    hello
}

#[tokio::test]
async fn nothing_older_than_tls_1_2_is_spoken() {
    let server = Server::start().await;
    let answer_to = async |version| {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(&hello_of(version)).await.unwrap();
        let mut answer = [0; 7];
        timeout(LONG, stream.read_exact(&mut answer)).await.unwrap().unwrap();
        answer
    };
    for old in [[3, 0], [3, 1], [3, 2]] {
        let answer = answer_to(old).await;
        // An alert, fatal, `protocol_version`.
        assert_eq!((answer[0], answer[5], answer[6]), (21, 2, 70), "{old:?}: {answer:?}");
    }
    // The same with TLS 1.2 is a handshake that goes on: the refusal was for the version.
    assert_eq!(answer_to([3, 3]).await[0], 22);
}

#[tokio::test]
async fn a_new_pair_is_shown_without_a_restart_and_open_connections_live_on() {
    let server = Server::start().await;
    let before = server.shown().await;
    let connector = server.trust().connector(&server.url().parse().unwrap()).unwrap().unwrap();
    let mut open = connector.connect(TcpStream::connect(server.address).await.unwrap()).await.unwrap();
    server.authority.pair("localhost").write(server.folder.path());
    server.until_shown_is_not(&before).await;
    open.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    open.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("served"), "{answer}");
}

#[tokio::test]
async fn no_request_fails_while_pairs_change() {
    let server = Server::start().await;
    let (served, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let loads: Vec<_> = (0..4)
        .map(|_| {
            let (trust, url) = (server.trust(), server.url());
            let (served, over) = (Arc::clone(&served), Arc::clone(&over));
            tokio::spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    // A client of its own each time, so that each request has a handshake.
                    assert_eq!(get_with(&trust, &url).await.unwrap(), "served");
                    served.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for _ in 0..5 {
        let (before, so_far) = (server.shown().await, served.load(Ordering::Relaxed));
        server.authority.pair("localhost").write(server.folder.path());
        server.until_shown_is_not(&before).await;
        let more = async {
            let mut again = interval(LOOK_EVERY);
            while served.load(Ordering::Relaxed) < so_far + 8 {
                again.tick().await;
            }
        };
        timeout(LONG, more).await.expect("requests go on");
    }
    over.store(true, Ordering::Relaxed);
    for load in loads {
        load.await.unwrap();
    }
}

#[tokio::test]
async fn a_broken_pair_changes_nothing_and_a_good_one_after_it_does() {
    let server = Server::start().await;
    let before = server.shown().await;
    let folder = server.folder.path();
    let (key, certificate) = (folder.join("key.pem"), folder.join("certificate.pem"));
    // Each of these is looked at many times before the next.
    let breaks: [&dyn Fn(); 4] = [
        &|| replace(&key, &server.authority.pair("localhost").key),
        &|| replace(&certificate, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        &|| fs::remove_file(&key).unwrap(),
        &|| replace(&key, ""),
    ];
    for break_it in breaks {
        break_it();
        let mut looks = interval(LOOK_EVERY);
        for _ in 0..5 {
            looks.tick().await;
            assert_eq!(server.shown().await, before);
        }
    }
    server.authority.pair("localhost").write(folder);
    server.until_shown_is_not(&before).await;
}

#[test]
fn what_is_wrong_with_a_pair_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let pair = authority.pair("localhost");
    let wrong = |change: &dyn Fn(&tls::Files)| {
        let files = pair.write(folder.path());
        change(&files);
        Transport::Tls(files).open().unwrap_err().to_string()
    };
    let exposed = |mode: u32| {
        wrong(&|files| fs::set_permissions(&files.key, fs::Permissions::from_mode(mode)).unwrap())
    };
    for mode in [0o644, 0o604, 0o620] {
        assert!(exposed(mode).contains("run `chmod 600"), "{mode:o}");
    }
    for (change, said) in [
        (
            &(|files: &tls::Files| replace(&files.key, &authority.pair("x").key)) as &dyn Fn(&tls::Files),
            "are no pair",
        ),
        (&|files| replace(&files.key, "no key"), "holds no private key in PEM"),
        (&|files| replace(&files.certificate, "none"), "holds no certificate in PEM"),
        (&|files| fs::remove_file(&files.certificate).unwrap(), "can't be read"),
        (&|files| replace(&files.certificate, &"x".repeat(300 << 10)), "longer than 256 KiB"),
    ] {
        let message = wrong(change);
        assert!(message.contains("`transport.tls`") && message.contains(said), "{message}");
        assert!(!message.contains("PRIVATE KEY"), "{message}");
    }
}

#[tokio::test]
async fn what_is_not_loopback_needs_tls_or_an_explicit_word() {
    let any = |port: u16| SocketAddr::from(([0, 0, 0, 0], port));
    let unprotected = Transport::default().open().unwrap().bind(any(0)).await.unwrap_err();
    assert!(matches!(unprotected, Error::Unprotected(_)), "{unprotected}");
    assert!(unprotected.to_string().contains("`transport: plain`"), "{unprotected}");
    for loopback in ["127.0.0.1:0", "127.8.8.8:0"] {
        Transport::default().open().unwrap().bind(loopback.parse().unwrap()).await.unwrap();
    }
    Transport::Plain.open().unwrap().bind(any(0)).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let files = Authority::new().pair("localhost").write(folder.path());
    Transport::Tls(files).open().unwrap().bind(any(0)).await.unwrap();
}

#[test]
fn a_transport_is_written_in_one_way() {
    let read = |text: &str| serde_json::from_str::<Transport>(text);
    assert_eq!(read(r#""loopback""#).unwrap(), Transport::Loopback);
    assert_eq!(read(r#""plain""#).unwrap(), Transport::Plain);
    let files = read(r#"{"tls": {"certificate": "/c", "key": "/k"}}"#).unwrap();
    assert!(matches!(files, Transport::Tls(files) if files.key == Path::new("/k")));
    for bad in [
        r#""tls""#,
        r#"{"tls": {"certificate": "/c"}}"#,
        r#"{"tls": {"certificate": "/c", "key": "/k", "ca": "/x"}}"#,
    ] {
        assert!(read(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_file_without_an_authority_is_not_taken_for_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("authority.pem");
    assert!(Trust::read(Some(&path)).unwrap_err().to_string().contains("`ca_file`"));
    fs::write(&path, "nothing").unwrap();
    assert!(Trust::read(Some(&path)).unwrap_err().to_string().contains("holds no certificate"));
    fs::write(&path, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    assert!(Trust::read(Some(&path)).is_err());
    assert!(Trust::read(None).is_ok());
}
