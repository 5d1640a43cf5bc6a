//! A session that knows the granted tables and nothing else: no files, no network, no information
//! schema, and the allowed functions only.

use std::sync::{Arc, OnceLock};

use datafusion::{
    catalog::{
        CatalogProvider, CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList,
        MemorySchemaProvider, SchemaProvider,
    },
    common::config::ConfigNonZeroUsize,
    error::{DataFusionError, Result},
    execution::{
        SessionState, SessionStateBuilder, SessionStateDefaults,
        cache::cache_manager::{CacheManagerConfig, FileMetadataCache},
        disk_manager::{DiskManagerBuilder, DiskManagerMode},
        memory_pool::GreedyMemoryPool,
        object_store::ObjectStoreRegistry,
        runtime_env::{RuntimeEnv, RuntimeEnvBuilder},
    },
    optimizer::{Optimizer, OptimizerRule},
    physical_optimizer::optimizer::PhysicalOptimizer,
    prelude::SessionConfig,
};
use object_store::ObjectStore;
use trace_contracts::Name;
use url::Url;

use crate::{
    catalog::EngineCatalog,
    decimals,
    gate::functions,
    projections,
    provider::{self, OpenedTables},
    pushdown, semi_joins,
    store::{Blocks, GrantedStore},
};

/// The part of an engine's memory that operators may account for. What neither they nor the blocks
/// take is for what nobody counts.
const POOL_PERCENT: usize = 55;
/// The part of an engine's memory that blocks of objects may take.
const BLOCKS_PERCENT: usize = 20;
/// Footers of Parquet files that an engine remembers. They are named by content, and reachable only
/// through the catalog of the query at hand.
const FOOTER_CACHE_BYTES: usize = 16 << 20;
/// Objects whose footers are fetched at once.
const FOOTERS_AT_ONCE: usize = 16;
/// The one catalog and schema.
const CATALOG: &str = "trace";
const SCHEMA: &str = "granted";

/// What an engine keeps from query to query. What comes from objects is named by their content, and
/// looked up only for the objects and tables of a query's own catalog.
#[derive(Clone)]
pub(crate) struct Environment {
    /// Connections to the object store.
    pub(crate) http: reqwest::Client,
    /// Bytes of objects.
    pub(crate) blocks: Arc<Blocks>,
    /// Footers.
    footers: Arc<FileMetadataCache>,
    /// Tables that were opened.
    opened: Arc<OpenedTables>,
    /// Functions, rules and settings; no tables and no store.
    template: Arc<SessionState>,
    /// Bytes that operators may hold.
    pool_bytes: usize,
}

impl Environment {
    /// For an engine with so many threads and so much memory in all.
    pub(crate) fn new(http: reqwest::Client, threads: usize, memory_bytes: usize) -> Result<Self> {
        Ok(Self {
            http,
            blocks: Arc::new(Blocks::new((memory_bytes / 100 * BLOCKS_PERCENT) as u64)),
            footers: RuntimeEnv::default().cache_manager.get_file_metadata_cache(),
            opened: Arc::default(),
            template: Arc::new(template(threads)?),
            pool_bytes: memory_bytes / 100 * POOL_PERCENT,
        })
    }

    /// A session with a catalog and a memory pool of its own, for one query that is still to come.
    pub(crate) fn blank(&self) -> Result<Blank> {
        let (tables, store) = (Arc::new(MemorySchemaProvider::new()), Arc::new(OneStore::default()));
        let state = SessionStateBuilder::new_from_existing(SessionState::clone(&self.template))
            .with_runtime_env(runtime(self, Arc::clone(&store))?)
            .with_catalog_list(catalogs(Arc::clone(&tables))?)
            .build();
        Ok(Blank { state, tables, store })
    }
}

/// A session without tables and without a store. Making one takes longer than many a query, so engines make it
/// before the query comes.
pub(crate) struct Blank {
    state: SessionState,
    tables: Arc<MemorySchemaProvider>,
    store: Arc<OneStore>,
}

impl Blank {
    /// Opens the tables of `names`, which are tables of `catalog`; the query's time begins.
    pub(crate) async fn open(
        mut self,
        environment: &Environment,
        catalog: &EngineCatalog,
        names: &[Name],
        store: Arc<GrantedStore>,
    ) -> Result<SessionState> {
        self.store.give(Arc::clone(&store))?;
        for name in names {
            let granted = catalog
                .tables
                .get(name)
                .ok_or_else(|| DataFusionError::Plan(format!("no table `{name}`")))?;
            let table = environment.opened.open(name, granted, &self.state, &store).await?;
            self.tables.register_table(name.to_string(), table)?;
        }
        self.state.mark_start_execution();
        Ok(self.state)
    }
}

fn catalogs(tables: Arc<MemorySchemaProvider>) -> Result<Arc<dyn CatalogProviderList>> {
    let (catalogs, catalog) = (MemoryCatalogProviderList::new(), MemoryCatalogProvider::new());
    catalog.register_schema(SCHEMA, tables)?;
    catalogs.register_catalog(CATALOG.to_owned(), Arc::new(catalog));
    Ok(Arc::new(catalogs))
}

/// What all sessions of an engine share. Building it takes longer than many a query.
fn template(threads: usize) -> Result<SessionState> {
    Ok(SessionStateBuilder::new()
        .with_config(config(threads)?)
        .with_expr_planners(SessionStateDefaults::default_expr_planners())
        .with_scalar_functions(functions::scalar())
        .with_aggregate_functions(functions::aggregate())
        .with_window_functions(functions::window())
        .with_optimizer_rules(rules())
        .with_physical_optimizer_rules(pushdown::careful(PhysicalOptimizer::new().rules))
        .build())
}

/// The logical optimizer's rules, with ours among them.
fn rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    decimals::quick(projections::careful(semi_joins::pushed_down(Optimizer::new().rules)))
}

fn config(threads: usize) -> Result<SessionConfig> {
    let mut config = SessionConfig::new()
        .with_default_catalog_and_schema(CATALOG, SCHEMA)
        .with_create_default_catalog_and_schema(false)
        .with_information_schema(false)
        .with_target_partitions(threads)
        .with_collect_statistics(true);
    let options = config.options_mut();
    // Slicing and comparing views copies nothing; results are made plain when they are encoded.
    options.execution.parquet.schema_force_view_types = true;
    options.execution.meta_fetch_concurrency = ConfigNonZeroUsize::try_new(FOOTERS_AT_ONCE)?;
    Ok(config)
}

fn runtime(environment: &Environment, store: Arc<OneStore>) -> Result<Arc<RuntimeEnv>> {
    let caches = CacheManagerConfig::default()
        .with_file_metadata_cache(Some(Arc::clone(&environment.footers)))
        .with_metadata_cache_limit(FOOTER_CACHE_BYTES)
        .with_list_files_cache_limit(0)
        .with_file_statistics_cache_limit(0);
    RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(GreedyMemoryPool::new(environment.pool_bytes)))
        .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled))
        .with_object_store_registry(store)
        .with_cache_manager(caches)
        .build_arc()
}

/// A registry of one store, once it is given. No other address resolves, and none can be added.
#[derive(Debug, Default)]
struct OneStore(OnceLock<Arc<GrantedStore>>);

impl OneStore {
    fn give(&self, store: Arc<GrantedStore>) -> Result<()> {
        self.0.set(store).map_err(|_| DataFusionError::Internal("a session has one store".to_owned()))
    }
}

impl ObjectStoreRegistry for OneStore {
    fn register_store(&self, _url: &Url, _store: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        None
    }

    fn get_store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        match self.0.get() {
            Some(store) if url.scheme() == provider::STORE_SCHEME => Ok(Arc::clone(store) as _),
            _ => Err(DataFusionError::Plan("there are no files here; read the granted tables".to_owned())),
        }
    }
}
