//! DAGs to dispatch.

use std::collections::BTreeMap;

use trace_contracts::wire::worker::{Code, Resources};
use trace_dispatcher::dag::spec::{InputSpec, JobLimits, JobSpec, Retries, Source, Spec};

/// `jobs` jobs of `partitions` partitions each, where every partition reads its own one of the job
/// before: each completion makes one task ready.
pub fn pipeline(name: &str, jobs: usize, partitions: usize) -> anyhow::Result<Spec> {
    let keys = (0..partitions).map(|n| format!("p{n:06}").parse()).collect::<Result<Vec<_>, _>>()?;
    let mut all = Vec::with_capacity(jobs);
    for at in 0..jobs {
        let inputs = match at.checked_sub(1) {
            None => Vec::new(),
            Some(job) => vec![InputSpec {
                name: "before".parse()?,
                source: Source::SamePartition { job },
                columns: None,
                row_filter: None,
            }],
        };
        all.push(JobSpec {
            name: format!("job_{at}").parse()?,
            code: Code::Operator {
                operator: "noop".parse()?,
                config: serde_json::json!({}),
                secrets: Vec::new(),
            },
            files: BTreeMap::new(),
            inputs,
            partitions: keys.clone(),
            resources: Resources { cpu_millis: 1000, memory_bytes: 64 << 20, disk_bytes: 64 << 20 },
            timeout_ms: 60_000,
            retries: Retries { max: 1, backoff_ms: 0 },
            limits: JobLimits::default(),
            egress: Vec::new(),
            runtime: None,
        });
    }
    Ok(Spec {
        name: name.parse()?,
        params: BTreeMap::new(),
        concurrency: None,
        deliver: Vec::new(),
        jobs: all,
        publish: BTreeMap::new(),
    })
}
