//! A granted table: the Parquet objects of a manifest, with hidden rows and columns hidden below
//! whatever the user's query does.

mod guard;
mod opened;
mod row_filter;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::{
    arrow::datatypes::{Schema, SchemaRef},
    catalog::{Session, TableProvider},
    common::{DFSchema, Statistics, stats::Precision},
    datasource::{
        file_format::{FileFormat, parquet::ParquetFormat},
        listing::PartitionedFile,
        physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource},
    },
    error::{DataFusionError, Result},
    execution::object_store::ObjectStoreUrl,
    logical_expr::{Expr, TableProviderFilterPushDown, TableType, utils::conjunction as logical_conjunction},
    physical_expr::PhysicalExpr,
    physical_plan::{ExecutionPlan, empty::EmptyExec},
};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{ObjectMeta, ObjectStore};
use trace_contracts::Name;
use trace_controls::{Protection, stands};

pub(crate) use self::opened::OpenedTables;
use self::row_filter::VisibleRows;
use crate::{catalog::EngineTable, store::GrantedStore};

/// The scheme under which the one store of a session is known.
pub(crate) const STORE_SCHEME: &str = "granted";

/// A table of the private catalog.
#[derive(Debug)]
pub(crate) struct GrantedTable {
    /// What the user sees.
    schema: SchemaRef,
    /// What is read: the visible columns, then those that only the row filter needs.
    read_schema: SchemaRef,
    format: ParquetFormat,
    files: Vec<PartitionedFile>,
    /// Known only where every row is visible.
    statistics: Statistics,
    rows: VisibleRows,
}

impl GrantedTable {
    /// Reads the footers of the table's objects and applies what the grant hides.
    pub(crate) async fn open(
        name: &Name,
        granted: &EngineTable,
        session: &dyn Session,
        store: &Arc<GrantedStore>,
    ) -> Result<Self> {
        let metas: Vec<ObjectMeta> = granted.objects.iter().map(|object| store.meta(object)).collect();
        if metas.is_empty() {
            return Err(DataFusionError::Plan(format!(
                "table `{name}` has no Parquet objects in this version"
            )));
        }
        let format = ParquetFormat::new().with_options(session.default_table_options().parquet);
        let objects: Arc<dyn ObjectStore> = store.clone();
        let inferred = format.infer_schema(session, &objects, &metas).await;
        let inferred = inferred.map_err(|error| differing(name, error))?;
        let whole = nullable(&inferred);
        let columns = granted.columns.as_deref().filter(|_| stands(Protection::ColumnList));
        let row_filter = granted.row_filter.as_ref().filter(|_| stands(Protection::RowFilter));
        let schema = visible(name, &whole, columns)?;
        let rows = VisibleRows::new(name, &whole, row_filter)?;
        let read_schema = rows.read_schema(&schema, &whole)?;
        let files = match &rows {
            VisibleRows::All => with_statistics(&format, session, &objects, &read_schema, metas).await?,
            VisibleRows::Matching(_) => metas.into_iter().map(PartitionedFile::new_from_meta).collect(),
        };
        let statistics = table_statistics(&files, &read_schema)?;
        Ok(Self { schema, read_schema, format, files, statistics, rows })
    }

    /// The plain scan of some columns of the read schema. Row groups in which nothing can match
    /// `hint` are skipped; rows that do not match may come all the same.
    async fn read(
        &self,
        session: &dyn Session,
        columns: Vec<usize>,
        hint: Option<Arc<dyn PhysicalExpr>>,
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut source = ParquetSource::new(Arc::clone(&self.read_schema));
        if let Some(hint) = hint {
            source = source.with_predicate(hint);
        }
        let groups = FileGroup::new(self.files.clone()).split_files(session.config().target_partitions());
        let url = ObjectStoreUrl::parse(format!("{STORE_SCHEME}://objects"))?;
        let scan = FileScanConfigBuilder::new(url, Arc::new(source))
            .with_file_groups(groups)
            .with_statistics(self.statistics.clone())
            .with_projection_indices(Some(columns))?
            .with_limit(limit)
            .build();
        self.format.create_physical_plan(session, scan).await
    }
}

#[async_trait]
impl TableProvider for GrantedTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// Where rows are hidden, no predicate of the user's comes near them.
    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let support = match self.rows {
            VisibleRows::All => TableProviderFilterPushDown::Inexact,
            VisibleRows::Matching(_) => TableProviderFilterPushDown::Unsupported,
        };
        Ok(vec![support; filters.len()])
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let visible = projection.cloned().unwrap_or_else(|| (0..self.schema.fields().len()).collect());
        if self.files.is_empty() {
            return Ok(Arc::new(EmptyExec::new(Arc::new(self.schema.project(&visible)?))));
        }
        match &self.rows {
            VisibleRows::All => {
                // A limit below a predicate that is only a hint would lose rows.
                let limit = limit.filter(|_| filters.is_empty());
                let predicate = physical(session, filters, &self.read_schema)?;
                self.read(session, visible, predicate, limit).await
            }
            VisibleRows::Matching(filter) => {
                let kept = visible.len();
                let columns = filter.columns_to_read(visible, &self.read_schema)?;
                let predicate = filter.predicate(&self.read_schema)?;
                filter.apply(self.read(session, columns, Some(predicate), None).await?, kept)
            }
        }
    }
}

/// The user's predicates on this table alone, as one.
fn physical(
    session: &dyn Session,
    filters: &[Expr],
    schema: &SchemaRef,
) -> Result<Option<Arc<dyn PhysicalExpr>>> {
    let Some(all) = logical_conjunction(filters.iter().cloned()) else { return Ok(None) };
    session.create_physical_expr(all, &DFSchema::try_from(Arc::clone(schema))?).map(Some)
}

/// Every column may be missing: one of the objects can lack a column that the others require.
fn nullable(schema: &Schema) -> Schema {
    let fields = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
    Schema::new(fields.collect::<Vec<_>>())
}

/// The columns of the grant, in its order.
fn visible(name: &Name, whole: &Schema, columns: Option<&[String]>) -> Result<SchemaRef> {
    let Some(columns) = columns else { return Ok(Arc::new(Schema::new(whole.fields().clone()))) };
    let fields = columns
        .iter()
        .map(|column| {
            whole.fields().find(column).map(|(_, field)| Arc::clone(field)).ok_or_else(|| {
                DataFusionError::Plan(format!(
                    "table `{name}` has no column `{column}`, which its grant names"
                ))
            })
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(Schema::new(fields)))
}

/// Every object with the statistics of its footer.
async fn with_statistics(
    format: &ParquetFormat,
    session: &dyn Session,
    store: &Arc<dyn ObjectStore>,
    schema: &SchemaRef,
    metas: Vec<ObjectMeta>,
) -> Result<Vec<PartitionedFile>> {
    stream::iter(metas)
        .map(|meta| async move {
            let statistics = format.infer_stats(session, store, Arc::clone(schema), &meta).await?;
            Ok(PartitionedFile::new_from_meta(meta).with_statistics(Arc::new(statistics)))
        })
        .buffered(session.config_options().execution.meta_fetch_concurrency.get())
        .try_collect()
        .await
}

/// The sum over all files, as far as every file has them.
fn table_statistics(files: &[PartitionedFile], schema: &SchemaRef) -> Result<Statistics> {
    let known: Option<Vec<_>> = files.iter().map(|file| file.statistics.as_deref()).collect();
    match known {
        Some(each) if !each.is_empty() => Statistics::try_merge_iter(each, schema),
        _ => Ok(Statistics { num_rows: Precision::Absent, ..Statistics::new_unknown(schema) }),
    }
}

fn differing(name: &Name, error: DataFusionError) -> DataFusionError {
    match error {
        DataFusionError::ArrowError(error, _) => {
            DataFusionError::Plan(format!("the objects of table `{name}` have different columns: {error}"))
        }
        error => error,
    }
}
