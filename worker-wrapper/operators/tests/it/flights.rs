//! The demo's real data: nothing is lost on the way to twelve partitions.

use std::{
    path::{Path, PathBuf},
    thread,
};

use arrow::{
    array::{AsArray, types::Int64Type},
    datatypes::SchemaRef,
};
use serde_json::Value;
use tempfile::TempDir;
use trace_operators::csv_to_parquet::{Done, Settings, run};

use crate::csv_to_parquet::read;

const SETTINGS: &str = r#"{"null":"NA","partition":{"year":"year","month":"month"}}"#;

fn dags() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dags")
}

/// The month's rows, as counted and summed from its own file.
struct Month {
    done: Done,
    schema: SchemaRef,
    cancelled: usize,
}

fn convert(month: usize, folder: &Path) -> Month {
    let target = folder.join(format!("{month}.parquet"));
    let key = format!("2013-{month:02}");
    let done = run(&Settings::parse(SETTINGS).unwrap(), &dags().join("data/flights.csv.gz"), &key, &target);
    let batch = read(&target);
    let column = |name| batch.column_by_name(name).unwrap().as_primitive::<Int64Type>();
    assert!(column("month").values().iter().all(|found| *found == month as i64));
    let cancelled = column("dep_delay").iter().filter(Option::is_none).count();
    Month { done: done.unwrap(), schema: batch.schema(), cancelled }
}

#[test]
fn every_flight_is_in_exactly_one_month() {
    let expected: Value =
        serde_json::from_slice(&std::fs::read(dags().join("expected/totals.json")).unwrap()).unwrap();
    let folder = TempDir::new().unwrap();
    let months: Vec<Month> = thread::scope(|scope| {
        let workers: Vec<_> = (1..=12)
            .map(|month| {
                scope.spawn({
                    let folder = folder.path();
                    move || convert(month, folder)
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    for (at, month) in months.iter().enumerate() {
        let key = format!("2013-{:02}", at + 1);
        assert_eq!(expected["flights_by_partition"][&key], month.done.kept, "{key}");
        assert_eq!(month.schema, months[0].schema, "every partition has the same types");
    }
    assert!(months.iter().all(|month| expected["flights"] == month.done.read));
    assert_eq!(expected["flights"], months.iter().map(|month| month.done.kept).sum::<u64>());
    assert_eq!(expected["cancelled"], months.iter().map(|month| month.cancelled).sum::<usize>());
    let types: Vec<_> =
        months[0].schema.fields().iter().map(|f| format!("{}: {}", f.name(), f.data_type())).collect();
    insta::assert_snapshot!(types.join("\n"));
}
