//! What a DAG has told to which webhooks.

use std::collections::HashMap;

use trace_contracts::{Name, wire::webhook::DeliveryEvent};

use super::{
    bounds,
    decode::{Located, Record as _, record},
    findings::{Findings, Place},
    names::JobNames,
    raw::RawDag,
    spec::{Deliver, DeliverWhat},
};

record! {
    /// Something that is told to a webhook of the org.
    pub struct RawDeliver {
        /// The event; with `task_message`, what the code of `job` tells by itself.
        required on: Located<DeliveryEvent> = "on",
        /// The webhook's name.
        required to: Located<Name> = "to",
        /// The job whose code may tell something; with `task_message` alone.
        optional job: Located<Name> = "job",
    }
}

/// A webhook that a DAG names.
#[derive(Debug, Clone)]
pub struct DeliverUse {
    /// Its name.
    pub to: Name,
    /// Which entry says so.
    pub place: Place,
}

/// Reads what a DAG has told, and the webhooks that it names.
pub fn resolve(
    raw: &RawDag,
    names: &JobNames<'_>,
    findings: &mut Findings,
) -> (Vec<Deliver>, Vec<DeliverUse>) {
    let Some(list) = &raw.deliver else { return (Vec::new(), Vec::new()) };
    if list.written > bounds::MAX_DELIVER {
        let most = bounds::MAX_DELIVER;
        findings.push(&list.place, format!("a DAG has at most {most} entries of `deliver`"));
        return (Vec::new(), Vec::new());
    }
    let mut seen: HashMap<Deliver, u64> = HashMap::new();
    let (mut delivers, mut uses) = (Vec::new(), Vec::new());
    for entry in &list.items {
        let Some(to) = &entry.to else { continue };
        uses.push(DeliverUse { to: to.value.clone(), place: to.place.clone() });
        let Some(what) = what(entry, names, findings) else { continue };
        let deliver = Deliver { to: to.value.clone(), what };
        if let Some(line) = seen.insert(deliver.clone(), to.place.at.line) {
            let message = format!("`{}` is told of this already, by the entry in line {line}", to.value);
            findings.push(&to.place, message);
        }
        delivers.push(deliver);
    }
    (delivers, uses)
}

fn what(entry: &RawDeliver, names: &JobNames<'_>, findings: &mut Findings) -> Option<DeliverWhat> {
    let on = entry.on.as_ref()?;
    let event = match on.value {
        DeliveryEvent::RunFinished => DeliverWhat::RunFinished,
        DeliveryEvent::TaskDead => DeliverWhat::TaskDead,
        DeliveryEvent::DatasetPublished => DeliverWhat::DatasetPublished,
        DeliveryEvent::TaskMessage => {
            let Some(job) = &entry.job else {
                if !entry.gives("job") {
                    let message = "`task_message` is what the code of one job tells: name it with `job`";
                    findings.push(&on.place, message);
                }
                return None;
            };
            names.find(job, findings)?;
            return Some(DeliverWhat::TaskMessage { job: job.value.clone() });
        }
    };
    if let Some(job) = &entry.job {
        let message = format!("`{}` is told of every job: leave `job` out", on.value);
        findings.push(&job.place, message);
    }
    Some(event)
}
