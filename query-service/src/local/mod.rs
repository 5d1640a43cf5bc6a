//! Queries over local files, for `trace udf test`: the same engines, gate, tables and store, without
//! tokens or a platform.
//!
//! The engines read the files from this listener, at addresses that nobody can guess, exactly as
//! they read presigned ones from the object store.

pub(crate) mod objects;

use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
};

use axum::{Router, extract::State, response::Response, routing::post};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use trace_contracts::{Name, OrgId, wire::task::QueryRequest};
use trace_plane::{Body, Reply};

use crate::{
    asking::{Done, too_slow},
    catalog::EngineCatalog,
    config::{Engines, Limits},
    encode::Bounds,
    engine::protocol::Query,
    http::respond,
    pool::Pool,
    service,
};

/// There are no orgs here; all queries are of one.
const NO_ORG: OrgId = OrgId::from_db(1);

/// Files as tables.
pub struct Config {
    /// Parquet files by the name of the table.
    pub files: BTreeMap<Name, PathBuf>,
    /// The engines; [`Engines::command`] as in the service.
    pub engines: Engines,
    /// Bounds on queries.
    pub limits: Limits,
}

/// Why local files can't be served.
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
    /// The listener failed.
    #[error("listening on loopback: {0}")]
    Listen(#[from] io::Error),
    /// The engines did not start.
    #[error(transparent)]
    Engines(#[from] service::Error),
}

/// A listener that answers `POST /v1/task/query` over the files. It stops when `shutdown` does.
pub struct Local {
    /// Where it listens; on loopback only.
    pub address: SocketAddr,
    serving: JoinHandle<io::Result<()>>,
    pool: Pool,
}

struct Shared {
    catalog: EngineCatalog,
    limits: Limits,
    pool: Pool,
}

/// Serves the files until `shutdown`.
///
/// # Errors
/// When a file can't be read, or the listener or an engine does not start.
pub async fn serve(config: Config, shutdown: CancellationToken) -> Result<Local, Error> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let (catalog, objects) =
        objects::publish(&config.files, address).map_err(|(path, source)| Error::File { path, source })?;
    let ports = vec![address.port()];
    let pool = service::pool(&config.engines, &config.limits, ports, shutdown.clone()).await?;
    let shared = Arc::new(Shared { catalog, limits: config.limits, pool: pool.clone() });
    let router = Router::new().route("/v1/task/query", post(query)).with_state(shared).merge(objects);
    let serving = tokio::spawn(trace_plane::serve(listener, router, shutdown));
    Ok(Local { address, serving, pool })
}

impl Local {
    /// Waits, after the shutdown, until the listener and the engines are gone.
    pub async fn stopped(self) {
        if let Ok(Err(error)) = self.serving.await {
            tracing::error!(error = &error as &dyn std::error::Error, "the local listener failed");
        }
        self.pool.stopped().await;
    }
}

async fn query(State(shared): State<Arc<Shared>>, Body(request): Body<QueryRequest>) -> Reply<Response> {
    let deadline = shared.limits.deadline();
    let answer = tokio::time::timeout(deadline, shared.answer(request)).await;
    answer.unwrap_or_else(|_| Err(too_slow(deadline))).map(respond)
}

impl Shared {
    async fn answer(&self, request: QueryRequest) -> Reply<Done> {
        let bounds = Bounds { rows: self.limits.result_rows, bytes: self.limits.result_bytes };
        let query = Query { catalog: self.catalog.clone(), format: request.format, bounds };
        let (answer, bytes) = self.pool.ask(NO_ORG, &query, &request.sql).await?;
        Done::new(answer, request.format, bytes)
    }
}
