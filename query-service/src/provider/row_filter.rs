//! Hidden rows: a filter that runs right above the scan, and a guard right above it.

use std::sync::Arc;

use datafusion::{
    arrow::datatypes::{DataType, Field, Schema, SchemaRef},
    common::ScalarValue,
    error::{DataFusionError, Result},
    logical_expr::Operator,
    physical_expr::{
        PhysicalExpr, conjunction,
        expressions::{BinaryExpr, Column, Literal},
    },
    physical_plan::{ExecutionPlan, filter::FilterExecBuilder},
};
use trace_contracts::{Name, RowFilter, grant::FilterValue};

use super::guard::Guard;

/// Which rows of a table may be seen.
#[derive(Debug)]
pub(super) enum VisibleRows {
    /// Every one.
    All,
    /// Those that match.
    Matching(Matching),
}

/// Rows where each column equals its value.
#[derive(Debug)]
pub(super) struct Matching(Vec<(String, ScalarValue)>);

impl VisibleRows {
    /// Reads the grant's filter against the columns that the table really has. Fails closed: a
    /// filter that can't be applied as it was meant is an error, never a table without a filter.
    pub(super) fn new(name: &Name, whole: &Schema, filter: Option<&RowFilter>) -> Result<Self> {
        let Some(RowFilter(columns)) = filter else { return Ok(Self::All) };
        let terms = columns
            .iter()
            .map(|(column, value)| {
                let (_, field) = whole.fields().find(column).ok_or_else(|| {
                    DataFusionError::Plan(format!(
                        "table `{name}` has no column `{column}`, which its row filter names"
                    ))
                })?;
                Ok((column.clone(), literal(name, field, value)?))
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Self::Matching(Matching(terms)))
    }

    /// The visible columns, then those that only the filter needs.
    pub(super) fn read_schema(&self, visible: &SchemaRef, whole: &Schema) -> Result<SchemaRef> {
        let Self::Matching(Matching(terms)) = self else { return Ok(Arc::clone(visible)) };
        let mut fields = visible.fields().to_vec();
        for (column, _) in terms {
            if visible.index_of(column).is_err() {
                fields.push(Arc::new(whole.field_with_name(column)?.clone()));
            }
        }
        Ok(Arc::new(Schema::new(fields)))
    }
}

impl Matching {
    /// `visible` with what the filter needs behind it.
    pub(super) fn columns_to_read(&self, visible: Vec<usize>, read_schema: &Schema) -> Result<Vec<usize>> {
        let mut columns = visible;
        for (column, _) in &self.0 {
            let index = read_schema.index_of(column)?;
            if !columns.contains(&index) {
                columns.push(index);
            }
        }
        Ok(columns)
    }

    /// The comparison, over the columns of `schema`.
    pub(super) fn predicate(&self, schema: &Schema) -> Result<Arc<dyn PhysicalExpr>> {
        let terms = self.0.iter().map(|(column, value)| {
            let left: Arc<dyn PhysicalExpr> = Arc::new(Column::new_with_schema(column, schema)?);
            let right: Arc<dyn PhysicalExpr> = Arc::new(Literal::new(value.clone()));
            Ok(Arc::new(BinaryExpr::new(left, Operator::Eq, right)) as Arc<dyn PhysicalExpr>)
        });
        Ok(conjunction(terms.collect::<Result<Vec<_>>>()?))
    }

    /// `scan` without the hidden rows, cut down to its first `kept` columns, behind a guard.
    pub(super) fn apply(&self, scan: Arc<dyn ExecutionPlan>, kept: usize) -> Result<Arc<dyn ExecutionPlan>> {
        let filter = FilterExecBuilder::new(self.predicate(&scan.schema())?, scan);
        let filtered = filter.apply_projection(Some((0..kept).collect()))?.build()?;
        Ok(Arc::new(Guard::new(Arc::new(filtered))))
    }
}

/// The value in the column's own type. Only conversions that can't change which rows match are made.
fn literal(name: &Name, field: &Field, value: &FilterValue) -> Result<ScalarValue> {
    let misfit = || {
        DataFusionError::Plan(format!(
            "the row filter of table `{name}` compares column `{}` of type {} with a value of another type",
            field.name(),
            field.data_type()
        ))
    };
    let mut data_type = field.data_type();
    if let DataType::Dictionary(_, values) = data_type {
        data_type = values;
    }
    let plain = match value {
        FilterValue::Bool(value) if *data_type == DataType::Boolean => ScalarValue::Boolean(Some(*value)),
        FilterValue::Int(value) if data_type.is_numeric() => ScalarValue::Int64(Some(*value)),
        FilterValue::Text(value) if data_type.is_string() || data_type.is_temporal() => {
            ScalarValue::Utf8(Some(value.clone()))
        }
        _ => return Err(misfit()),
    };
    let converted = plain.cast_to(data_type).map_err(|_| misfit())?;
    if converted.is_null() { Err(misfit()) } else { converted.cast_to(field.data_type()) }
}
