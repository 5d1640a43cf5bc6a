//! A DAG file of a user: whatever is in it, the reader ends, and what it accepts means one thing.

#![no_main]

use std::{collections::BTreeMap, sync::LazyLock};

use libfuzzer_sys::fuzz_target;
use trace_contracts::{Runtime, Sha256, wire::worker::Blob};
use trace_dispatcher::{dag, runtimes::Offered};

static BLOBS: LazyLock<BTreeMap<String, Blob>> = LazyLock::new(|| {
    let blob = |path: &str| (path.to_owned(), Blob { sha256: Sha256::of(path.as_bytes()), size: 1000 });
    ["data/flights.csv.gz", "data/weather.csv.gz", "udfs/delays", "udfs/routes", "a"].map(blob).into()
});

fuzz_target!(|text: &str| {
    let offered = Offered::only(Runtime::Process);
    match dag::check(text, &BLOBS, &offered) {
        Ok(checked) => {
            let again = dag::check(text, &BLOBS, &offered).expect("what was accepted is accepted");
            assert_eq!(dag::digest(&checked.spec, text), dag::digest(&again.spec, text));
        }
        Err(errors) => {
            assert!(!errors.is_empty(), "a refusal says why");
            // A line break of YAML may be a carriage return alone, and the end is a place too.
            let lines = text.split(['\n', '\r']).count() as u64 + 1;
            for error in errors {
                assert!(!error.message.is_empty());
                assert!(error.line.is_none_or(|line| line >= 1 && line <= lines), "{error:?} of {lines}");
            }
        }
    }
});
