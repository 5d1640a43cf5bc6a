//! Parameters: defaults in the file, values in a trigger.

use std::collections::BTreeMap;

use serde_json::Value;
use trace_contracts::{FieldError, Name};

use super::{
    bounds,
    decode::{Located, Table},
    findings::{Findings, shown},
    leaf::Json,
    quantity::shown_bytes,
    suggest::{did_you_mean, listed},
};

/// The parameters of a DAG with their defaults, whose types its triggers must keep to.
pub fn defaults(
    raw: Option<&Table<Name, Located<Json>>>,
    findings: &mut Findings,
) -> BTreeMap<String, Value> {
    let Some(raw) = raw else { return BTreeMap::new() };
    if raw.entries.len() > bounds::MAX_PARAMS {
        findings.push(&raw.place, format!("a DAG has at most {} parameters", bounds::MAX_PARAMS));
    }
    for (name, default) in &raw.entries {
        if default.value.0.is_null() {
            let message =
                format!("`{}` needs a default that shows its type: a text, a number, a list", name.value);
            findings.push(&default.place, message);
        }
    }
    let params: BTreeMap<String, Value> =
        raw.entries.iter().map(|(name, default)| (name.value.to_string(), default.value.0.clone())).collect();
    if size(&params) > bounds::MAX_CONFIG_BYTES {
        findings.push(&raw.place, too_large());
    }
    params
}

fn size(params: &BTreeMap<String, Value>) -> usize {
    params.iter().map(|(name, value)| name.len() + value.to_string().len()).sum()
}

fn too_large() -> String {
    let most = shown_bytes(bounds::MAX_CONFIG_BYTES as u64);
    format!("parameters have at most {most} in all: move data into `files`")
}

/// The parameters of a run: the defaults, and what the trigger sets instead.
///
/// # Errors
/// Every parameter that the DAG does not have, or that has another type than its default.
pub fn of_run(
    defaults: &BTreeMap<String, Value>,
    unverified_params: BTreeMap<String, Value>,
) -> Result<BTreeMap<String, Value>, Vec<FieldError>> {
    let mut params = defaults.clone();
    let mut errors = Vec::new();
    for (name, value) in unverified_params {
        match params.get_mut(&name) {
            // How JSON writes a NUL character, which the database does not store.
            Some(_) if value.to_string().contains("\\u0000") => {
                errors.push(wrong(&name, "a text can't hold a NUL character".to_owned()));
            }
            Some(default) if kind(default) == kind(&value) => *default = value,
            Some(default) => errors.push(wrong(
                &name,
                format!("expected {} like the default, found {}", kind(default), kind(&value)),
            )),
            None => errors.push(wrong(&name, unknown(&name, defaults))),
        }
    }
    if size(&params) > bounds::MAX_CONFIG_BYTES {
        errors.push(wrong("", too_large()));
    }
    if errors.is_empty() { Ok(params) } else { Err(errors) }
}

fn unknown(name: &str, defaults: &BTreeMap<String, Value>) -> String {
    if defaults.is_empty() {
        return "the DAG has no parameters: declare them under `params`".to_owned();
    }
    let hint = did_you_mean(name, defaults.keys().map(String::as_str));
    format!("the DAG has no such parameter{hint}: it has {}", listed(defaults.keys().map(String::as_str)))
}

fn wrong(name: &str, message: String) -> FieldError {
    let field = if name.is_empty() { "params".to_owned() } else { format!("params.{}", shown(name)) };
    FieldError { line: None, column: None, field, message }
}

/// Whole numbers and fractions are one type: a default of `1` takes `1.5`.
const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn map(value: Value) -> BTreeMap<String, Value> {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_trigger_may_set_what_the_dag_declares() {
        let defaults = map(json!({ "month": "2013-01", "limit": 10 }));
        assert_eq!(of_run(&defaults, map(json!({}))).unwrap(), defaults);
        let run = of_run(&defaults, map(json!({ "limit": 5 }))).unwrap();
        assert_eq!(run, map(json!({ "month": "2013-01", "limit": 5 })));
    }

    #[test]
    fn every_wrong_parameter_is_said() {
        let defaults = map(json!({ "month": "2013-01", "limit": 10 }));
        let errors =
            of_run(&defaults, map(json!({ "limit": "5", "mouth": "x", "month": null }))).unwrap_err();
        insta::assert_json_snapshot!(errors);
        let errors = of_run(&map(json!({})), map(json!({ "a": 1 }))).unwrap_err();
        assert_eq!(errors[0].message, "the DAG has no parameters: declare them under `params`");
        let large = of_run(&defaults, map(json!({ "month": "x".repeat(70_000) }))).unwrap_err();
        assert_eq!(large[0].field, "params");
    }
}
