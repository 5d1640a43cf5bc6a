//! The tables that attacks read: jobs that leave one each, and the task that has them as its inputs.

use crate::{
    round::{self, Job},
    scene::Scene,
    vector::{Attack, Vector},
};

/// The job of the attacks that share a task with inputs.
pub const JOB: &str = "reader";
/// Its bounds, and the seconds that one attack of it may take.
const BOUNDS: (&str, &str, u32) = ("{ cpu: 1, memory: 256MiB, disk: 64MiB }", "9m", 60);
/// Attacks whose table is a file that their author made by hand have names that begin so.
const FORGED: &str = "parquet-";

/// What it reads besides: everything, and of four people and four columns two.
const INPUTS: &str = "{ name: plain, from: { job: plain } }, { name: pinned, from: { job: pinned } }, \
                      { name: people, from: { job: people }, columns: [id, station], where: { station: JFK } }";

/// The jobs of these vectors, as far as they read.
pub fn jobs(scene: &Scene<'_>, vectors: &[Vector]) -> anyhow::Result<Vec<Job>> {
    let read: Vec<&str> =
        vectors.iter().filter(|one| matches!(one.attack, Attack::Reader)).map(|one| one.name).collect();
    if read.is_empty() {
        return Ok(Vec::new());
    }
    // What is not granted has to be there too, before anybody looks for it.
    let secret = "{ name: secret, from: { job: secret } }";
    let mut jobs = vec![
        table(scene, "secret", "")?,
        table(scene, "plain", "")?,
        table(scene, "people", "")?,
        table(scene, "pinned", secret)?,
    ];
    let mut inputs = INPUTS.to_owned();
    for forged in read.iter().filter(|name| name.starts_with(FORGED)) {
        let name = forged.replace('-', "_");
        jobs.push(table(scene, &name, "")?);
        inputs += &format!(", {{ name: {name}, from: {{ job: {name} }} }}");
    }
    let bundle = round::reading(scene, &read, BOUNDS.2)?;
    jobs.push(job(JOB, inputs, bundle));
    Ok(jobs)
}

/// A job that leaves the table of this name.
fn table(scene: &Scene<'_>, name: &str, inputs: &str) -> anyhow::Result<Job> {
    Ok(job(name, inputs.to_owned(), round::then(scene, &["produce", name])?))
}

fn job(name: &str, inputs: String, bundle: Vec<u8>) -> Job {
    let (resources, timeout) = (BOUNDS.0.to_owned(), BOUNDS.1.to_owned());
    Job { name: name.to_owned(), inputs, bundle, resources, timeout }
}
