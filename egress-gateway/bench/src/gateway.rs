//! The gateway in a process of its own, as in production, with a dispatcher that answers from memory: the hops
//! are real, and its commit of the audit rows is not part of what is measured.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, State},
    http::StatusCode,
    routing::{get, post},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use trace_contracts::{
    EgressGrant,
    wire::plane::{AuditRequest, LivenessReply, LivenessRequest},
};

use crate::{
    contenders::{Contender, Process, listening},
    tokens::{ISSUER, Key},
};

/// A running gateway.
pub struct Gateway {
    pub address: SocketAddr,
    pub token: String,
    process: Process,
    audited: Arc<AtomicU64>,
}

impl Gateway {
    /// Starts one that may reach loopback, and makes a token that grants one destination.
    pub async fn start(program: &Path, folder: &Path, upstream: SocketAddr) -> anyhow::Result<Self> {
        let key = Key::new()?;
        let audited = Arc::new(AtomicU64::new(0));
        let dispatcher = dispatcher(key.jwks.clone(), Arc::clone(&audited)).await?;
        let address = trace_ports::reserve_address();
        let policy = folder.join("policy.json");
        fs::write(&policy, json!({ "allow_private": { "networks": ["127.0.0.0/8"] } }).to_string())?;
        let config = folder.join("egress.json");
        let settings = json!({
            "listen": address, "log": "error",
            "service": {
                "dispatcher": dispatcher, "identity": "plane",
                "capabilities": { "issuer": ISSUER, "jwks": format!("{dispatcher}jwks") },
                "policy": policy, "dns_servers": ["127.0.0.1:9"],
                "limits": { "per_attempt": 100_000, "connections": 20_000 },
            },
        });
        fs::write(&config, settings.to_string())?;
        let child = Command::new(program)
            .args(["serve", "--config"])
            .arg(&config)
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        let process = Process(child);
        listening(address, "the gateway").await?;
        let destination = upstream.to_string().parse()?;
        let grant = EgressGrant { destination, max_bytes: u64::MAX / 2, max_requests: u32::MAX };
        Ok(Self { address, token: key.sign(vec![grant])?, process, audited })
    }

    pub const fn contender(&self) -> Contender {
        Contender::At { address: self.address, _process: None }
    }

    /// Rows that its dispatcher has taken.
    pub fn audited(&self) -> u64 {
        self.audited.load(Ordering::Relaxed)
    }

    /// Resident memory, in bytes.
    pub fn resident(&self) -> anyhow::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.0.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kibibytes * 1024)
    }
}

async fn dispatcher(jwks: Value, audited: Arc<AtomicU64>) -> anyhow::Result<String> {
    let router = Router::new()
        .route("/jwks", get(move || async { Json(jwks) }))
        .route("/internal/liveness", post(liveness))
        .route("/internal/audit", post(audit))
        .layer(DefaultBodyLimit::disable())
        .with_state(audited);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(url)
}

/// Nobody dies here. A feed waits as long as it asked to.
async fn liveness(Json(request): Json<LivenessRequest>) -> Json<LivenessReply> {
    let news = std::future::pending::<()>();
    let _none = tokio::time::timeout(Duration::from_millis(request.wait_ms), news).await;
    Json(LivenessReply::default())
}

async fn audit(State(audited): State<Arc<AtomicU64>>, Json(request): Json<AuditRequest>) -> StatusCode {
    audited.fetch_add(request.entries.len() as u64, Ordering::Relaxed);
    StatusCode::OK
}
