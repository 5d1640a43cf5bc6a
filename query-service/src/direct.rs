//! The plan of a query, run in this very process: no gate, no token, no hop to an engine. The
//! benchmark measures what those add; nothing else uses it.

use std::{collections::BTreeMap, io, net::Ipv4Addr, path::PathBuf, sync::Arc};

use datafusion::{
    arrow::array::RecordBatch, error::DataFusionError, physical_plan::collect, prelude::SessionContext,
};
use tokio::{net::TcpListener, task::JoinHandle};
use trace_contracts::Name;

use crate::{
    config::Engines,
    local::objects,
    session::Environment,
    store::{self, GrantedStore},
};

/// Tables that were opened once, in a session like that of an engine.
pub struct Direct {
    session: SessionContext,
    objects: JoinHandle<io::Result<()>>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file can't be read.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The listener of the objects failed.
    #[error("listening on loopback: {0}")]
    Listen(#[from] io::Error),
    /// The client of the objects can't be made.
    #[error("HTTP client: {0}")]
    Http(#[from] reqwest::Error),
    /// The query failed.
    #[error(transparent)]
    Query(#[from] DataFusionError),
}

impl Direct {
    /// Opens `files` as tables, read over loopback as an engine reads them, with the threads and the
    /// memory of `engines`.
    ///
    /// # Errors
    /// When a file can't be read.
    pub async fn open(files: &BTreeMap<Name, PathBuf>, engines: &Engines) -> Result<Self, Error> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let (catalog, router) = objects::publish(files, listener.local_addr()?)
            .map_err(|(path, source)| Error::File { path, source })?;
        let objects = tokio::spawn(async move { axum::serve(listener, router).await });
        let environment =
            Environment::new(store::http_client()?, engines.threads, engines.memory_bytes as usize)?;
        let (http, blocks) = (environment.http.clone(), Arc::clone(&environment.blocks));
        let store = Arc::new(GrantedStore::new(http, blocks, &catalog));
        let names: Vec<Name> = files.keys().cloned().collect();
        let session = environment.blank()?.open(&environment, &catalog, &names, store).await?;
        Ok(Self { session: SessionContext::new_with_state(session), objects })
    }

    /// Plans and runs a query.
    ///
    /// # Errors
    /// When it can't be planned or fails.
    pub async fn run(&self, sql: &str) -> Result<Vec<RecordBatch>, Error> {
        let state = self.session.state();
        let plan = state.create_logical_plan(sql).await?;
        Ok(collect(state.create_physical_plan(&plan).await?, self.session.task_ctx()).await?)
    }
}

impl Drop for Direct {
    fn drop(&mut self) {
        self.objects.abort();
    }
}
