//! Small files, good and bad.

use std::{
    fs::{self, File},
    io::Write,
};

use arrow::{array::RecordBatch, compute::concat_batches, util::pretty::pretty_format_batches};
use flate2::{Compression, write::GzEncoder};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tempfile::TempDir;
use trace_operators::csv_to_parquet::{Settings, run};

/// Converts `csv` and shows types and rows, or the error.
fn convert(settings: &str, partition: &str, csv: &[u8]) -> String {
    let folder = TempDir::new().unwrap();
    let (source, target) = (folder.path().join("source"), folder.path().join("part-0.parquet"));
    fs::write(&source, csv).unwrap();
    match run(&Settings::parse(settings).unwrap(), &source, partition, &target) {
        Err(error) => {
            assert!(!target.exists(), "half a file is left after: {error}");
            error.to_string()
        }
        Ok(done) => {
            let batch = read(&target);
            assert_eq!(done.kept, batch.num_rows() as u64);
            assert_eq!(done.bytes, target.metadata().unwrap().len());
            let types: Vec<_> =
                batch.schema().fields().iter().map(|f| format!("{}: {}", f.name(), f.data_type())).collect();
            format!(
                "{} of {} rows; {}\n{}",
                done.kept,
                done.read,
                types.join(", "),
                pretty_format_batches(&[batch]).unwrap()
            )
        }
    }
}

/// All rows of a file.
pub fn read(path: &std::path::Path) -> RecordBatch {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let schema = reader.schema().clone();
    let batches: Vec<_> = reader.build().unwrap().map(Result::unwrap).collect();
    concat_batches(&schema, &batches).unwrap()
}

const FLIGHTS: &str = "year,month,origin,delay,share,tail,at\n\
    2013,1,JFK,2,0.5,007,2013-01-01T10:00:00Z\n\
    2013,2,LGA,NA,1,N1,2013-02-01T10:00:00Z\n\
    2013,1,\"E,\"\"W\"\"\nR\",-4,,NA,\n";

#[test]
fn types_are_those_of_the_whole_file() {
    insta::assert_snapshot!(convert(r#"{"null":"NA"}"#, "all", FLIGHTS.as_bytes()));
}

#[test]
fn a_partition_has_its_rows_in_the_files_order() {
    let by_month =
        r#"{"null":"NA","partition":{"year":"year","month":"month"},"columns":{"delay":"float64"}}"#;
    insta::assert_snapshot!(convert(by_month, "2013-01", FLIGHTS.as_bytes()));
}

#[test]
fn a_partition_without_rows_has_the_columns() {
    let by_month = r#"{"null":"NA","partition":{"year":"year","month":"month"}}"#;
    insta::assert_snapshot!(convert(by_month, "2013-12", FLIGHTS.as_bytes()));
}

#[test]
fn a_partition_may_be_a_columns_value() {
    let by_origin = r#"{"partition":{"equals":"origin"}}"#;
    assert!(convert(by_origin, "LGA", FLIGHTS.as_bytes()).starts_with("1 of 3 rows;"));
}

#[test]
fn gzip_is_found_out() {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(FLIGHTS.as_bytes()).unwrap();
    let (packed, plain) = (gzip.finish().unwrap(), FLIGHTS.as_bytes());
    assert_eq!(convert("{}", "all", &packed), convert("{}", "all", plain));
    let cut = convert("{}", "all", &packed[..packed.len() - 12]);
    assert!(cut.starts_with("can't read"), "{cut}");
}

#[test]
fn errors_name_the_line_and_say_what_to_do() {
    let by_month = r#"{"partition":{"year":"year","month":"month"}}"#;
    let cases: [(&str, &str, &[u8]); 13] = [
        ("{}", "all", b""),
        ("{}", "all", b"a,a\n1,2\n"),
        ("{}", "all", b"a,\n1,2\n"),
        ("{}", "all", b"a,b\n1,2\n1\n"),
        ("{}", "all", b"a,b\n1,\"x\ny\"\n1,\xff\n"),
        (r#"{"columns":{"c":"int64"}}"#, "all", b"a,b\n1,2\n"),
        (r#"{"columns":{"a":"int64"}}"#, "all", b"a,b\n1,2\n2.5,2\n"),
        (r#"{"columns":{"a":"date"}}"#, "all", b"a\n01/31/2013\n"),
        ("{}", "2013-01", b"a\n1\n"),
        (by_month, "JFK", b"year,month\n2013,1\n"),
        (by_month, "2013-01", b"year,months\n2013,1\n"),
        (by_month, "2013-01", b"year,month\n2013,1\n2013,\n"),
        (by_month, "2013-01", b"year,month\n2013,1\n2013,13\n"),
    ];
    let said: Vec<_> = cases.map(|(settings, key, csv)| convert(settings, key, csv)).to_vec();
    insta::assert_snapshot!(said.join("\n\n"));
}

#[test]
fn a_quote_without_end_is_refused_in_time() {
    let endless = format!("a\n\"{}", "x".repeat(20 * 1024 * 1024));
    let said = convert(r#"{"columns":{"a":"utf8"}}"#, "all", endless.as_bytes());
    assert!(said.contains("is a quote not closed?"), "{said}");
}
