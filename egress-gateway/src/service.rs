//! Putting the parts together.

use std::io;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::config::Config;

/// Why the gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {}

/// A running gateway.
pub struct Gateway {
    shutdown: CancellationToken,
}

/// Starts the gateway. Until `shutdown` it takes requests; then tunnels are ended.
///
/// # Errors
/// When the operator's file or the root of trust can't be read.
pub async fn start(config: Config, shutdown: CancellationToken) -> Result<Gateway, Error> {
    let _ = config;
    Ok(Gateway { shutdown })
}

impl Gateway {
    /// Takes tasks' requests (`CONNECT` and absolute-form), and answers `GET /healthz` and `GET /readyz`.
    ///
    /// # Errors
    /// When the listener fails for good.
    pub async fn serve(&self, listener: TcpListener) -> io::Result<()> {
        let _ = listener;
        self.shutdown.cancelled().await;
        Ok(())
    }

    /// Waits, after the shutdown, until every request has been audited.
    pub async fn stopped(self) {}
}
