//! `{"columns":[{"name","type"}],"rows":[[…]]}`, written as it comes.
//!
//! Whole numbers that a double can hold are numbers, and so are finite floats. Whatever would lose a
//! digit in some reader (larger numbers, decimals), and dates and times, are texts. Lists are arrays, structs
//! are objects.

use std::{io::Write, sync::Arc};

use datafusion::arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch, StructArray},
    compute::cast,
    datatypes::{
        DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, SchemaRef, UInt8Type,
        UInt16Type, UInt32Type, UInt64Type,
    },
    util::display::{ArrayFormatter, FormatOptions},
};
use serde_json::{Map, Value};
use trace_contracts::wire::task::Column;

use super::{Buffer, Error, Writer};

/// Beyond this a double skips whole numbers.
const MAX_EXACT: i64 = 1 << 53;

pub(super) struct Json {
    buffer: Buffer,
    rows: u64,
}

impl Json {
    pub(super) fn new(schema: &SchemaRef, mut buffer: Buffer) -> Result<Self, Error> {
        let columns: Vec<Column> = schema
            .fields()
            .iter()
            .map(|field| Column { name: field.name().clone(), data_type: field.data_type().to_string() })
            .collect();
        buffer.write_all(b"{\"columns\":")?;
        put(&mut buffer, &columns)?;
        buffer.write_all(b",\"rows\":[")?;
        Ok(Self { buffer, rows: 0 })
    }
}

impl Writer for Json {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        let columns = batch.columns().iter().map(plain).collect::<Result<Vec<_>, _>>()?;
        let mut row = Vec::with_capacity(columns.len());
        for index in 0..batch.num_rows() {
            row.clear();
            for column in &columns {
                row.push(value(column, index)?);
            }
            if self.rows > 0 {
                self.buffer.write_all(b",")?;
            }
            put(&mut self.buffer, &row)?;
            self.rows += 1;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<Vec<u8>, Error> {
        self.buffer.write_all(b"]}")?;
        Ok(self.buffer.bytes)
    }
}

fn put<T: serde::Serialize + ?Sized>(buffer: &mut Buffer, value: &T) -> Result<(), Error> {
    serde_json::to_writer(&mut *buffer, value).map_err(|error| std::io::Error::from(error).into())
}

/// The column without a dictionary.
fn plain(column: &ArrayRef) -> Result<ArrayRef, Error> {
    match column.data_type() {
        DataType::Dictionary(_, values) => Ok(cast(column, values)?),
        _ => Ok(Arc::clone(column)),
    }
}

/// One value of a column.
fn value(column: &ArrayRef, index: usize) -> Result<Value, Error> {
    if column.is_null(index) {
        return Ok(Value::Null);
    }
    Ok(match column.data_type() {
        DataType::Null => Value::Null,
        DataType::Boolean => column.as_boolean().value(index).into(),
        DataType::Int8 => column.as_primitive::<Int8Type>().value(index).into(),
        DataType::Int16 => column.as_primitive::<Int16Type>().value(index).into(),
        DataType::Int32 => column.as_primitive::<Int32Type>().value(index).into(),
        DataType::Int64 => whole(column.as_primitive::<Int64Type>().value(index)),
        DataType::UInt8 => column.as_primitive::<UInt8Type>().value(index).into(),
        DataType::UInt16 => column.as_primitive::<UInt16Type>().value(index).into(),
        DataType::UInt32 => column.as_primitive::<UInt32Type>().value(index).into(),
        DataType::UInt64 => unsigned(column.as_primitive::<UInt64Type>().value(index)),
        DataType::Float32 => float(f64::from(column.as_primitive::<Float32Type>().value(index))),
        DataType::Float64 => float(column.as_primitive::<Float64Type>().value(index)),
        DataType::Utf8 => column.as_string::<i32>().value(index).into(),
        DataType::LargeUtf8 => column.as_string::<i64>().value(index).into(),
        DataType::Utf8View => column.as_string_view().value(index).into(),
        DataType::List(_) => list(&column.as_list::<i32>().value(index))?,
        DataType::LargeList(_) => list(&column.as_list::<i64>().value(index))?,
        DataType::FixedSizeList(..) => list(&column.as_fixed_size_list().value(index))?,
        DataType::Struct(_) => object(column.as_struct(), index)?,
        _ => displayed(column, index)?.into(),
    })
}

fn whole(number: i64) -> Value {
    if (-MAX_EXACT..=MAX_EXACT).contains(&number) { number.into() } else { number.to_string().into() }
}

fn unsigned(number: u64) -> Value {
    i64::try_from(number).map_or_else(|_| number.to_string().into(), whole)
}

/// JSON has no word for what is not a finite number.
fn float(number: f64) -> Value {
    serde_json::Number::from_f64(number).map_or_else(|| number.to_string().into(), Value::Number)
}

fn list(items: &ArrayRef) -> Result<Value, Error> {
    (0..items.len()).map(|index| value(items, index)).collect::<Result<Vec<_>, _>>().map(Value::Array)
}

fn object(fields: &StructArray, index: usize) -> Result<Value, Error> {
    let members = fields
        .column_names()
        .into_iter()
        .zip(fields.columns())
        .map(|(name, column)| Ok((name.to_owned(), value(column, index)?)));
    members.collect::<Result<Map<_, _>, Error>>().map(Value::Object)
}

/// Dates, times, decimals, bytes and maps as Arrow prints them.
fn displayed(column: &ArrayRef, index: usize) -> Result<String, Error> {
    let formatter = ArrayFormatter::try_new(column, &FormatOptions::default())?;
    Ok(formatter.value(index).try_to_string()?)
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::{
        array::{
            BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, ListArray,
            StringArray, TimestampMicrosecondArray, UInt64Array,
        },
        datatypes::{Field, Schema},
    };

    use super::*;

    fn batch() -> RecordBatch {
        let items = [Some(vec![Some(1_i64), None]), None, Some(vec![])];
        let place = StructArray::from(vec![(
            Arc::new(Field::new("city", DataType::Utf8, false)),
            Arc::new(StringArray::from(vec!["New York", "Zürich", ""])) as ArrayRef,
        )]);
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("int", Arc::new(Int64Array::from(vec![Some(-1), None, Some((1 << 53) + 1)]))),
            ("uint", Arc::new(UInt64Array::from(vec![0, 1 << 53, u64::MAX]))),
            ("float", Arc::new(Float64Array::from(vec![0.5, f64::NAN, f64::INFINITY]))),
            ("bool", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None]))),
            ("text", Arc::new(StringArray::from(vec!["a\"b", "ü\n", ""]))),
            (
                "money",
                Arc::new(Decimal128Array::from(vec![100, 205, -1]).with_precision_and_scale(20, 2).unwrap()),
            ),
            ("day", Arc::new(Date32Array::from(vec![0, 15706, -1]))),
            (
                "time",
                Arc::new(
                    TimestampMicrosecondArray::from(vec![0, 1_356_998_400_000_001, 1]).with_timezone("UTC"),
                ),
            ),
            ("bytes", Arc::new(BinaryArray::from(vec![&b"\x00\xff"[..], b"", b"a"]))),
            ("list", Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(items))),
            ("place", Arc::new(place)),
        ];
        let fields: Vec<Field> =
            columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect();
        let arrays = columns.into_iter().map(|(_, array)| array).collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
    }

    #[test]
    fn no_reader_loses_a_digit() {
        let batch = batch();
        let mut json = Box::new(Json::new(&batch.schema(), Buffer::new(10_000)).unwrap());
        json.write(&batch).unwrap();
        let document: Value = serde_json::from_slice(&json.finish().unwrap()).unwrap();
        insta::assert_json_snapshot!(document);
    }

    #[test]
    fn an_empty_result_has_its_columns() {
        let json = Box::new(Json::new(&batch().schema(), Buffer::new(10_000)).unwrap());
        let result: trace_contracts::wire::task::QueryResult =
            serde_json::from_slice(&json.finish().unwrap()).unwrap();
        assert_eq!(result.columns.len(), 11);
        assert!(result.rows.is_empty());
    }
}
