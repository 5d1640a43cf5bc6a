//! Results in the plain types that every Arrow library knows.
//!
//! Engines compute on views of texts and bytes, because slicing and comparing those copies nothing.
//! They are an engine's own affair: an older reader has no word for them.

use std::sync::Arc;

use datafusion::arrow::{
    array::RecordBatch,
    compute::cast,
    datatypes::{DataType, Field, FieldRef, Schema, SchemaRef},
    error::ArrowError,
};

/// What a result looks like from outside.
pub(super) fn schema(computed: &Schema) -> SchemaRef {
    let fields: Vec<FieldRef> = computed.fields().iter().map(field).collect();
    Arc::new(Schema::new(fields))
}

/// A batch in a schema that [`schema`] made.
pub(super) fn batch(computed: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = computed.columns().iter().zip(schema.fields()).map(|(column, field)| {
        if column.data_type() == field.data_type() {
            Ok(Arc::clone(column))
        } else {
            cast(column, field.data_type())
        }
    });
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let rows = datafusion::arrow::array::RecordBatchOptions::new().with_row_count(Some(computed.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &rows)
}

fn field(computed: &FieldRef) -> FieldRef {
    let data_type = data_type(computed.data_type());
    if data_type == *computed.data_type() {
        return Arc::clone(computed);
    }
    Arc::new(Field::clone(computed).with_data_type(data_type))
}

fn data_type(computed: &DataType) -> DataType {
    match computed {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::Dictionary(keys, values) => DataType::Dictionary(keys.clone(), Box::new(data_type(values))),
        DataType::List(item) | DataType::ListView(item) => DataType::List(field(item)),
        DataType::LargeList(item) | DataType::LargeListView(item) => DataType::LargeList(field(item)),
        DataType::FixedSizeList(item, length) => DataType::FixedSizeList(field(item), *length),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(field).collect()),
        DataType::Map(entries, sorted) => DataType::Map(field(entries), *sorted),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{ArrayRef, AsArray, Int64Array, ListArray, StringViewArray, StructArray};
    use datafusion::arrow::buffer::OffsetBuffer;

    use super::*;

    #[test]
    fn views_become_plain_at_every_depth() {
        let texts: ArrayRef =
            Arc::new(StringViewArray::from(vec!["JFK", "a text that no view holds inline"]));
        let item = Arc::new(Field::new_list_field(DataType::Utf8View, true));
        let offsets = OffsetBuffer::new(vec![0, 0, 2].into());
        let listed: ArrayRef = Arc::new(ListArray::new(item, offsets, Arc::clone(&texts), None));
        let inner = Arc::new(Field::new("t", DataType::Utf8View, true));
        let nested: ArrayRef = Arc::new(StructArray::from(vec![(inner, Arc::clone(&texts))]));
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        let computed = RecordBatch::try_from_iter(vec![
            ("text", texts),
            ("list", listed),
            ("struct", nested),
            ("number", numbers),
        ])
        .unwrap();
        let schema = schema(&computed.schema());
        let types: Vec<String> = schema.fields().iter().map(|field| field.data_type().to_string()).collect();
        assert_eq!(types, ["Utf8", "List(Utf8)", "Struct(\"t\": Utf8)", "Int64"]);
        let plain = batch(&computed, &schema).unwrap();
        assert_eq!(plain.column(0).as_string::<i32>().value(1), "a text that no view holds inline");
        assert_eq!(plain.column(1).as_list::<i32>().value(1).as_string::<i32>().value(0), "JFK");
        assert_eq!(plain.column(2).as_struct().column(0).as_string::<i32>().value(0), "JFK");
    }

    #[test]
    fn a_result_without_columns_keeps_its_rows() {
        let rows = datafusion::arrow::array::RecordBatchOptions::new().with_row_count(Some(3));
        let computed =
            RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &rows).unwrap();
        assert_eq!(batch(&computed, &schema(&computed.schema())).unwrap().num_rows(), 3);
    }
}
