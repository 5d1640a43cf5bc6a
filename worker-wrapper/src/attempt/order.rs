//! What the launcher is asked for: the program, and what the environment tells it about its task.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use trace_contracts::{
    AttemptId, Secret,
    wire::worker::{Code, Language, LaunchSpec},
};

use super::stage::Staged;
use crate::{
    egress::EgressTokens,
    launcher::{Order, Program},
};

/// The program of some code.
pub(crate) fn program(code: &Code) -> Program {
    match code {
        Code::Udf { language: Language::Python, .. } => Program::Python,
        Code::Udf { language: Language::Rust, .. } => Program::Native,
        Code::Operator { operator, .. } => Program::Operator(operator.clone()),
    }
}

/// The order for one attempt.
pub(crate) fn order(
    attempt: AttemptId,
    spec: &LaunchSpec,
    token: &Secret<String>,
    region: &str,
    staged: &Staged,
    egress: Option<Arc<dyn EgressTokens>>,
) -> Order {
    let timeout = Duration::from_millis(spec.timeout_ms);
    Order {
        program: program(&spec.code),
        bundle: staged.bundle().map(ToOwned::to_owned),
        files: Some(staged.files()),
        inputs: None,
        env: environment(attempt, spec, token, region, deadline(timeout)),
        resources: spec.resources,
        timeout,
        egress,
    }
}

/// The end of the time that starts now.
fn deadline(timeout: Duration) -> DateTime<Utc> {
    let timeout = TimeDelta::from_std(timeout).unwrap_or(TimeDelta::MAX);
    Utc::now().checked_add_signed(timeout).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// The variables about one attempt. The launcher adds those that are the same for all, and the
/// addresses of what can be reached.
fn environment(
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
            },
            files: BTreeMap::new(),
            resources: Resources { cpu_millis: 1000, memory_bytes: 512 << 20, disk_bytes: 256 << 20 },
            timeout_ms: 60_000,
        };
        let token = Secret::new("the-token".to_owned());
        let deadline = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
        let variables = environment(AttemptId::from_db(40), &spec, &token, "us-east-1", deadline);
        insta::assert_debug_snapshot!(variables);
        assert_eq!(program(&spec.code), Program::Operator("csv_to_parquet".parse().unwrap()));
    }
}
