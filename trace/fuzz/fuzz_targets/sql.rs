//! The SQL gate: whatever the text, what is accepted reads granted tables and computes, and does nothing
//! else. The plan is judged by its text, not by the gate's own checks.

#![no_main]

use std::{collections::BTreeMap, path::PathBuf, sync::LazyLock};

use libfuzzer_sys::fuzz_target;
use trace_query_service::fuzzing::Gate;

static GATE: LazyLock<Gate> = LazyLock::new(|| {
    let table = |name: &str| {
        let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tables/{name}.parquet"));
        (name.parse().unwrap(), file)
    };
    Gate::new(&BTreeMap::from([table("flights"), table("weather")]))
});

fuzz_target!(|sql: &str| {
    let Some((plan, physical)) = GATE.plan(sql) else { return };
    for line in plan.lines() {
        let node = line.trim_start();
        if let Some(scan) = node.strip_prefix("TableScan: ") {
            let table = scan.split([' ', ',']).next().unwrap_or(scan);
            assert!(matches!(table, "flights" | "weather"), "{sql}\n{plan}");
        }
        for forbidden in ["Dml", "Ddl", "Copy", "CopyTo", "Explain", "Analyze", "Statement", "DescribeTable", "Extension"] {
            assert!(!node.starts_with(forbidden), "{sql}\n{plan}");
        }
    }
    if let Some(physical) = physical {
        for forbidden in ["DataSinkExec", "ExplainExec", "AnalyzeExec", "CsvSource", "StreamingTableExec", "DataSourceExec: file_type=json"] {
            assert!(!physical.contains(forbidden), "{sql}\n{physical}");
        }
    }
});
