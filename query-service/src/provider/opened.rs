//! Tables that an engine has opened before: their columns, statistics and files.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use datafusion::{catalog::Session, error::Result};
use object_store::path::Path;
use trace_contracts::{Name, Sha256};

use super::GrantedTable;
use crate::{catalog::EngineTable, store::GrantedStore};

/// Tables remembered at most; past that the memory starts anew.
const REMEMBERED: usize = 64;

/// A memory of opened tables, by what they hold and hide.
///
/// The name of a table here is a hash of the content of its objects and of the grant's columns and
/// row filter, all of them from the query's own catalog. So a token that grants other columns or
/// other rows of the same objects gets another table, and none but the tables of a catalog are ever
/// looked up. An opened table holds no address and no bytes: its scans go through the query's store.
#[derive(Debug, Default)]
pub(crate) struct OpenedTables(Mutex<HashMap<Sha256, Arc<GrantedTable>>>);

impl OpenedTables {
    /// The table of a grant, opened now or before.
    pub(crate) async fn open(
        &self,
        name: &Name,
        granted: &EngineTable,
        session: &dyn Session,
        store: &Arc<GrantedStore>,
    ) -> Result<Arc<GrantedTable>> {
        let identity = identity(granted, store)?;
        if let Some(table) = self.tables().get(&identity) {
            return Ok(Arc::clone(table));
        }
        let table = Arc::new(GrantedTable::open(name, granted, session, store).await?);
        let mut tables = self.tables();
        if tables.len() >= REMEMBERED {
            tables.clear();
        }
        tables.insert(identity, Arc::clone(&table));
        Ok(table)
    }

    fn tables(&self) -> MutexGuard<'_, HashMap<Sha256, Arc<GrantedTable>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn identity(granted: &EngineTable, store: &GrantedStore) -> Result<Sha256> {
    let objects: Vec<Path> = granted.objects.iter().map(|object| store.meta(object).location).collect();
    let objects: Vec<&str> = objects.iter().map(Path::as_ref).collect();
    let text = serde_json::to_vec(&(objects, &granted.columns, &granted.row_filter));
    let text = text.map_err(|error| datafusion::error::DataFusionError::External(Box::new(error)))?;
    Ok(Sha256::of(&text))
}
