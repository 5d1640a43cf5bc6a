//! Every plane, on real parts: PostgreSQL, dispatchers, the embedded object store, and the query service in a
//! process of its own. There is no worker: whoever uses this claims, asks and completes by hand, and so holds
//! the tokens and keys of attempts, as a thief would.

mod attempt;
mod cable;
mod cluster;
mod dispatcher;
mod download;
mod query_service;
mod sessions;
mod users;

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use tempfile::TempDir;
use trace_object_store::{Config, Denial, DenialSink, EmbeddedObjectStore, Limits};

pub use self::{
    attempt::{Attempt, Cause, Plane, SLOW, Verdict},
    cable::Cable,
    cluster::Cluster,
    dispatcher::Dispatcher,
    download::Download,
    query_service::QueryService,
    sessions::Sessions,
    users::{ISSUER, Issuer},
};

/// The bucket of the object store.
pub const BUCKET: &str = "trace";
/// The region that requests to it are signed for.
pub const REGION: &str = "us-east-1";
/// Longer than anything here takes.
pub const LONG: Duration = Duration::from_secs(60);

/// Everything, running. It ends when this is dropped.
pub struct Stand {
    /// The first dispatcher.
    pub dispatcher: Dispatcher,
    /// The query service, which reaches the dispatcher through the cable.
    pub query: QueryService,
    /// Between the query service and the dispatcher.
    pub cable: Cable,
    /// The object store.
    pub store: EmbeddedObjectStore,
    /// Signs users' tokens.
    pub issuer: Issuer,
    /// A client that waits for nothing and follows nothing.
    pub http: reqwest::Client,
    folder: TempDir,
    cluster: Cluster,
}

/// Nobody reads refusals of the store here.
struct Unheard;

#[async_trait::async_trait]
impl DenialSink for Unheard {
    async fn denied(&self, _denial: Denial) {}
}

impl Stand {
    /// Starts everything. The query service believes the last word of the dispatcher for `liveness_bound`.
    pub async fn start(liveness_bound: Duration) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("trace-stand.").tempdir()?;
        let cluster = Cluster::start()?;
        let issuer = Issuer::start(&folder.path().join("users")).await?;
        let store = EmbeddedObjectStore::start(Config {
            root: folder.path().join("objects"),
            listen: "127.0.0.1:0".parse()?,
            bucket: BUCKET.to_owned(),
            region: REGION.to_owned(),
            limits: Limits::default(),
            denials: Arc::new(Unheard),
        })
        .await?;
        let dispatcher = Dispatcher::start(&cluster.url(), folder.path(), &issuer, &store).await?;
        let cable = Cable::lay(dispatcher.addresses().workers).await?;
        let query = QueryService::start(folder.path(), &dispatcher, &cable, &issuer, &store, liveness_bound);
        let query = query.await.context("the query service")?;
        let http = reqwest::Client::builder().no_proxy().build()?;
        Ok(Self { dispatcher, query, cable, store, issuer, http, folder, cluster })
    }

    /// A second dispatcher on the same database and the same key folder.
    pub async fn second_dispatcher(&self) -> anyhow::Result<Dispatcher> {
        Dispatcher::start(&self.cluster.url(), self.folder.path(), &self.issuer, &self.store).await
    }
}
