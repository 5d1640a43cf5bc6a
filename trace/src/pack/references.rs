//! Finds the paths that a DAG file names, and nothing else.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_saphyr::Spanned;
use trace_contracts::wire::{limit, worker::Language};

/// One path of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    /// As written.
    pub path: String,
    /// What it stands for.
    pub kind: Kind,
    /// The field, such as `jobs[2].udf.path`.
    pub field: String,
    /// From 1.
    pub line: u64,
    /// From 1.
    pub column: u64,
}

/// What a path stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A file, taken as it is.
    File,
    /// A folder with a UDF.
    Udf(Language),
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Udf(Language::Python) => "python",
            Self::Udf(Language::Rust) => "rust",
        }
    }
}

/// The parts of a DAG that name paths. Unlike the platform's, these types let unknown fields pass.
#[derive(Debug, Deserialize)]
struct Dag {
    #[serde(default)]
    jobs: Vec<Job>,
}

#[derive(Debug, Deserialize)]
struct Job {
    #[serde(default)]
    files: BTreeMap<String, Spanned<String>>,
    udf: Option<Udf>,
}

#[derive(Debug, Deserialize)]
struct Udf {
    language: Language,
    path: Spanned<String>,
}

/// The paths of a DAG file, each once, in order. A file of another form yields none: the platform
/// then says what is wrong with it, in one set of words for everybody.
pub(super) fn find(yaml: &str) -> Vec<Reference> {
    let Ok(dag) = serde_saphyr::from_str_with_options::<Dag>(yaml, options()) else { return Vec::new() };
    let mut first: BTreeMap<(String, &str), Reference> = BTreeMap::new();
    for reference in dag.jobs.iter().enumerate().flat_map(|(number, job)| job.references(number)) {
        first.entry((reference.path.clone(), reference.kind.as_str())).or_insert(reference);
    }
    let mut references: Vec<Reference> = first.into_values().collect();
    references.sort_by_key(|reference| (reference.line, reference.column));
    references
}

/// The bounds of the platform's own reader (`dispatcher/src/dag/tree.rs`), so that whatever it takes
/// is packed.
fn options() -> serde_saphyr::Options {
    const MAX_NODES: usize = 500_000;
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_nodes: MAX_NODES,
            max_events: 2 * MAX_NODES,
            max_total_scalar_bytes: 2 * limit::DAG_YAML_BYTES,
        },
    }
}

impl Job {
    fn references(&self, number: usize) -> Vec<Reference> {
        let files = self
            .files
            .iter()
            .map(|(name, path)| reference(path, Kind::File, format!("jobs[{number}].files.{name}")));
        let udf = self
            .udf
            .iter()
            .map(|udf| reference(&udf.path, Kind::Udf(udf.language), format!("jobs[{number}].udf.path")));
        files.chain(udf).collect()
    }
}

fn reference(path: &Spanned<String>, kind: Kind, field: String) -> Reference {
    Reference {
        path: path.value.clone(),
        kind,
        field,
        line: path.defined.line(),
        column: path.defined.column(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_fields_pass_and_a_path_is_found_once() {
        let found = find(
            "novel: 1\njobs:\n  - {name: a, files: {x: f.csv, y: f.csv}, novel: [1]}\n  - udf: {language: rust, path: u, novel: 2}\n",
        );
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].path.as_str(), found[0].kind, found[0].line), ("f.csv", Kind::File, 3));
        assert_eq!(found[1].field, "jobs[1].udf.path");
        assert_eq!(found[1].kind, Kind::Udf(Language::Rust));
    }

    #[test]
    fn an_alias_bomb_is_not_expanded() {
        let mut yaml = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..10 {
            let before = level - 1;
            yaml.push_str(&format!("a{level}: &a{level} [{}]\n", vec![format!("*a{before}"); 10].join(", ")));
        }
        assert!(find(&yaml).is_empty());
    }
}
