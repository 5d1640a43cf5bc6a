//! Idle tunnels, and what they cost the gateway.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use rustls::{ClientConfig, ClientConnection, RootCertStore, pki_types::ServerName};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::gateway::Gateway;

/// Tunnels that are opened at the same time.
const AT_ONCE: usize = 64;

/// Opens tunnels, each with a ClientHello, and looks at the gateway's memory once all are there.
pub async fn idle(gateway: &Gateway, upstream: SocketAddr, count: usize) -> anyhow::Result<Value> {
    let before = gateway.resident()?;
    let hello: Arc<[u8]> = hello(upstream)?.into();
    let request: Arc<str> = format!(
        "CONNECT {upstream} HTTP/1.1\r\nHost: {upstream}\r\nProxy-Authorization: Bearer {}\r\n\r\n",
        gateway.token
    )
    .into();
    let mut tunnels = Vec::with_capacity(count);
    while tunnels.len() < count {
        let opening: Vec<_> = (0..AT_ONCE.min(count - tunnels.len()))
            .map(|_| tokio::spawn(open(gateway.address, Arc::clone(&request), Arc::clone(&hello))))
            .collect();
        for opening in opening {
            tunnels.push(opening.await??);
        }
    }
    // What was freed since is given back, or not: half a second in which nothing happens.
    let nothing = std::future::pending::<()>();
    let _quiet = tokio::time::timeout(Duration::from_millis(500), nothing).await;
    let resident = gateway.resident()?;
    let open = tunnels.len();
    drop(tunnels);
    Ok(json!({
        "count": open, "resident_bytes": resident, "resident_before_bytes": before,
        "bytes_a_tunnel": resident.saturating_sub(before) / u64::try_from(open.max(1))?, "audit_rows": gateway.audited(),
    }))
}

async fn open(gateway: SocketAddr, request: Arc<str>, hello: Arc<[u8]>) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(gateway).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut head).await? == 0 {
            bail!("closed: {}", String::from_utf8_lossy(&head));
        }
    }
    if !head.starts_with(b"HTTP/1.1 200") {
        bail!("{}", String::from_utf8_lossy(&head));
    }
    stream.write_all(&hello).await?;
    Ok(stream)
}

/// What a client sends first to an address.
fn hello(upstream: SocketAddr) -> anyhow::Result<Vec<u8>> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let mut connection =
        ClientConnection::new(Arc::new(config), ServerName::from(upstream.ip())).context("a client")?;
    let mut bytes = Vec::new();
    connection.write_tls(&mut bytes)?;
    Ok(bytes)
}
