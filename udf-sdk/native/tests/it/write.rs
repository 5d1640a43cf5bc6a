//! What comes out is what went in.

use std::fs::File;

use arrow::array::{
    AsArray,
    types::{Float64Type, Int64Type},
};
use parquet::{
    basic::Compression,
    file::reader::{FileReader, SerializedFileReader},
};
use tempfile::TempDir;

use crate::support::{shown, written};

const NO_HINTS: &str = "{\"columns\":[]}\n";

#[test]
fn types_follow_the_values() {
    let lines = r#"{"origin":"JFK","flights":3,"delay":1,"late":true,"none":null}
{"origin":"LGA","flights":null,"delay":2.5,"late":false,"none":null}
{"delay":-3,"origin":"EWR é \"quoted\"\n"}"#;
    insta::assert_snapshot!(shown(&format!("{NO_HINTS}{lines}")));
}

#[test]
fn declared_types_come_first_and_hold() {
    let lines = r#"{"columns":[{"name":"day","type":"date"},{"name":"at","type":"timestamp"},{"name":"seen","type":"timestamptz"},{"name":"price","type":"decimal(10,2)"},{"name":"share","type":"float64"},{"name":"note"}]}
{"share":1,"price":"12.5","day":"2013-01-31","at":"2013-01-31T10:00:00.25","seen":"2013-01-31T10:00:00-05:00","extra":7}
{"price":3,"note":"x"}"#;
    insta::assert_snapshot!(shown(lines));
}

#[test]
fn an_empty_table_has_its_columns() {
    let empty = shown(r#"{"columns":[{"name":"n","type":"int64"},{"name":"text"}]}"#);
    insta::assert_snapshot!(empty);
}

#[test]
fn many_rows_keep_their_order_over_row_groups() {
    let rows: String = (0..300_000).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    let batch = written(&format!("{NO_HINTS}{rows}"));
    let numbers = batch.column(0).as_primitive::<Int64Type>();
    assert!(numbers.values().iter().copied().eq(0..300_000));
}

#[test]
fn floating_point_numbers_are_exact() {
    let numbers = [0.1 + 0.2, 1.0 / 3.0, 14.90574831693423, 5e-324, f64::MAX, -0.0, 263.036496350365];
    let rows: String = numbers.map(|x| format!("{}\n", serde_json::json!({"x": x}))).concat();
    let batch = written(&format!("{NO_HINTS}{rows}"));
    let read = batch.column(0).as_primitive::<Float64Type>();
    assert_eq!(read.values().iter().map(|x| x.to_bits()).collect::<Vec<_>>(), numbers.map(f64::to_bits));
}

#[test]
fn the_layout_is_what_readers_skip_by() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("out.parquet");
    let rows: String = (0..200_000).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    let written = trace_udf_native::convert(format!("{NO_HINTS}{rows}").as_bytes(), &path).unwrap();
    assert_eq!((written.rows, written.bytes), (200_000, path.metadata().unwrap().len()));

    let reader = SerializedFileReader::new(File::open(&path).unwrap()).unwrap();
    let groups = reader.metadata().row_groups();
    assert_eq!(groups.iter().map(|group| group.num_rows()).collect::<Vec<_>>(), [131_072, 68_928]);
    let column = groups[1].column(0);
    assert!(matches!(column.compression(), Compression::ZSTD(_)));
    assert_eq!(column.statistics().unwrap().min_bytes_opt().unwrap(), 131_072_i64.to_le_bytes());
    assert!(column.column_index_offset().is_some(), "pages have statistics too");
}
