//! Deploying: a checked file becomes the current version of a DAG, with a dataset for each of its
//! jobs, in one transaction or not at all.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::json;
use sqlx::PgConnection;
use trace_contracts::{
    DagId, DagVersionId, FieldError, Name, OrgId, Sha256,
    wire::{user::DeployReply, worker::Blob},
};

use crate::{
    audit,
    config::Egress,
    dag::{self, BlobUse, Checked, Invalid, PublishUse, spec::Spec},
    datasets::{self, Reader},
    db::{
        self,
        dags::NewVersion,
        datasets::{Publication, Taken},
        limits::JobRow,
        notify::Channel,
    },
    egress,
    permissions::{Permit, action},
    runtimes::Offered,
    webhooks,
};

/// Why nothing was deployed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database failed.
    #[error(transparent)]
    Db(#[from] db::Error),
    /// The file is wrong, or names what is not there.
    #[error("the DAG has {}", mistakes(.0.len()))]
    Invalid(Invalid),
}

fn mistakes(count: usize) -> String {
    if count == 1 { "a mistake".to_owned() } else { format!("{count} mistakes") }
}

/// A file without mistakes of its own, and its text.
#[derive(Debug)]
pub struct Candidate {
    yaml: String,
    checked: Checked,
}

impl Candidate {
    /// Reads and checks a file; takes tens of milliseconds of processor time for a large one.
    ///
    /// # Errors
    /// [`Error::Invalid`] with everything that is wrong.
    pub fn read(
        unverified_yaml: String,
        blobs: &BTreeMap<String, Blob>,
        offered: &Offered,
    ) -> Result<Self, Error> {
        let checked = dag::check(&unverified_yaml, blobs, offered).map_err(Error::Invalid)?;
        Ok(Self { yaml: unverified_yaml, checked })
    }

    /// The content that it needs.
    #[must_use]
    pub fn blobs(&self) -> &[BlobUse] {
        &self.checked.uses.blobs
    }
}

/// Deploys in the caller's transaction. `examined` is what is wrong with the bundles.
///
/// # Errors
/// [`Error::Invalid`] when a blob is not uploaded, a dataset can't be read, a published name is another
/// DAG's, or a destination outside is not allowed.
pub async fn deploy(
    tx: &mut PgConnection,
    permit: &Permit<action::Deploy>,
    candidate: &Candidate,
    examined: Vec<FieldError>,
    way_out: Egress,
) -> Result<DeployReply, Error> {
    let spec = &candidate.checked.spec;
    db::dags::lock_org(tx, permit.org()).await?;
    check_uses(tx, permit, &candidate.checked, examined, way_out).await?;
    let dag = db::dags::ensure(tx, permit.org(), &spec.name).await?;
    let sha256 = dag::digest(spec, &candidate.yaml);
    let (version, created) = version(tx, permit, dag, sha256, candidate).await?;
    db::dags::set_current(tx, dag, version).await?;
    register_datasets(tx, permit.org(), dag, spec).await?;
    declare_limits(tx, permit.org(), dag, spec).await?;
    let detail = json!({ "dag": dag, "version": version, "sha256": sha256, "created": created });
    audit::record(tx, permit, &spec.name, detail).await?;
    Ok(DeployReply {
        dag,
        name: spec.name.clone(),
        version,
        sha256,
        created,
        jobs: spec.jobs.iter().map(|job| job.name.clone()).collect(),
    })
}

/// The version of this content, and whether it is new.
async fn version(
    tx: &mut PgConnection,
    permit: &Permit<action::Deploy>,
    dag: DagId,
    sha256: Sha256,
    candidate: &Candidate,
) -> Result<(DagVersionId, bool), Error> {
    let new = NewVersion {
        dag,
        sha256,
        yaml: &candidate.yaml,
        spec: &candidate.checked.spec,
        deployed_by: permit.user(),
    };
    if let Some(version) = db::dags::insert_version(tx, &new).await? {
        return Ok((version, true));
    }
    let version = db::dags::version_of(tx, dag, sha256).await?;
    Ok((version.ok_or_else(|| db::Error::corrupt("a DAG's version", "it is there and is not"))?, false))
}

async fn register_datasets(tx: &mut PgConnection, org: OrgId, dag: DagId, spec: &Spec) -> Result<(), Error> {
    let names: HashMap<usize, _> = spec.publish.iter().map(|(name, job)| (*job, name)).collect();
    let publications: Vec<Publication<'_>> = spec
        .jobs
        .iter()
        .enumerate()
        .map(|(job_no, job)| Publication { job: &job.name, name: names.get(&job_no).copied() })
        .collect();
    db::datasets::clear_names(tx, dag, &publications).await?;
    db::datasets::ensure(tx, org, dag, &publications).await?;
    Ok(())
}

/// Numbers of limits hold from now on, for runs of older versions too, so that a limit that is raised lets
/// their tasks go.
async fn declare_limits(tx: &mut PgConnection, org: OrgId, dag: DagId, spec: &Spec) -> Result<(), Error> {
    let jobs = spec.jobs.iter().filter(|job| job.limits.is_some()).map(|job| JobRow {
        job: &job.name,
        concurrency: job.limits.concurrency,
        rate: job.limits.rate,
    });
    let jobs: Vec<JobRow<'_>> = jobs.collect();
    db::limits::lock(tx, org).await?;
    db::limits::declare(tx, dag, spec.concurrency, &jobs).await?;
    Ok(db::notify::send(tx, Channel::Later).await?)
}

/// Checks what the file itself can't prove, all of it before saying what is wrong.
async fn check_uses(
    tx: &mut PgConnection,
    permit: &Permit<action::Deploy>,
    checked: &Checked,
    mut errors: Vec<FieldError>,
    way_out: Egress,
) -> Result<(), Error> {
    let reader = Reader::from(permit.caller());
    errors.extend(missing_blobs(tx, permit.org(), &checked.uses.blobs).await?);
    errors.extend(datasets::check_inputs(tx, permit.org(), reader, &checked.uses.datasets).await?);
    errors.extend(taken_names(tx, permit.org(), checked).await?);
    let (dag, uses) = (&checked.spec.name, &checked.uses.egress);
    errors.extend(egress::check(tx, way_out, permit.org(), dag, uses).await?);
    errors.extend(webhooks::check::check(tx, way_out, permit.org(), dag, &checked.uses.deliver).await?);
    errors.sort_by_key(|error| (error.line, error.column));
    if errors.is_empty() { Ok(()) } else { Err(Error::Invalid(errors)) }
}

async fn missing_blobs(
    tx: &mut PgConnection,
    org: OrgId,
    uses: &[BlobUse],
) -> Result<Vec<FieldError>, db::Error> {
    let hashes: Vec<Sha256> =
        uses.iter().map(|used| used.blob.sha256).collect::<BTreeSet<_>>().into_iter().collect();
    let uploaded = db::blobs::uploaded(tx, org, &hashes).await?;
    let sizes: HashMap<Sha256, u64> = uploaded.iter().map(|blob| (blob.sha256, blob.size)).collect();
    let size_of = |sha256| sizes.get(&sha256).copied();
    Ok(uses
        .iter()
        .filter_map(|used| {
            let Blob { sha256, size } = used.blob;
            match size_of(sha256) {
                None => Some(used.place.error(format!(
                    "its content {sha256} has not been uploaded: `PUT /v1/blobs/{sha256}` first, as `trace deploy` does"
                ))),
                Some(uploaded) if uploaded != size => Some(used.place.error(format!(
                    "its content {sha256} has {uploaded} bytes, and the deploy says {size}"
                ))),
                Some(_) => None,
            }
        })
        .collect())
}

async fn taken_names(
    tx: &mut PgConnection,
    org: OrgId,
    checked: &Checked,
) -> Result<Vec<FieldError>, db::Error> {
    let names: Vec<String> = checked.uses.publishes.iter().map(|used| used.name.to_string()).collect();
    let taken = db::datasets::taken(tx, org, &checked.spec.name, &names).await?;
    let taken: HashMap<&Name, &Taken> = taken.iter().map(|taken| (&taken.name, taken)).collect();
    let error = |used: &PublishUse| {
        let Taken { name, dag } = taken.get(&used.name)?;
        Some(used.place.error(format!("the DAG `{dag}` publishes `{name}` already: choose another name")))
    };
    Ok(checked.uses.publishes.iter().filter_map(error).collect())
}
