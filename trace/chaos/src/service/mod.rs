//! The processes of a run. Each is this same executable with a hidden subcommand, and calls the same
//! functions as the service's own binary; what differs is which adapter is wired: sessions of the
//! object store that runs as a process of its own, and, where asked for, a launcher without a sandbox.

pub mod dispatcher;
mod scripted;
pub mod store;
pub mod worker;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Cancelled at `SIGTERM`.
fn until_terminated() -> anyhow::Result<CancellationToken> {
    let mut terminated = signal(SignalKind::terminate()).context("SIGTERM can't be waited for")?;
    let stop = CancellationToken::new();
    let told = stop.clone();
    tokio::spawn(async move {
        terminated.recv().await;
        told.cancel();
    });
    Ok(stop)
}
