//! The JSON Schema of a DAG's YAML, generated from the types that read it.

use super::raw::RawDag;

/// Where the schema is served, which is also its name.
pub const ID: &str = "/v1/schema/dag.json";

/// The schema (draft 2020-12). An editor that gets it checks a DAG while it is being written.
#[must_use]
pub fn schema() -> serde_json::Value {
    let mut schema = schemars::SchemaGenerator::default().into_root_schema_for::<RawDag>();
    schema.insert("$id".to_owned(), ID.into());
    schema.insert("title".to_owned(), "A DAG of Trace".into());
    schema.to_value()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `dags/trace-dag.schema.json` is what the platform serves. Write it anew with
    /// `INSTA_UPDATE=always cargo test -p trace-dispatcher schema`.
    #[test]
    fn the_file_in_the_repository_is_current() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../dags/trace-dag.schema.json");
        let current = sorted(schema());
        if std::env::var_os("INSTA_UPDATE").is_some_and(|update| update == "always") {
            let text = serde_json::to_string_pretty(&current).unwrap() + "\n";
            std::fs::write(&path, text).unwrap();
        }
        let file: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!(file, current, "dags/trace-dag.schema.json is not current");
    }

    /// The same keys in order, whichever map serde_json was built with.
    fn sorted(value: serde_json::Value) -> serde_json::Value {
        match value {
            serde_json::Value::Object(map) => {
                let ordered: std::collections::BTreeMap<_, _> =
                    map.into_iter().map(|(key, value)| (key, sorted(value))).collect();
                ordered.into_iter().collect()
            }
            serde_json::Value::Array(items) => items.into_iter().map(sorted).collect(),
            other => other,
        }
    }
}
