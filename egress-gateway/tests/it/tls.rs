//! The listener by TLS: real curl as the client, and a certificate that changes under a tunnel.

use std::{
    path::PathBuf,
    process::{Command, Output, Stdio},
    sync::Arc,
    time::Duration,
};

use axum::extract::DefaultBodyLimit;
use rustls::{ClientConfig, pki_types::CertificateDer, pki_types::ServerName};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{interval, timeout},
};
use trace_plane::{
    Door, Listener, Transport, Trust,
    tls::{Files, Tls},
};

use crate::{
    authority::Authority,
    dns::{Dns, addresses},
    outside::Outside,
    platform::{Platform, grant, limits, loopback, status},
};

const LOOK_EVERY: Duration = Duration::from_millis(10);
const SOON: Duration = Duration::from_secs(20);

/// A gateway called `localhost` that is reached by TLS, and who is believed to have issued its certificate.
struct Scene {
    platform: Platform,
    authority: Authority,
    folder: TempDir,
}

impl Scene {
    async fn start() -> Self {
        let (authority, folder) = (Authority::new(), TempDir::new().unwrap());
        let files = authority.pair("localhost").write(folder.path());
        let door = Door::Tls(Tls::looking_every(files, LOOK_EVERY).unwrap());
        let listener = door.bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let dns = Dns::start(vec![("good.test", addresses(&["127.0.0.1"]))]).await;
        let platform = Platform::on(listener, limits(), loopback(), vec![dns.address]).await;
        Self { platform, authority, folder }
    }

    fn ca_file(&self) -> PathBuf {
        self.authority.file(self.folder.path())
    }

    fn trust(&self) -> Trust {
        Trust::read(Some(&self.ca_file())).unwrap()
    }

    /// curl through the gateway.
    async fn curl(&self, token: &str, arguments: &[&str]) -> Output {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--max-time", "20", "--proxy"])
            .arg(format!("https://localhost:{}", self.platform.address.port()))
            .arg("--proxy-header")
            .arg(format!("Proxy-Authorization: Bearer {token}"))
            .args(arguments)
            .stdin(Stdio::null());
        tokio::task::spawn_blocking(move || curl.output().unwrap()).await.unwrap()
    }

    /// A connection to the gateway, by TLS.
    async fn connect(&self) -> tokio_rustls::client::TlsStream<TcpStream> {
        let url = format!("https://localhost:{}/", self.platform.address.port()).parse().unwrap();
        let connector = self.trust().connector(&url).unwrap().unwrap();
        connector.connect(self.platform.connect().await).await.unwrap()
    }

    /// What is shown to a connection that is made now.
    async fn shown(&self) -> CertificateDer<'static> {
        self.connect().await.get_ref().1.peer_certificates().unwrap()[0].clone()
    }
}

/// A destination by TLS, for `good.test`, that echoes; and who issued its certificate.
async fn destination() -> (u16, Authority, TempDir) {
    let (authority, folder) = (Authority::new(), TempDir::new().unwrap());
    let files: Files = authority.pair("good.test").write(folder.path());
    let listener: Listener =
        Transport::Tls(files).open().unwrap().bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let echo = axum::routing::post(|body: axum::body::Bytes| async move { body });
    let app = axum::Router::new().route("/", echo).layer(DefaultBodyLimit::disable());
    tokio::spawn(trace_plane::serve(listener, app, tokio_util::sync::CancellationToken::new()));
    (port, authority, folder)
}

#[tokio::test]
async fn curl_tunnels_and_asks_by_tls_and_only_by_a_certificate_that_it_believes() {
    let scene = Scene::start().await;
    let (port, issuer, folder) = destination().await;
    let plain = Outside::answering(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nanswer").await;
    let (tls, http) = (format!("good.test:{port}"), format!("good.test:{}", plain.port()));
    let token = scene.platform.token(1, &[grant(&tls), grant(&http)]);
    let (proxy_ca, ca) = (scene.ca_file(), issuer.file(folder.path()));
    let (proxy_ca, ca) = (proxy_ca.to_str().unwrap(), ca.to_str().unwrap());

    // 1 MiB there and back: far more than one TLS record and one of the relay's buffers.
    let sent = vec![b'x'; 1 << 20];
    let file = folder.path().join("sent");
    std::fs::write(&file, &sent).unwrap();
    let body = format!("@{}", file.display());
    let url = format!("https://{tls}/");
    let tunnelled =
        scene.curl(&token, &["--proxy-cacert", proxy_ca, "--cacert", ca, "--data-binary", &body, &url]).await;
    assert_eq!(tunnelled.stdout.len(), sent.len(), "{}", String::from_utf8_lossy(&tunnelled.stderr));
    assert!(tunnelled.stdout == sent);
    let row = scene.platform.audit_of(|entry| entry.action == "egress.tunnel").await;
    assert!(row.detail["bytes_up"].as_u64().unwrap() > 1 << 20, "what is inside is counted: {row:?}");

    let url = format!("http://{http}/");
    let asked = scene.curl(&token, &["--proxy-cacert", proxy_ca, &url]).await;
    assert_eq!(asked.stdout, b"answer", "{}", String::from_utf8_lossy(&asked.stderr));

    let before = plain.heard().len();
    let distrusted = scene.curl(&token, &["--proxy-cacert", ca, &url]).await;
    // 60: nobody known has issued it; 35: somebody of that name has not signed it.
    assert!(
        matches!(distrusted.status.code(), Some(35 | 60)),
        "{}",
        String::from_utf8_lossy(&distrusted.stderr)
    );
    let without = scene.platform.raw(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(!without.contains("200"), "plain HTTP is not answered: {without}");
    assert_eq!(plain.heard().len(), before);
}

/// What a client of the destination sends first, through a tunnel.
fn hello() -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::try_from("good.test").unwrap();
    let mut connection = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut bytes = Vec::new();
    connection.write_tls(&mut bytes).unwrap();
    bytes
}

#[tokio::test]
async fn a_certificate_changes_while_a_tunnel_runs() {
    let scene = Scene::start().await;
    let outside = Outside::answering(b"answer").await;
    let destination = format!("good.test:{}", outside.port());
    let token = scene.platform.token(1, &[grant(&destination)]);
    let mut tunnel = scene.connect().await;
    let request = format!("CONNECT {destination} HTTP/1.1\r\nProxy-Authorization: Bearer {token}\r\n\r\n");
    tunnel.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(timeout(SOON, tunnel.read_u8()).await.expect("an answer").unwrap());
    }
    assert_eq!(status(&String::from_utf8_lossy(&head)), 200);
    let mut answer = [0; 6];
    tunnel.write_all(&hello()).await.unwrap();
    tunnel.read_exact(&mut answer).await.unwrap();

    let before = scene.shown().await;
    scene.authority.pair("localhost").write(scene.folder.path());
    let changed = async {
        let mut again = interval(LOOK_EVERY);
        while scene.shown().await == before {
            again.tick().await;
        }
    };
    timeout(SOON, changed).await.expect("the new certificate is shown");

    tunnel.write_all(b"more").await.unwrap();
    tunnel.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"answer", "the tunnel goes on with the certificate that it began with");
    scene.platform.kill_attempt(1);
    let mut rest = Vec::new();
    // However it is broken off, it ends.
    let _ = timeout(SOON, tunnel.read_to_end(&mut rest)).await.expect("it ends with the attempt");
    assert!(rest.is_empty());
}
