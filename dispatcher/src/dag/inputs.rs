//! What jobs read: names of inputs resolved to jobs and datasets.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use trace_contracts::{Name, RowFilter};

use super::{
    bounds,
    decode::{List, Record as _, exactly_one},
    findings::{Findings, Place},
    names::JobNames,
    partitions::Partitions,
    raw::{RawInput, RawJob},
    spec::{InputSpec, Source},
};

/// A dataset of another DAG that this one reads.
#[derive(Debug, Clone)]
pub struct DatasetUse {
    /// Its published name.
    pub dataset: Name,
    /// Which input says so.
    pub place: Place,
}

/// What resolving needs to know about the other jobs.
pub struct Context<'a> {
    /// The jobs by name.
    pub names: &'a JobNames<'a>,
    /// The partitions of each job, where they could be told.
    pub partitions: &'a [Option<Partitions>],
    /// What the DAG itself publishes.
    pub published: &'a BTreeSet<&'a Name>,
}

/// Resolves the inputs of one job; job indices are those of the file. Datasets of other DAGs are
/// added to `datasets`.
pub fn resolve(
    index: usize,
    job: &RawJob,
    context: &Context<'_>,
    datasets: &mut Vec<DatasetUse>,
    findings: &mut Findings,
) -> Option<Vec<InputSpec>> {
    let Some(list) = &job.inputs else {
        return (!job.gives("inputs")).then(Vec::new);
    };
    check_bounds(list, findings);
    check_names(list, findings);
    let inputs: Vec<Option<InputSpec>> = list
        .items
        .iter()
        .map(|input| {
            let source = source(index, input, context, datasets, findings);
            let columns = columns(input, findings);
            Some(InputSpec {
                name: input.name.as_ref()?.value.clone(),
                source: source?,
                columns: columns?,
                row_filter: row_filter(input, findings)?,
            })
        })
        .collect();
    inputs.into_iter().collect()
}

fn check_bounds(list: &List<RawInput>, findings: &mut Findings) {
    if list.written > bounds::MAX_INPUTS {
        findings.push(&list.place, format!("a job has at most {} inputs", bounds::MAX_INPUTS));
    }
    let bytes = grant_bytes(list);
    if bytes > bounds::MAX_GRANT_BYTES {
        let message = format!(
            "`columns` and `where` of all inputs of a job have at most {} bytes; here are {bytes}: publish a \
             narrower dataset instead",
            bounds::MAX_GRANT_BYTES
        );
        findings.push(&list.place, message);
    }
}

/// What the columns and filters of the inputs of one job take in its capability.
pub fn grant_bytes(list: &List<RawInput>) -> usize {
    let columns = list.items.iter().flat_map(|input| input.columns.iter().flat_map(|columns| &columns.items));
    let filters = list.items.iter().flat_map(|input| input.filter.iter().flat_map(|filter| &filter.entries));
    let filters = filters.map(|(column, value)| {
        column.value.0.len() + serde_json::to_string(&value.value).map_or(0, |text| text.len()) + 4
    });
    columns.map(|column| column.value.0.len() + 3).sum::<usize>() + filters.sum::<usize>()
}

fn check_names(list: &List<RawInput>, findings: &mut Findings) {
    let mut seen = HashMap::new();
    for name in list.items.iter().filter_map(|input| input.name.as_ref()) {
        if let Some(line) = seen.insert(&name.value, name.place.at.line) {
            findings.push(&name.place, format!("the input in line {line} is called `{}` too", name.value));
        }
    }
}

fn source(
    index: usize,
    input: &RawInput,
    context: &Context<'_>,
    datasets: &mut Vec<DatasetUse>,
    findings: &mut Findings,
) -> Option<Source> {
    let from = input.from.as_ref()?;
    if exactly_one(from, &["job", "dataset"], findings)? == "job" {
        let job = context.names.find(from.job.as_ref()?, findings)?;
        return from_job(index, job, input, context, findings);
    }
    let dataset = from.dataset.as_ref()?;
    if let Some(all) = &input.partitions {
        findings.push(&all.place, "a dataset is always read whole: leave `partitions` out");
    }
    if context.published.contains(&dataset.value) {
        let message = format!(
            "this DAG publishes `{}` itself: read the job it comes from with `from: {{ job: ... }}`",
            dataset.value
        );
        findings.push(&dataset.place, message);
        return None;
    }
    datasets.push(DatasetUse { dataset: dataset.value.clone(), place: dataset.place.clone() });
    Some(Source::Dataset { dataset: dataset.value.clone() })
}

fn from_job(
    index: usize,
    job: usize,
    input: &RawInput,
    context: &Context<'_>,
    findings: &mut Findings,
) -> Option<Source> {
    let (own, other) = (context.partitions[index].as_ref()?, context.partitions[job].as_ref()?);
    let shared = own.root.is_some() && own.root == other.root;
    match &input.partitions {
        Some(all) if other.root.is_none() => {
            findings.push(&all.place, "that job has no partitions: leave `partitions` out");
            None
        }
        Some(_) => Some(Source::WholeJob { job }),
        None if input.gives("partitions") => None,
        None if shared => Some(Source::SamePartition { job }),
        None => Some(Source::WholeJob { job }),
    }
}

fn columns(input: &RawInput, findings: &mut Findings) -> Option<Option<Vec<String>>> {
    let Some(list) = &input.columns else {
        return (!input.gives("columns")).then_some(None);
    };
    if list.written == 0 {
        findings.push(&list.place, "an empty list shows no column: leave `columns` out to read all of them");
        return None;
    }
    let mut seen = BTreeSet::new();
    for column in &list.items {
        if !seen.insert(&column.value.0) {
            findings.push(&column.place, "this column is in the list twice");
        }
    }
    Some(Some(list.items.iter().map(|column| column.value.0.clone()).collect()))
}

fn row_filter(input: &RawInput, findings: &mut Findings) -> Option<Option<RowFilter>> {
    let Some(table) = &input.filter else {
        return (!input.gives("where")).then_some(None);
    };
    if table.entries.is_empty() {
        findings.push(&table.place, "an empty `where` filters nothing: leave it out to read all rows");
        return None;
    }
    let filter: BTreeMap<String, _> =
        table.entries.iter().map(|(column, value)| (column.value.0.clone(), value.value.clone())).collect();
    Some(Some(RowFilter(filter)))
}
