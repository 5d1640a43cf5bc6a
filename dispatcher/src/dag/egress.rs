//! What a job reaches outside: destinations with their budgets.

use std::{borrow::Cow, collections::HashMap};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use trace_contracts::{EgressGrant, destination::Destination};

use super::{
    bounds,
    decode::{Decode, Leaf as _, List, Located, Record as _, record},
    findings::{Findings, Path, Place},
    inputs,
    job::bounded,
    quantity::{Bytes, Count, shown_bytes},
    raw::RawJob,
    tree::{Node, Value},
};

/// What a grant takes in a capability beside its destination: names of fields, numbers, punctuation.
const GRANT_BYTES: usize = 70;

record! {
    /// A destination outside, and how much of it.
    pub struct RawBudget {
        /// The destination, as `HOST:PORT`.
        required to: Located<Destination> = "to",
        /// Bytes of one attempt, in both directions together; `10MiB` when left out.
        optional bytes: Located<Bytes> = "bytes",
        /// Requests and tunnels of one attempt; 100 when left out.
        optional requests: Located<Count> = "requests",
    }
}

/// One entry of `egress`: a destination, or one with budgets.
#[derive(Debug)]
pub enum RawEgress {
    /// `api.example.com:443`.
    Plain(Located<Destination>),
    /// `{ to: api.example.com:443, bytes: 1MiB }`.
    Budgeted(RawBudget),
}

/// A destination that a job reaches.
#[derive(Debug, Clone)]
pub struct EgressUse {
    /// Where to.
    pub destination: Destination,
    /// Which entry says so.
    pub place: Place,
}

impl Decode for RawEgress {
    fn decode(node: Node, path: &Path<'_>, findings: &mut Findings) -> Option<Self> {
        match node.value {
            Value::Map(_) => RawBudget::decode(node, path, findings).map(Self::Budgeted),
            _ => Located::decode(node, path, findings).map(Self::Plain),
        }
    }
}

impl JsonSchema for RawEgress {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "RawEgress".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "oneOf": [Destination::describe(), generator.subschema_for::<RawBudget>()] })
    }
}

impl RawEgress {
    const fn to(&self) -> Option<&Located<Destination>> {
        match self {
            Self::Plain(to) => Some(to),
            Self::Budgeted(budget) => budget.to.as_ref(),
        }
    }

    fn grant(&self, findings: &mut Findings) -> Option<EgressGrant> {
        let (bytes, requests) = match self {
            Self::Plain(_) => (None, None),
            Self::Budgeted(RawBudget { bytes, requests, .. }) => (bytes.as_ref(), requests.as_ref()),
        };
        let max_bytes = bounded(
            bytes.map(|bytes| (bytes, bytes.value.0)),
            bounds::EGRESS_BYTES,
            bounds::EGRESS_BYTES_DEFAULT,
            shown_bytes,
            findings,
        );
        let max_requests = bounded(
            requests.map(|requests| (requests, requests.value.0)),
            bounds::EGRESS_REQUESTS,
            bounds::EGRESS_REQUESTS_DEFAULT,
            |requests| requests.to_string(),
            findings,
        );
        Some(EgressGrant { destination: self.to()?.value.clone(), max_bytes, max_requests })
    }
}

/// Reads what a job declares; adds each destination to `reached`. `None` when something could not be read.
pub fn resolve(
    job: &RawJob,
    reached: &mut Vec<EgressUse>,
    findings: &mut Findings,
) -> Option<Vec<EgressGrant>> {
    let Some(list) = &job.egress else {
        return (!job.gives("egress")).then(Vec::new);
    };
    if list.written > bounds::MAX_EGRESS {
        findings.push(&list.place, format!("a job reaches at most {} destinations", bounds::MAX_EGRESS));
        return None;
    }
    if reached.len() + list.written > bounds::MAX_EGRESS_OF_DAG {
        let most = bounds::MAX_EGRESS_OF_DAG;
        findings.push(&list.place, format!("the jobs of a DAG reach at most {most} destinations in all"));
        return None;
    }
    check_twice(list, findings);
    check_room(job, list, findings);
    let used = list.items.iter().filter_map(RawEgress::to);
    reached.extend(used.map(|to| EgressUse { destination: to.value.clone(), place: to.place.clone() }));
    let grants: Vec<Option<EgressGrant>> = list.items.iter().map(|entry| entry.grant(findings)).collect();
    grants.into_iter().collect()
}

fn check_twice(list: &List<RawEgress>, findings: &mut Findings) {
    let mut seen = HashMap::new();
    for to in list.items.iter().filter_map(RawEgress::to) {
        if let Some(line) = seen.insert(&to.value, to.place.at.line) {
            findings.push(&to.place, format!("`{}` is in the list already, in line {line}", to.value));
        }
    }
}

/// Keeps the job's capability within a header: see [`bounds::MAX_GRANT_BYTES`].
fn check_room(job: &RawJob, list: &List<RawEgress>, findings: &mut Findings) {
    let destinations = list.items.iter().filter_map(RawEgress::to);
    let own: usize = destinations.map(|to| to.value.to_string().len() + GRANT_BYTES).sum();
    let of_inputs = job.inputs.as_ref().map_or(0, inputs::grant_bytes);
    if own > 0 && own + of_inputs > bounds::MAX_GRANT_BYTES {
        let message = format!(
            "destinations, and `columns` and `where` of all inputs, have at most {} bytes in one job; here are \
             {}: take some out, or make two jobs of it",
            bounds::MAX_GRANT_BYTES,
            own + of_inputs
        );
        findings.push(&list.place, message);
    }
}
