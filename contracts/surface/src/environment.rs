//! The environment of a task, built from nothing: nothing of whoever starts it is passed on.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use trace_contracts::{
    AttemptId, Secret,
    wire::worker::{Code, LaunchSpec},
};

use crate::routes::{Inside, OUTSIDE};

/// Always the same. Sorted.
pub const FIXED: [(&str, &str); 9] = [
    ("HOME", "/tmp"),
    ("LANG", "C.UTF-8"),
    ("PATH", "/trace/bin"),
    ("PYTHONDONTWRITEBYTECODE", "1"),
    ("PYTHONUNBUFFERED", "1"),
    ("TMPDIR", "/tmp"),
    ("TRACE_FILES_DIR", "/task/files"),
    ("TRACE_OUTPUT_DIR", "/out"),
    ("USER", "task"),
];

/// What is not asked for through a proxy: the platform's own listeners. Only where there is a proxy.
const DIRECT: [(&str, &str); 2] = [("NO_PROXY", "127.0.0.1,localhost"), ("no_proxy", "127.0.0.1,localhost")];

/// What the kernel takes of one `NAME=value`, with the NUL (`MAX_ARG_STRLEN`).
const MAX_BYTES: usize = 128 * 1024;
/// More than any task is given.
pub const MAX_VARIABLES: usize = 256;

/// Why an environment can't be passed. The value stays out of it: it may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// More than [`MAX_VARIABLES`].
    #[error("{0} environment variables: at most {MAX_VARIABLES} are passed")]
    TooMany(usize),
    /// One of them.
    #[error("the variable `{name}` can't be passed: {reason}")]
    Variable {
        /// Its name.
        name: String,
        /// Why.
        reason: &'static str,
    },
}

/// All variables of a task: the fixed ones, where Python finds modules, the addresses, the caller's.
///
/// # Errors
/// See [`Error`].
pub fn variables(
    given: &[(String, String)],
    routes: &[Inside],
    python_path: &str,
) -> Result<Vec<(String, String)>, Error> {
    if given.len() > MAX_VARIABLES {
        return Err(Error::TooMany(given.len()));
    }
    let fixed = FIXED.into_iter().chain([("PYTHONPATH", python_path)]);
    let mut all: Vec<(String, String)> =
        fixed.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    for route in routes {
        all.extend(route.variables.iter().map(|name| ((*name).to_owned(), route.address())));
    }
    if routes.contains(&OUTSIDE) {
        all.extend(DIRECT.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
    for (name, value) in given {
        let refused = |reason| Error::Variable { name: name.clone(), reason };
        if name.is_empty() || name.contains('=') {
            return Err(refused("its name is empty or holds `=`"));
        }
        if name.contains('\0') || value.contains('\0') {
            return Err(refused("it holds a NUL character"));
        }
        if all.iter().any(|(known, _)| known == name) {
            return Err(refused("the platform sets it itself, or it is there twice"));
        }
        if name.len() + value.len() + 2 > MAX_BYTES {
            return Err(refused("it is longer than 128 KiB"));
        }
        all.push((name.clone(), value.clone()));
    }
    Ok(all)
}

/// The end of the time that starts now.
#[must_use]
pub fn deadline(timeout: Duration) -> DateTime<Utc> {
    let timeout = TimeDelta::from_std(timeout).unwrap_or(TimeDelta::MAX);
    Utc::now().checked_add_signed(timeout).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// The variables about one attempt. Whoever starts it adds those that are the same for all, and the
/// addresses of what can be reached.
#[must_use]
pub fn of_attempt(
    attempt: AttemptId,
    spec: &LaunchSpec,
    token: &Secret<String>,
    region: &str,
    deadline: DateTime<Utc>,
) -> Vec<(String, String)> {
    let mut variables = vec![
        ("TRACE_TASK_CAPABILITY_TOKEN", token.expose().clone()),
        ("AWS_REGION", region.to_owned()),
        ("TRACE_ORG", spec.org.to_string()),
        ("TRACE_RUN", spec.run.to_string()),
        ("TRACE_TASK", spec.task.to_string()),
        ("TRACE_ATTEMPT", attempt.to_string()),
        ("TRACE_DAG", spec.dag.to_string()),
        ("TRACE_JOB", spec.job.to_string()),
        ("TRACE_PARTITION", spec.partition.to_string()),
        ("TRACE_FAILURES", spec.failures.to_string()),
        ("TRACE_DEADLINE_MS", deadline.timestamp_millis().to_string()),
    ];
    if let Code::Operator { config, .. } = &spec.code {
        variables.push(("TRACE_OPERATOR_CONFIG", config.to_string()));
    }
    variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use trace_contracts::{OrgId, RunId, TaskId, wire::worker::Resources};

    use super::*;
    use crate::routes::{DISPATCHER, QUERY};

    fn given(name: &str, value: &str) -> Vec<(String, String)> {
        vec![(name.to_owned(), value.to_owned())]
    }

    #[test]
    fn nothing_but_the_listed_variables_is_passed() {
        let all = variables(&given("TRACE_TASK", "t1"), &[QUERY], "/trace/python").unwrap();
        insta::assert_debug_snapshot!(all);
    }

    #[test]
    fn a_proxy_is_named_where_there_is_one_and_the_platform_is_not_behind_it() {
        let named = |routes: &[Inside]| -> Vec<(String, String)> {
            let all = variables(&[], routes, "").unwrap();
            all.into_iter().filter(|(name, _)| name.to_lowercase().contains("proxy")).collect()
        };
        assert!(named(&[DISPATCHER]).is_empty());
        insta::assert_debug_snapshot!(named(&[DISPATCHER, OUTSIDE]));
        assert!(variables(&given("https_proxy", "http://127.0.0.1:1"), &[OUTSIDE], "").is_err());
    }

    #[test]
    fn what_the_kernel_or_the_platform_would_misread_is_refused() {
        for (name, value) in
            [("", "x"), ("A=B", "x"), ("A", "x\0y"), ("PATH", "/bin"), ("A", "x".repeat(MAX_BYTES).as_str())]
        {
            assert!(variables(&given(name, value), &[], "").is_err(), "{name}");
        }
        let twice = [given("A", "1"), given("A", "2")].concat();
        assert!(variables(&twice, &[], "").is_err());
        let many: Vec<_> = (0..=MAX_VARIABLES).map(|n| (format!("A{n}"), String::new())).collect();
        assert_eq!(variables(&many, &[], ""), Err(Error::TooMany(MAX_VARIABLES + 1)));
    }

    #[test]
    fn an_error_does_not_show_a_value() {
        let error = variables(&given("TOKEN", "hush\0"), &[], "").unwrap_err();
        assert!(!error.to_string().contains("hush"), "{error}");
    }

    #[test]
    fn an_operator_is_told_its_task_and_its_settings() {
        let spec = LaunchSpec {
            org: OrgId::from_db(1),
            run: RunId::from_db(17),
            task: TaskId::from_db((1 << 20) + 12),
            dag: "flights".parse().unwrap(),
            job: "ingest".parse().unwrap(),
            partition: "2013-01".parse().unwrap(),
            failures: 2,
            code: Code::Operator {
                operator: "csv_to_parquet".parse().unwrap(),
                config: serde_json::json!({"file": "source"}),
                secrets: vec!["warehouse".parse().unwrap()],
            },
            files: BTreeMap::new(),
            resources: Resources { cpu_millis: 1000, memory_bytes: 512 << 20, disk_bytes: 256 << 20 },
            timeout_ms: 60_000,
        };
        let token = Secret::new("the-token".to_owned());
        let deadline = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let variables = of_attempt(AttemptId::from_db(40), &spec, &token, "us-east-1", deadline);
        insta::assert_debug_snapshot!(variables);
    }
}
