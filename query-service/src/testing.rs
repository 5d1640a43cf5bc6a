//! Small tables for the tests of this crate: Parquet files in a temporary folder, read over HTTP
//! like any other.

use std::{collections::BTreeMap, fs::File, path::Path, sync::Arc};

use datafusion::{
    arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray},
    physical_plan::displayable,
};
use parquet::arrow::ArrowWriter;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use trace_contracts::{ErrorCode, Name, RowFilter, grant::FilterValue, wire::task::QueryFormat};

use crate::{
    catalog::{EngineCatalog, EngineTable},
    encode::Bounds,
    engine::{
        self,
        protocol::{Answer, Query},
    },
    gate::{Statement, VerifiedPlan},
    local,
    session::Environment,
    store::{self, GrantedStore},
};

/// Tables, and an environment to ask them in.
pub(crate) struct Warehouse {
    pub(crate) catalog: EngineCatalog,
    pub(crate) folder: TempDir,
    environment: Environment,
}

/// A code and a detail.
pub(crate) type Refused = (ErrorCode, String);

/// Twelve flights, six from JFK; the delays of the others end in .5.
pub(crate) fn flights() -> RecordBatch {
    let number = 0..12_i64;
    let jfk = |n: i64| n % 2 == 0;
    let origin: StringArray = number.clone().map(|n| Some(if jfk(n) { "JFK" } else { "EWR" })).collect();
    let delay: Float64Array =
        number.clone().map(|n| Some(n as f64 + if jfk(n) { 0.0 } else { 0.5 })).collect();
    batch(vec![
        ("flight", Arc::new(Int64Array::from_iter_values(number.clone()))),
        ("origin", Arc::new(origin)),
        ("delay", Arc::new(delay)),
        ("month", Arc::new(Int64Array::from_iter_values(number.map(|n| n % 3)))),
    ])
}

pub(crate) fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter(columns).unwrap()
}

fn write(path: &Path, batch: &RecordBatch) {
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
}

pub(crate) fn environment() -> Environment {
    Environment::new(store::http_client().unwrap(), 2, 256 << 20).unwrap()
}

impl Warehouse {
    /// Each table with one object for each batch.
    pub(crate) async fn new(tables: &[(&str, &[RecordBatch])]) -> Self {
        let folder = TempDir::new().unwrap();
        let mut files = BTreeMap::new();
        for (table, batches) in tables {
            for (part, batch) in batches.iter().enumerate() {
                let name: Name = format!("{table}_{part}").parse().unwrap();
                let path = folder.path().join(format!("{name}.parquet"));
                write(&path, batch);
                files.insert(name, path);
            }
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (parts, router) = local::objects::publish(&files, listener.local_addr().unwrap()).unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        let mut catalog = EngineCatalog::default();
        for (table, _) in tables {
            let part = |name: &Name| name.rsplit_once('_').is_some_and(|(stem, _)| stem == *table);
            let objects =
                parts.tables.iter().filter(|(name, _)| part(name)).flat_map(|(_, t)| t.objects.to_vec());
            let objects = objects.collect();
            catalog
                .tables
                .insert(table.parse().unwrap(), EngineTable { objects, columns: None, row_filter: None });
        }
        Self { catalog, folder, environment: environment() }
    }

    /// Hides rows of a table.
    pub(crate) fn filter(&mut self, table: &str, column: &str, value: FilterValue) {
        let filter = RowFilter([(column.to_owned(), value)].into());
        self.catalog.tables.get_mut(&table.parse::<Name>().unwrap()).unwrap().row_filter = Some(filter);
    }

    /// Hides columns of a table.
    pub(crate) fn columns(&mut self, table: &str, columns: &[&str]) {
        let columns = columns.iter().map(|column| (*column).to_owned()).collect();
        self.catalog.tables.get_mut(&table.parse::<Name>().unwrap()).unwrap().columns = Some(columns);
    }

    /// The store as a query over `catalog` has it, with what this warehouse's engine remembers.
    pub(crate) fn store(&self, catalog: &EngineCatalog) -> Arc<GrantedStore> {
        let (http, blocks) = (self.environment.http.clone(), Arc::clone(&self.environment.blocks));
        Arc::new(GrantedStore::new(http, blocks, catalog))
    }

    /// Forgets what an engine remembers, as a new one would.
    pub(crate) fn forget(&mut self) {
        self.environment = environment();
    }

    /// The rows of a query, as JSON.
    pub(crate) async fn ask(&self, sql: &str) -> Result<Value, Refused> {
        let bounds = Bounds { rows: 10_000, bytes: 1 << 20 };
        let query = Query { catalog: self.catalog.clone(), format: QueryFormat::Json, bounds };
        let (answer, body) =
            engine::answer(self.environment.clone(), self.environment.blank().unwrap(), query, sql.into())
                .await;
        match answer {
            Answer::Done { .. } => Ok(serde_json::from_slice::<Value>(&body).unwrap()["rows"].take()),
            Answer::Failed { code, detail } => Err((code, detail)),
            Answer::Panicked => panic!("the query panicked: {sql}"),
        }
    }

    /// The physical plan of a query, as text.
    pub(crate) async fn plan(&self, sql: &str) -> String {
        let store = self.store(&self.catalog);
        let statement = Statement::read(sql, &self.catalog.tables).unwrap();
        let session = self.environment.blank().unwrap();
        let session =
            session.open(&self.environment, &self.catalog, statement.tables(), store).await.unwrap();
        let plan = VerifiedPlan::new(statement, session).await.unwrap();
        displayable(plan.physical().await.unwrap().as_ref()).indent(true).to_string()
    }
}
