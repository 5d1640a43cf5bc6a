//! Published datasets: names resolved to jobs.

use std::collections::{BTreeMap, HashMap};

use trace_contracts::Name;

use super::{
    decode::Table,
    findings::{Findings, Place},
    names::JobNames,
    raw::RawPublish,
};

/// A published name, the job it stands for, and where the file says so.
#[derive(Debug, Clone)]
pub struct PublishUse {
    /// The name.
    pub name: Name,
    /// Where it stands.
    pub place: Place,
}

/// Resolves the published names; job indices are those of the file.
pub fn resolve(
    publish: Option<&Table<Name, RawPublish>>,
    names: &JobNames<'_>,
    findings: &mut Findings,
) -> (BTreeMap<Name, usize>, Vec<PublishUse>) {
    let mut resolved = BTreeMap::new();
    let mut uses = Vec::new();
    let mut taken: HashMap<usize, &Name> = HashMap::new();
    for (name, published) in publish.iter().flat_map(|publish| &publish.entries) {
        let Some(job) = published.from.as_ref().and_then(|from| from.job.as_ref()) else { continue };
        let Some(index) = names.find(job, findings) else { continue };
        if let Some(other) = taken.insert(index, &name.value) {
            let message =
                format!("the job `{}` is published as `{other}` already: a job has one name", job.value);
            findings.push(&name.place, message);
        }
        uses.push(PublishUse { name: name.value.clone(), place: name.place.clone() });
        resolved.insert(name.value.clone(), index);
    }
    (resolved, uses)
}
