//! The tables that attacks read: jobs that leave one each, and the task that has them as its inputs.

use crate::{
    round::{self, Job},
    scene::Scene,
    vector::{Attack, Vector},
};

/// The job of the attacks that share a task with inputs.
pub const JOB: &str = "reader";
/// The job of the attacks whose task has inputs in more folders than one session holds.
pub const CROWDED: &str = "crowded";
/// So many: a policy has room for 14 to 18 folders.
const FOLDERS: usize = 24;
/// Its bounds, and the seconds that one attack of it may take.
const BOUNDS: (&str, &str, u32) = ("{ cpu: 1, memory: 256MiB, disk: 64MiB }", "9m", 60);
/// Attacks whose table is a file that their author made by hand have names that begin so.
const FORGED: &str = "parquet-";

/// What it reads besides: everything, and of four people and four columns two.
const INPUTS: &str = "{ name: plain, from: { job: plain } }, { name: pinned, from: { job: pinned } }, \
                      { name: people, from: { job: people }, columns: [id, station], where: { station: JFK } }";

/// Has the table that is not granted there before anybody looks for it.
const AFTER_SECRET: &str = "{ name: secret, from: { job: secret } }";

/// The jobs of these vectors, as far as they read.
pub fn jobs(scene: &Scene<'_>, vectors: &[Vector]) -> anyhow::Result<Vec<Job>> {
    let of = |is: fn(&Attack) -> bool| -> Vec<&str> {
        vectors.iter().filter(|one| is(&one.attack)).map(|one| one.name).collect()
    };
    let read = of(|attack| matches!(attack, Attack::Reader));
    let crowded = of(|attack| matches!(attack, Attack::Crowded));
    let mut jobs = Vec::new();
    if !read.is_empty() || !crowded.is_empty() {
        jobs.push(table(scene, "secret", "")?);
    }
    if !crowded.is_empty() {
        jobs.extend(crowd(scene, &crowded)?);
    }
    if !read.is_empty() {
        jobs.extend(readers(scene, &read)?);
    }
    Ok(jobs)
}

/// A table in many folders, and the job that reads it.
fn crowd(scene: &Scene<'_>, vectors: &[&str]) -> anyhow::Result<[Job; 2]> {
    let keys: Vec<String> = (0..FOLDERS).map(|number| format!("p{number}")).collect();
    let mut crowd = table(scene, "crowd", AFTER_SECRET)?;
    crowd.more = format!("    partitions: {{ list: [{}] }}\n", keys.join(", "));
    let bundle = round::reading(scene, vectors, BOUNDS.2)?;
    let inputs = "{ name: crowd, from: { job: crowd } }".to_owned();
    Ok([crowd, job(CROWDED, inputs, bundle)])
}

/// The tables of the other attacks, and the job that reads them.
fn readers(scene: &Scene<'_>, read: &[&str]) -> anyhow::Result<Vec<Job>> {
    let mut jobs =
        vec![table(scene, "plain", "")?, table(scene, "people", "")?, table(scene, "pinned", AFTER_SECRET)?];
    let mut inputs = INPUTS.to_owned();
    for forged in read.iter().filter(|name| name.starts_with(FORGED)) {
        let name = forged.replace('-', "_");
        jobs.push(table(scene, &name, "")?);
        inputs += &format!(", {{ name: {name}, from: {{ job: {name} }} }}");
    }
    let bundle = round::reading(scene, read, BOUNDS.2)?;
    jobs.push(job(JOB, inputs, bundle));
    Ok(jobs)
}

/// A job that leaves the table of this name.
fn table(scene: &Scene<'_>, name: &str, inputs: &str) -> anyhow::Result<Job> {
    Ok(job(name, inputs.to_owned(), round::then(scene, &["produce", name])?))
}

fn job(name: &str, inputs: String, bundle: Vec<u8>) -> Job {
    let (resources, timeout) = (BOUNDS.0.to_owned(), BOUNDS.1.to_owned());
    Job { name: name.to_owned(), inputs, bundle, resources, timeout, more: String::new() }
}
