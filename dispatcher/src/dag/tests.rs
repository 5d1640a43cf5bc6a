//! Files that are right, wrong and hostile.

use std::{collections::BTreeMap, fmt::Write as _};

use insta::{assert_json_snapshot, assert_snapshot};
use proptest::prelude::*;
use trace_contracts::{Runtime, Sha256, wire::worker::Blob};

use super::{Checked, check, digest, spec::Spec};
use crate::runtimes::Offered;

const FLIGHTS: &str = include_str!("tests/flights.yaml");

fn blob(content: &str) -> Blob {
    Blob { sha256: Sha256::of(content.as_bytes()), size: content.len() as u64 }
}

fn blobs(paths: &[&str]) -> BTreeMap<String, Blob> {
    paths.iter().map(|path| ((*path).to_owned(), blob(path))).collect()
}

/// An environment that offers processes.
fn here() -> Offered {
    Offered::only(Runtime::Process)
}

fn flights() -> Checked {
    check(FLIGHTS, &blobs(&["data/flights.csv.gz", "udfs/delays"]), &here()).unwrap()
}

/// What is wrong with a file, a line for each, as `line:column field: message`.
fn errors(yaml: &str) -> String {
    errors_with(yaml, &[])
}

fn errors_with(yaml: &str, paths: &[&str]) -> String {
    let errors = check(yaml, &blobs(paths), &here()).expect_err("the file must be refused");
    errors.iter().fold(String::new(), |mut text, error| {
        let at = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
        let field = if error.field.is_empty() { "(file)" } else { &error.field };
        writeln!(text, "{}:{} {field}: {}", at(error.line), at(error.column), error.message).unwrap();
        text
    })
}

/// A DAG of one Python job with these lines added to it.
fn job(lines: &str) -> String {
    format!("name: d\njobs:\n  - name: a\n    udf: {{ language: python, path: u }}\n{lines}")
}

fn spec_of(yaml: &str) -> Spec {
    check(yaml, &blobs(&["u"]), &here()).unwrap().spec
}

#[test]
fn a_job_asks_for_what_is_offered_or_for_what_its_dag_asks_for() {
    let both = [Runtime::Process, Runtime::Lambda].into();
    let offered = Offered::new(both, Some(Runtime::Process)).unwrap();
    let asked = |text: &str| -> Result<Option<Runtime>, String> {
        let checked = check(text, &blobs(&["u"]), &offered);
        checked.map(|checked| checked.spec.jobs[0].runtime).map_err(|errors| errors[0].message.clone())
    };
    assert_eq!(asked(&job("")), Ok(None));
    assert_eq!(asked(&job("    runtime: lambda")), Ok(Some(Runtime::Lambda)));
    assert_eq!(asked(&format!("runtime: lambda\n{}", job(""))), Ok(Some(Runtime::Lambda)));
    assert_eq!(
        asked(&format!("runtime: lambda\n{}", job("    runtime: process"))),
        Ok(Some(Runtime::Process))
    );
    let refused = asked(&job("    runtime: ecs_udf")).unwrap_err();
    assert!(refused.contains("`ecs_udf` is not offered here: use one of `process`, `lambda`"), "{refused}");
    let unknown = asked(&job("    runtime: ecs_platform")).unwrap_err();
    assert!(unknown.contains("is not a runtime"), "{unknown}");
}

#[test]
fn the_demo_dag_becomes_a_spec() {
    let checked = flights();
    assert_json_snapshot!(checked.spec);
    let datasets: Vec<_> = checked.uses.datasets.iter().map(|used| &*used.dataset).collect();
    assert_eq!(datasets, ["weather"]);
    assert_eq!(checked.uses.blobs.len(), 3);
}

/// Every DAG of the repository, whatever its files are.
#[test]
fn the_dags_of_this_repository_are_right() {
    let dags = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../dags");
    let mut seen = 0;
    for file in std::fs::read_dir(dags).unwrap().map(|file| file.unwrap().path()) {
        if file.extension().is_some_and(|extension| extension == "yaml") {
            let yaml = std::fs::read_to_string(&file).unwrap();
            // A path is what follows `path:`, or ends in the name of a file.
            let paths: Vec<&str> = yaml
                .split([' ', ',', '}', '\n'])
                .filter(|word| word.contains('/') && !word.ends_with('/'))
                .collect();
            let errors = check(&yaml, &blobs(&paths), &here()).err().unwrap_or_default();
            let wrong: Vec<_> = errors.into_iter().filter(|error| error.field != "blobs").collect();
            assert!(wrong.is_empty(), "{}: {wrong:?}", file.display());
            seen += 1;
        }
    }
    assert!(seen >= 2, "the demo's DAGs are there");
}

#[test]
fn a_version_is_its_content() {
    let spec = flights().spec;
    let own = digest(&spec, FLIGHTS);
    assert_eq!(own, digest(&flights().spec, FLIGHTS));
    assert_ne!(own, digest(&spec, &format!("{FLIGHTS}\n# a comment\n")));
    let mut other = blobs(&["data/flights.csv.gz", "udfs/delays"]);
    other.insert("udfs/delays".to_owned(), blob("changed code"));
    assert_ne!(own, digest(&check(FLIGHTS, &other, &here()).unwrap().spec, FLIGHTS));
}

#[test]
fn jobs_may_be_written_in_any_order() {
    let spec = spec_of(
        "name: d
jobs:
  - { name: last, udf: { language: python, path: u }, inputs: [{ name: i, from: { job: first } }] }
  - { name: first, udf: { language: rust, path: u } }
publish: { out: { from: { job: last } } }
",
    );
    let names: Vec<&str> = spec.jobs.iter().map(|job| &*job.name).collect();
    assert_eq!(names, ["first", "last"]);
    assert_eq!(spec.publish.values().collect::<Vec<_>>(), [&1]);
    assert_json_snapshot!(spec.jobs[1].inputs);
}

#[test]
fn anchors_and_merges_are_fine_within_bounds() {
    let spec = spec_of(
        "name: d
jobs:
  - &a { name: a, udf: { language: python, path: u }, timeout: 10s }
  - { <<: *a, name: b }
",
    );
    assert_eq!(spec.jobs[1].timeout_ms, 10_000);
}

#[test]
fn the_shape_must_be_right() {
    let mut said = String::new();
    for yaml in [
        "",
        "- a\n- b\n",
        "name: d\n",
        "name: d\njobs: []\n",
        "name: [\njobs: x\n",
        "name: d\njobs: []\n---\nname: e\n",
        "name: d\n\tjobs: []\n",
        "name: d\njobs: !python/object:os.system [rm]\n",
        "1: d\nname: d\nname: e\njobs: 3\n",
        "name: d\njobs: { a: 1 }\npublish: [a]\nparams: x\n",
    ] {
        writeln!(said, "{yaml:?}\n{}", errors(yaml)).unwrap();
    }
    assert_snapshot!(said);
}

#[test]
fn every_mistake_is_said_in_one_go() {
    assert_snapshot!(errors_with(include_str!("tests/mistakes.yaml"), &["u", "stray.csv"]));
}

#[test]
fn cycles_are_named() {
    assert_snapshot!(errors_with(include_str!("tests/cycle.yaml"), &["u"]));
}

#[test]
fn partitions_must_make_sense() {
    let mut said = String::new();
    for partitions in [
        "{ by: month, from: 2013-01 }",
        "{ by: month, from: 2013-13, to: 2014-1 }",
        "{ by: month, from: 2013-12, to: 2013-01 }",
        "{ by: day, from: 2013-01, to: 2013-02 }",
        "{ by: month, from: 0000-01, to: 9999-12 }",
        "{ list: [] }",
        "{ list: [a, b, a, all, 2013, 'a/b', .x] }",
        "{ list: [a], from: 2013-01 }",
        "{ list: [a], same_as: a }",
        "{ same_as: a }",
        "{ same_as: z }",
        "{}",
        "monthly",
        "",
    ] {
        let errors = errors_with(&job(&format!("    partitions: {partitions}\n")), &["u"]);
        writeln!(said, "{partitions}\n{errors}").unwrap();
    }
    assert_snapshot!(said);
}

#[test]
fn months_are_counted_over_years() {
    let spec = spec_of(&job("    partitions: { by: month, from: 2012-11, to: 2013-02 }\n"));
    let keys: Vec<&str> = spec.jobs[0].partitions.iter().map(|key| &**key).collect();
    assert_eq!(keys, ["2012-11", "2012-12", "2013-01", "2013-02"]);
}

#[test]
fn too_many_tasks_are_refused_before_they_are_listed() {
    let mut yaml = job("    partitions: { by: month, from: 0001-01, to: 6000-12 }\n");
    for copy in 0..100 {
        writeln!(
            yaml,
            "  - {{ name: b{copy}, udf: {{ language: python, path: u }}, partitions: {{ same_as: a }} }}"
        )
        .unwrap();
    }
    let errors = errors_with(&yaml, &["u"]);
    assert!(errors.contains("the DAG has 7272000 tasks in all"), "{errors}");
}

/// Texts that cost a naive reader its memory, its stack or its time.
fn hostile() -> Vec<(&'static str, String)> {
    let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..30 {
        let alias = format!("*a{}", level - 1);
        writeln!(laughs, "a{level}: &a{level} [{}]", vec![alias; 10].join(", ")).unwrap();
    }
    vec![
        ("ten megabytes", "x".repeat(10 << 20)),
        ("deep flow", format!("name: {}", "[".repeat(100_000))),
        (
            "deep block",
            (0..5_000).fold(String::new(), |text, depth| text + &" ".repeat(depth.min(180)) + "- \n"),
        ),
        ("deep maps", "{a: ".repeat(50_000)),
        ("a billion laughs", laughs),
        ("an alias of itself", "name: &a [*a]\njobs: []\n".to_owned()),
        ("an unknown alias", "name: *nowhere\n".to_owned()),
        ("many anchors", (0..20_000).fold(String::new(), |text, n| text + &format!("- &a{n} x\n"))),
        ("many documents", "---\n".repeat(200_000)),
        ("many values", "- x\n".repeat(510_000)),
        ("many keys", (0..100_000).fold(String::new(), |text, n| text + &format!("k{n}: \n"))),
        ("a long key", format!("{}: x\n", "k".repeat(900_000))),
        ("a huge number", format!("name: {}\n", "9".repeat(900_000))),
        ("not a number", "name: d\nparams: { a: .nan, b: 1e999 }\njobs: []\n".to_owned()),
        ("controls", "name: \"\\0\\a\\e[31m\"\njobs: []\n".to_owned()),
        ("a byte order mark", "\u{feff}name: d\njobs: []\n".to_owned()),
        ("merge of a text", "<<: x\nname: d\njobs: []\n".to_owned()),
        ("a directive", "%YAML 9.9\n---\nname: d\njobs: []\n".to_owned()),
    ]
}

#[test]
fn hostile_files_cost_little_and_say_why() {
    let mut said = String::new();
    for (what, yaml) in hostile() {
        let errors = errors(&yaml);
        assert!(errors.len() < 40_000, "{what} said {} bytes", errors.len());
        assert!(!errors.chars().any(|c| c.is_control() && c != '\n'), "{what} repeats control characters");
        writeln!(said, "{what}: {}", errors.lines().next().unwrap_or_default()).unwrap();
    }
    assert_snapshot!(said);
}

#[test]
fn every_prefix_of_a_good_file_is_read_or_refused() {
    for end in (0..FLIGHTS.len()).filter(|end| FLIGHTS.is_char_boundary(*end)) {
        let _read_or_refused = check(&FLIGHTS[..end], &blobs(&[]), &here());
    }
}

/// Pieces from which almost-DAGs are made.
fn pieces() -> impl Strategy<Value = String> {
    let words = [
        "name",
        "jobs",
        "params",
        "publish",
        "udf",
        "operator",
        "inputs",
        "from",
        "job",
        "dataset",
        "a",
        "b",
        "csv_to_parquet",
        "partitions",
        "by",
        "month",
        "list",
        "same_as",
        "where",
        "timeout",
        "60s",
        "2013-01",
        ": ",
        "\n",
        "\n  ",
        "\n    - ",
        "- ",
        "{",
        "}",
        "[",
        "]",
        ", ",
        "&x ",
        "*x",
        "<<",
        "!!str ",
        "? ",
        "|\n",
        "'",
        "\"",
        "#",
        "~",
        "0x1F",
        "1e9",
        "---\n",
        "\u{7f}",
        "ä",
    ];
    prop::collection::vec(prop::sample::select(words.to_vec()), 0..120).prop_map(|words| words.concat())
}

mod limits;
mod secrets;

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,300}") {
        let _read_or_refused = check(&text, &BTreeMap::new(), &here());
    }

    #[test]
    fn no_almost_dag_panics(text in pieces()) {
        if let Err(errors) = check(&text, &BTreeMap::new(), &here()) {
            prop_assert!(!errors.is_empty());
            prop_assert!(errors.len() <= 111);
        }
    }

    #[test]
    fn no_change_of_a_good_file_panics(at in 0..FLIGHTS.len(), with in pieces()) {
        let at = (0..=at).rev().find(|at| FLIGHTS.is_char_boundary(*at)).unwrap_or(0);
        let text = format!("{}{with}{}", &FLIGHTS[..at], &FLIGHTS[at..]);
        if let Ok(checked) = check(&text, &blobs(&["data/flights.csv.gz", "udfs/delays"]), &here()) {
            prop_assert!(!checked.spec.jobs.is_empty());
            for (index, job) in checked.spec.jobs.iter().enumerate() {
                prop_assert!(!job.partitions.is_empty());
                for input in &job.inputs {
                    use super::spec::Source::{Dataset, SamePartition, WholeJob};
                    match input.source {
                        SamePartition { job } | WholeJob { job } => prop_assert!(job < index),
                        Dataset { .. } => {}
                    }
                }
            }
        }
    }
}
