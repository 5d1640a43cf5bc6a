//! DAGs: from the YAML that a person wrote to the [`Spec`](spec::Spec) that is planned and run.
//!
//! `tree` reads YAML into values that know their line, `decode` turns those into the types of `raw`,
//! `build` resolves names and checks bounds. None of them stops at the first mistake.

use std::collections::BTreeMap;

use trace_contracts::{FieldError, Sha256, digest::Sha256Hasher, wire::worker::Blob};

pub mod bounds;
mod build;
mod decode;
mod deliver;
mod egress;
mod findings;
mod graph;
mod inputs;
mod job;
mod leaf;
mod names;
mod operators;
pub mod params;
mod partitions;
mod publish;
mod quantity;
mod raw;
pub mod schema;
pub mod spec;
mod suggest;
mod tree;
mod uploads;

#[cfg(test)]
mod tests;

pub use deliver::DeliverUse;
pub use egress::EgressUse;
pub use findings::Place;
pub use inputs::DatasetUse;
pub use publish::PublishUse;
pub use suggest::did_you_mean;
pub use tree::At;
pub use uploads::{BlobUse, Content};

use crate::runtimes::Offered;
use decode::Decode as _;

/// What is wrong with a file, in its order.
pub type Invalid = Vec<FieldError>;

/// A file without mistakes of its own. Whether the blobs and datasets that it uses exist, whether its
/// author may read them, and whether it may reach what it declares, is for the registry to say.
#[derive(Debug)]
pub struct Checked {
    /// The DAG.
    pub spec: spec::Spec,
    /// What it uses that the file itself can't prove.
    pub uses: Uses,
}

/// What a DAG uses, with the places that say so.
#[derive(Debug)]
pub struct Uses {
    /// Blobs that must have been uploaded.
    pub blobs: Vec<BlobUse>,
    /// Datasets of other DAGs.
    pub datasets: Vec<DatasetUse>,
    /// Names that it publishes.
    pub publishes: Vec<PublishUse>,
    /// Destinations outside that its jobs reach.
    pub egress: Vec<EgressUse>,
    /// Webhooks that it has something told to.
    pub deliver: Vec<DeliverUse>,
}

/// Reads and checks a file. `blobs` says what each path in it stands for, `offered` where jobs can run.
///
/// # Errors
/// Everything that is wrong, each with its line, column and field.
pub fn check(
    unverified_yaml: &str,
    blobs: &BTreeMap<String, Blob>,
    offered: &Offered,
) -> Result<Checked, Invalid> {
    let node = tree::read(unverified_yaml).map_err(|error| vec![error])?;
    let mut findings = findings::Findings::default();
    match raw::RawDag::decode(node, &findings::Path::Root, &mut findings) {
        Some(raw) => build::build(&raw, blobs, &operators::offered(), offered, findings),
        None => Err(findings.into_errors()),
    }
}

/// The name of a version by its content: the file as written, what it means, and every byte that
/// it brings along. Each part is preceded by its length, so that no two contents run together.
///
/// # Panics
/// Never: a spec holds only text, numbers and JSON.
#[must_use]
pub fn digest(spec: &spec::Spec, yaml: &str) -> Sha256 {
    let canonical = serde_json::to_vec(spec).expect("a spec is plain data");
    let mut hasher = Sha256Hasher::default();
    for part in [b"trace-dag-1".as_slice(), &canonical, yaml.as_bytes()] {
        hasher.update(&(part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher.finish()
}
