//! From the file as written to a [`Spec`]: every name resolved, every bound checked.

use std::collections::{BTreeMap, BTreeSet};

use trace_contracts::{Name, Runtime, wire::worker::Blob};

use super::{
    Checked, Invalid, Uses, bounds,
    decode::{Located, Record as _},
    deliver,
    egress::EgressUse,
    findings::Findings,
    graph,
    inputs::{self, DatasetUse},
    job,
    names::JobNames,
    params, partitions, publish,
    raw::{RawDag, RawJob},
    spec::{InputSpec, JobSpec, Source, Spec},
    uploads::Uploads,
};
use crate::runtimes::Offered;

/// Builds the spec.
///
/// # Errors
/// Everything that is wrong, those `findings` included that reading the file had.
pub fn build(
    raw: &RawDag,
    blobs: &BTreeMap<String, Blob>,
    operators: &[Name],
    offered: &Offered,
    mut findings: Findings,
) -> Result<Checked, Invalid> {
    let mut uploads = Uploads::new(blobs);
    let mut outside = Outside::default();
    let params = params::defaults(raw.params.as_ref(), &mut findings);
    let Some(list) = &raw.jobs else { return Err(findings.into_errors()) };
    if list.written == 0 {
        findings.push(&list.place, "a DAG has at least one job");
    }
    if list.written > bounds::MAX_JOBS {
        findings.push(&list.place, format!("a DAG has at most {} jobs", bounds::MAX_JOBS));
        return Err(findings.into_errors());
    }
    let names = JobNames::of(list, &mut findings);
    let shared = Shared {
        operators,
        offered,
        runtime: runtime(raw.runtime.as_ref(), offered, &mut findings),
        priority: raw.priority.as_ref().map_or(bounds::PRIORITY_DEFAULT, |priority| priority.value.0),
    };
    let concurrency = job::concurrency(raw.concurrency.as_ref(), &mut findings);
    let (published, publishes) = publish::resolve(raw.publish.as_ref(), &names, &mut findings);
    let (deliver, told) = deliver::resolve(raw, &names, &mut findings);
    let jobs = jobs(&list.items, &names, &shared, &published, &mut uploads, &mut outside, &mut findings);
    let (blob_uses, stray) = uploads.finish();
    if !findings.is_empty() {
        return Err(findings.into_errors());
    }
    if !stray.is_empty() {
        return Err(stray);
    }
    // Unwrap safety: a part that is absent has been reported, and nothing was.
    let mut spec = assemble(raw, params, jobs, &published).expect("every part is there");
    spec.concurrency = concurrency;
    spec.deliver = deliver;
    let Outside { datasets, egress } = outside;
    Ok(Checked { spec, uses: Uses { blobs: blob_uses, datasets, publishes, egress, deliver: told } })
}

/// What jobs use that the file can't prove.
#[derive(Default)]
struct Outside {
    datasets: Vec<DatasetUse>,
    egress: Vec<EgressUse>,
}

/// What every job of the DAG takes over.
struct Shared<'a> {
    operators: &'a [Name],
    priority: i16,
    offered: &'a Offered,
    runtime: Option<Runtime>,
}

/// The runtime that is asked for, if it is offered.
fn runtime(asked: Option<&Located<Runtime>>, offered: &Offered, findings: &mut Findings) -> Option<Runtime> {
    let Located { value, place } = asked?;
    if offered.has(*value) {
        return Some(*value);
    }
    let message = format!(
        "`{value}` is not offered here: use one of {offered}, or leave `runtime` out to run wherever it is"
    );
    findings.push(place, message);
    None
}

fn jobs(
    raw: &[RawJob],
    names: &JobNames<'_>,
    shared: &Shared<'_>,
    published: &BTreeMap<Name, usize>,
    uploads: &mut Uploads<'_>,
    outside: &mut Outside,
    findings: &mut Findings,
) -> Vec<Option<JobSpec>> {
    let partitions = partitions::resolve(raw, names, findings);
    let published: BTreeSet<&Name> = published.keys().collect();
    let context = inputs::Context { names, partitions: &partitions, published: &published };
    let jobs: Vec<Option<JobSpec>> = raw
        .iter()
        .enumerate()
        .map(|(index, job)| {
            let own =
                job::own(job, shared.priority, shared.operators, uploads, &mut outside.egress, findings);
            let inputs = inputs::resolve(index, job, &context, &mut outside.datasets, findings);
            let asked = runtime(job.runtime.as_ref(), shared.offered, findings);
            let own = own?;
            Some(JobSpec {
                name: job.name.as_ref()?.value.clone(),
                code: own.code,
                files: own.files,
                inputs: inputs?,
                partitions: partitions[index].as_ref()?.keys.to_vec(),
                resources: own.resources,
                timeout_ms: own.timeout_ms,
                retries: own.retries,
                limits: own.limits,
                egress: own.egress,
                runtime: asked.or(shared.runtime),
            })
        })
        .collect();
    report_cycles(raw, names, findings);
    jobs
}

/// Cycles are found from the names as written, so that a job with another mistake can't hide one.
fn report_cycles(raw: &[RawJob], names: &JobNames<'_>, findings: &mut Findings) {
    let mut upstream: Vec<Vec<usize>> = raw
        .iter()
        .map(|job| {
            let inputs = job.inputs.iter().flat_map(|inputs| &inputs.items);
            inputs.filter_map(|input| names.get(&input.from.as_ref()?.job.as_ref()?.value)).collect()
        })
        .collect();
    // Each round takes a cycle apart, so there are fewer rounds than jobs; and no more than a file
    // may have mistakes, so that many small circles in many jobs cost no more than a few.
    while let Err(cycle) = graph::order(&upstream) {
        report_cycle(raw, &cycle, findings);
        if findings.is_full() {
            return;
        }
        for job in cycle {
            upstream[job].clear();
        }
    }
}

fn report_cycle(raw: &[RawJob], cycle: &[usize], findings: &mut Findings) {
    let name = |index: usize| raw[index].name.as_ref().map_or("?", |name| &*name.value);
    let mut way: Vec<String> = cycle.iter().take(10).map(|index| format!("`{}`", name(*index))).collect();
    if cycle.len() > way.len() {
        way.push("…".to_owned());
    }
    way.push(format!("`{}`", name(cycle[0])));
    let message = format!("these jobs read from each other in a circle: {}", way.join(" reads "));
    findings.push(raw[cycle[0]].place(), message);
}

/// Puts the jobs into an order in which each comes after its upstream ones.
fn assemble(
    raw: &RawDag,
    params: BTreeMap<String, serde_json::Value>,
    jobs: Vec<Option<JobSpec>>,
    published: &BTreeMap<Name, usize>,
) -> Option<Spec> {
    let jobs: Vec<JobSpec> = jobs.into_iter().collect::<Option<_>>()?;
    let upstream: Vec<Vec<usize>> = jobs
        .iter()
        .map(|job| job.inputs.iter().filter_map(|input| upstream_of(&input.source)).collect())
        .collect();
    let order = graph::order(&upstream).ok()?;
    let mut position = vec![0; jobs.len()];
    for (new, old) in order.iter().enumerate() {
        position[*old] = new;
    }
    let mut ordered: Vec<(usize, JobSpec)> =
        jobs.into_iter().enumerate().map(|(old, job)| (position[old], renumbered(job, &position))).collect();
    ordered.sort_by_key(|(new, _)| *new);
    Some(Spec {
        name: raw.name.as_ref()?.value.clone(),
        params,
        jobs: ordered.into_iter().map(|(_, job)| job).collect(),
        publish: published.iter().map(|(name, old)| (name.clone(), position[*old])).collect(),
        concurrency: None,
        deliver: Vec::new(),
    })
}

const fn upstream_of(source: &Source) -> Option<usize> {
    match source {
        Source::SamePartition { job } | Source::WholeJob { job } => Some(*job),
        Source::Dataset { .. } => None,
    }
}

fn renumbered(mut job: JobSpec, position: &[usize]) -> JobSpec {
    for InputSpec { source, .. } in &mut job.inputs {
        if let Source::SamePartition { job } | Source::WholeJob { job } = source {
            *job = position[*job];
        }
    }
    job
}
