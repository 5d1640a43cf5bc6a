//! A dispatcher, with sessions of the store's process.

use std::{path::Path, sync::Arc};

use anyhow::Context as _;
use trace_dispatcher::{Adapters, Config, serve};
use url::Url;

use super::store::RemoteSessions;

/// Serves until `SIGTERM`.
///
/// # Errors
/// When it can't start.
pub async fn run(config: &Path, sessions: Url) -> anyhow::Result<()> {
    let stop = super::until_terminated()?;
    let config = Config::read(config)?;
    let adapters = Adapters::new(&config, Arc::new(RemoteSessions::new(sessions)));
    serve(config, adapters, stop).await.context("the dispatcher stopped")
}
