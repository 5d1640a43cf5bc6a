//! The gate over two small tables, for `trace/fuzz`: from a text to a verified plan, and no further.

use std::{collections::BTreeMap, net::Ipv4Addr, path::PathBuf, sync::Arc};

use tokio::{net::TcpListener, runtime::Runtime};
use trace_contracts::Name;

use crate::{
    catalog::EngineCatalog,
    gate::{Statement, VerifiedPlan},
    local::objects,
    session::Environment,
    store::{self, GrantedStore},
};

/// What an engine would allow itself.
const MEMORY_BYTES: usize = 256 << 20;

/// The gate of an engine that grants some files as tables.
pub struct Gate {
    environment: Environment,
    catalog: EngineCatalog,
    runtime: Runtime,
}

impl Gate {
    /// Grants `files`, Parquet files by the name of their table.
    ///
    /// # Panics
    /// When they can't be served.
    #[must_use]
    pub fn new(files: &BTreeMap<Name, PathBuf>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_stack_size(32 << 20)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let (catalog, router) = objects::publish(files, listener.local_addr().unwrap()).unwrap();
        runtime.spawn(async move { axum::serve(listener, router).await });
        let environment = Environment::new(store::http_client().unwrap(), 1, MEMORY_BYTES).unwrap();
        Self { environment, catalog, runtime }
    }

    /// The verified plan of a text and its physical form, each as text; nothing where it is refused.
    #[must_use]
    pub fn plan(&self, unverified_sql: &str) -> Option<(String, Option<String>)> {
        let (environment, catalog) = (self.environment.clone(), self.catalog.clone());
        let sql = unverified_sql.to_owned();
        // On a worker thread, which has the stack for it, as in an engine.
        let planned = self.runtime.spawn(async move {
            let statement = Statement::read(&sql, &catalog.tables).ok()?;
            let (http, blocks) = (environment.http.clone(), Arc::clone(&environment.blocks));
            let store = Arc::new(GrantedStore::new(http, blocks, &catalog));
            let session = environment.blank().ok()?;
            let session = session.open(&environment, &catalog, statement.tables(), store).await.ok()?;
            let plan = VerifiedPlan::new(statement, session).await.ok()?;
            let physical = plan.physical().await.ok();
            let shown = |plan: &Arc<dyn datafusion::physical_plan::ExecutionPlan>| {
                datafusion::physical_plan::displayable(plan.as_ref()).indent(true).to_string()
            };
            Some((plan.shown(), physical.as_ref().map(shown)))
        });
        self.runtime.block_on(planned).unwrap()
    }
}
