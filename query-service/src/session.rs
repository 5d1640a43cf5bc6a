//! A session that knows the granted tables and nothing else: no files, no network, no information
//! schema, and the allowed functions only.

use std::sync::Arc;

use datafusion::{
    common::config::ConfigNonZeroUsize,
    error::{DataFusionError, Result},
    execution::{
        SessionStateBuilder, SessionStateDefaults,
        cache::cache_manager::{CacheManagerConfig, FileMetadataCache},
        disk_manager::{DiskManagerBuilder, DiskManagerMode},
        memory_pool::GreedyMemoryPool,
        object_store::ObjectStoreRegistry,
        runtime_env::{RuntimeEnv, RuntimeEnvBuilder},
    },
    physical_optimizer::{PhysicalOptimizerRule, optimizer::PhysicalOptimizer},
    prelude::{SessionConfig, SessionContext},
};
use object_store::ObjectStore;
use trace_contracts::Name;
use url::Url;

use crate::{
    catalog::EngineCatalog,
    gate::functions,
    provider::{self, GrantedTable},
    store::GrantedStore,
};

/// Footers of Parquet files that an engine remembers. They are named by content, and reachable only
/// through the catalog of the query at hand.
const FOOTER_CACHE_BYTES: usize = 16 << 20;
/// Objects whose footers are fetched at once.
const FOOTERS_AT_ONCE: usize = 16;
/// The one catalog and schema.
const CATALOG: &str = "trace";
const SCHEMA: &str = "granted";

/// What an engine keeps from query to query.
#[derive(Clone)]
pub(crate) struct Environment {
    /// Connections to the object store.
    pub(crate) http: reqwest::Client,
    /// Footers, by content.
    pub(crate) footers: Arc<FileMetadataCache>,
    /// Threads to compute with.
    pub(crate) threads: usize,
    /// Bytes that operators may hold.
    pub(crate) pool_bytes: usize,
}

impl Environment {
    pub(crate) fn new(http: reqwest::Client, threads: usize, pool_bytes: usize) -> Self {
        Self {
            http,
            footers: RuntimeEnv::default().cache_manager.get_file_metadata_cache(),
            threads,
            pool_bytes,
        }
    }
}

/// Opens the tables of `names`, which are tables of `catalog`, in a session of their own.
pub(crate) async fn open(
    environment: &Environment,
    catalog: &EngineCatalog,
    names: &[Name],
    store: Arc<GrantedStore>,
) -> Result<SessionContext> {
    let session = empty(environment, store.clone())?;
    for name in names {
        let granted =
            catalog.tables.get(name).ok_or_else(|| DataFusionError::Plan(format!("no table `{name}`")))?;
        let table = GrantedTable::open(name, granted, &session.state(), &store).await?;
        session.register_table(&**name, Arc::new(table))?;
    }
    Ok(session)
}

fn empty(environment: &Environment, store: Arc<GrantedStore>) -> Result<SessionContext> {
    let state = SessionStateBuilder::new()
        .with_config(config(environment)?)
        .with_runtime_env(runtime(environment, store)?)
        .with_expr_planners(SessionStateDefaults::default_expr_planners())
        .with_scalar_functions(functions::scalar())
        .with_aggregate_functions(functions::aggregate())
        .with_window_functions(functions::window())
        .with_physical_optimizer_rules(rules())
        .build();
    Ok(SessionContext::new_with_state(state))
}

/// The physical optimizer without its filter pushdown, which in this version of DataFusion resolves
/// columns by name: where two columns of one name meet in a join, a predicate on one is moved to the
/// other's table and drops rows (apache/datafusion#21246, #25296). The logical optimizer moves
/// predicates to the tables all the same.
fn rules() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let rules = PhysicalOptimizer::new().rules.into_iter();
    rules.filter(|rule| !rule.name().starts_with("FilterPushdown")).collect()
}

fn config(environment: &Environment) -> Result<SessionConfig> {
    let mut config = SessionConfig::new()
        .with_default_catalog_and_schema(CATALOG, SCHEMA)
        .with_information_schema(false)
        .with_target_partitions(environment.threads)
        .with_collect_statistics(true);
    let options = config.options_mut();
    // Readers get the plain types that every Arrow library knows.
    options.execution.parquet.schema_force_view_types = false;
    options.sql_parser.map_string_types_to_utf8view = false;
    options.execution.meta_fetch_concurrency = ConfigNonZeroUsize::try_new(FOOTERS_AT_ONCE)?;
    Ok(config)
}

fn runtime(environment: &Environment, store: Arc<GrantedStore>) -> Result<Arc<RuntimeEnv>> {
    let caches = CacheManagerConfig::default()
        .with_file_metadata_cache(Some(Arc::clone(&environment.footers)))
        .with_metadata_cache_limit(FOOTER_CACHE_BYTES)
        .with_list_files_cache_limit(0)
        .with_file_statistics_cache_limit(0);
    RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(GreedyMemoryPool::new(environment.pool_bytes)))
        .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled))
        .with_object_store_registry(Arc::new(OneStore(store)))
        .with_cache_manager(caches)
        .build_arc()
}

/// A registry of one store. No other address resolves, and none can be added.
#[derive(Debug)]
struct OneStore(Arc<GrantedStore>);

impl ObjectStoreRegistry for OneStore {
    fn register_store(&self, _url: &Url, _store: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        None
    }

    fn get_store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        if url.scheme() == provider::STORE_SCHEME {
            return Ok(self.0.clone());
        }
        Err(DataFusionError::Plan("there are no files here; read the granted tables".to_owned()))
    }
}
