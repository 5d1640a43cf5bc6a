//! A provider of JSON-RPC with TLS, which answers as a test wants it to and writes down what it was asked.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    routing::post,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use trace_plane::{
    Door,
    tls::{Files, Tls},
};

/// One request, as it came.
#[derive(Debug, Clone)]
pub struct Heard {
    pub target: String,
    pub headers: HeaderMap,
    pub body: Value,
}

/// How a provider answers.
pub type Answering = fn(&Heard) -> (StatusCode, String);

type Behaviour = dyn Fn(&Heard) -> (StatusCode, String) + Send + Sync;

#[derive(Clone)]
struct Stub {
    heard: Arc<Mutex<Vec<Heard>>>,
    behaviour: Arc<Behaviour>,
}

/// A running provider; it stops when this is dropped.
pub struct Provider {
    pub port: u16,
    heard: Arc<Mutex<Vec<Heard>>>,
    stop: CancellationToken,
}

/// An authority, and the folder of its files and of keys.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "an authority of the tests");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("authority.pem"), issuer.pem()).unwrap();
        Self { issuer, folder }
    }

    pub fn file(&self) -> PathBuf {
        self.folder.path().join("authority.pem")
    }

    /// A file that its owner alone may read.
    pub fn secret(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        private(&path, content);
        path
    }

    /// A provider that is called so, whose certificate this authority has signed.
    pub async fn provider(
        &self,
        name: &str,
        behaviour: impl Fn(&Heard) -> (StatusCode, String) + Send + Sync + 'static,
    ) -> Provider {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        let folder = TempDir::new_in(self.folder.path()).unwrap();
        let files = Files { certificate: folder.path().join("c.pem"), key: folder.path().join("k.pem") };
        private(&files.certificate, &certificate.pem());
        private(&files.key, &key.serialize_pem());
        let door = Door::Tls(Tls::open(files).unwrap());
        Provider::start(door, behaviour).await
    }
}

fn private(path: &Path, content: &str) {
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

impl Provider {
    async fn start(
        door: Door,
        behaviour: impl Fn(&Heard) -> (StatusCode, String) + Send + Sync + 'static,
    ) -> Self {
        let listener = door.bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (heard, stop) = (Arc::new(Mutex::new(Vec::new())), CancellationToken::new());
        let behaviour: Arc<Behaviour> = Arc::new(behaviour);
        let router = Router::new()
            .route("/", post(answer))
            .route("/{*path}", post(answer))
            .with_state(Stub { heard: Arc::clone(&heard), behaviour });
        tokio::spawn(trace_plane::serve(listener, router, stop.clone()));
        Self { port, heard, stop }
    }

    pub fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn answer(State(stub): State<Stub>, uri: Uri, headers: HeaderMap, body: Bytes) -> (StatusCode, String) {
    let body = serde_json::from_slice(&body).unwrap();
    let one = Heard { target: uri.to_string(), headers, body };
    stub.heard.lock().unwrap().push(one.clone());
    (stub.behaviour)(&one)
}

/// Answers every call with its method's name.
pub fn echoing(heard: &Heard) -> (StatusCode, String) {
    let one = |call: &Value| {
        let id = call.get("id")?.clone();
        Some(json!({ "jsonrpc": "2.0", "id": id, "result": call["method"] }))
    };
    let body = match &heard.body {
        // In another order than they were asked for.
        Value::Array(calls) => json!(calls.iter().rev().filter_map(one).collect::<Vec<_>>()),
        call => json!(one(call)),
    };
    (StatusCode::OK, body.to_string())
}

/// Answers nothing that could be passed on.
pub fn failing(_: &Heard) -> (StatusCode, String) {
    (StatusCode::BAD_GATEWAY, "down".to_owned())
}
