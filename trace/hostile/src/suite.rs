//! Every vector against the ordinary platform, and every control against the one with switches.

use std::{collections::BTreeMap, path::Path, time::Instant};

use anyhow::Context as _;
use trace_controls::Protection;

use crate::{
    deploys, inputs,
    outside::Orphan,
    platform::Platform,
    reaching,
    round::{self, End, Job},
    scene::Scene,
    vector::{Attack, Seen, Vector, Witness},
    watch,
    world::World,
};

/// What the attacks that share a task have together.
const SHARED: (&str, &str) = ("{ cpu: 1, memory: 256MiB, disk: 64MiB }", "120s");
/// The job of the attacks that share a task.
const SHARED_JOB: &str = "shared";

/// A vector and what it came to.
pub struct Judged {
    /// The vector.
    pub vector: Vector,
    /// What happened on the ordinary platform.
    pub seen: Seen,
    /// What happened in its control; `None` where it has none.
    pub control: Option<Seen>,
    /// What happened with one of several layers off, each of which is said to deny it by itself.
    pub layers: Vec<(Protection, Seen)>,
}

impl Judged {
    /// Whether it was denied by what should deny it.
    pub fn is_denied(&self) -> bool {
        self.vector.is_denied(&self.seen)
    }

    /// Whether it has a control, and that succeeded.
    pub fn control_succeeded(&self) -> bool {
        self.control.as_ref().is_some_and(|seen| seen.got)
    }

    /// Whether nothing is wrong.
    pub fn is_right(&self) -> bool {
        let layers_hold = self.layers.iter().all(|(_, seen)| seen.is_a_denial());
        self.is_denied() && (self.control.is_none() || self.control_succeeded()) && layers_hold
    }
}

/// All of it.
pub struct Verdicts {
    /// Every vector.
    pub judged: Vec<Judged>,
    /// What was found wrong afterwards, from outside.
    pub facts: Vec<String>,
}

/// Runs these vectors and their controls.
pub async fn run(program: &Path, vectors: Vec<Vector>) -> anyhow::Result<Verdicts> {
    let world = World::new()?;
    let started = Instant::now();
    let say = |what: &str| eprintln!("hostile: {what} ({:.0} s)", started.elapsed().as_secs_f64());
    let (mut seen, facts) = {
        let platform = Platform::ordinary(program, &world)?;
        say("the ordinary platform is up");
        let scene = Scene { platform: &platform, world: &world, planted: false };
        let (seen, mut facts) = watch::during(&scene, attack(&scene, "attacks", &vectors)).await;
        say("every vector was tried");
        facts.extend(crate::facts::wrong(&scene).await?);
        (seen?, facts)
    };
    let controls = self::controls(&world, &vectors, say).await?;
    let untold = || Seen::untried("nothing was told");
    let with_off = |vector: &Vector, off: &[Protection]| {
        controls.get(&(vector.name, off.to_vec())).cloned().unwrap_or_else(untold)
    };
    let judged = vectors.into_iter().map(|vector| Judged {
        vector,
        seen: seen.remove(vector.name).unwrap_or_else(untold),
        control: vector.control.off().map(|off| with_off(&vector, off)),
        layers: vector.control.layers().iter().map(|one| (*one, with_off(&vector, &[*one]))).collect(),
    });
    Ok(Verdicts { judged: judged.collect(), facts })
}

/// What happened to a vector with these protections off.
type WithOff = BTreeMap<(&'static str, Vec<Protection>), Seen>;

/// Every control, and every layer by itself; those with the same protections off at the same time.
async fn controls(world: &World, vectors: &[Vector], say: impl Fn(&str)) -> anyhow::Result<WithOff> {
    let mut sets: BTreeMap<Vec<Protection>, Vec<Vector>> = BTreeMap::new();
    for vector in vectors {
        if let Some(off) = vector.control.off() {
            sets.entry(off.to_vec()).or_default().push(*vector);
        }
        for layer in vector.control.layers() {
            sets.entry(vec![*layer]).or_default().push(*vector);
        }
    }
    let platform = Platform::switchable(world)?;
    say("the platform with switches is up");
    let mut seen = BTreeMap::new();
    for (number, (off, vectors)) in sets.into_iter().enumerate() {
        platform.switch_to(&off)?;
        let scene = Scene { platform: &platform, world, planted: off.is_empty() };
        let tried = attack(&scene, &format!("controls_{number}"), &vectors).await;
        for vector in &vectors {
            // Where a whole run fails, the others are still worth trying.
            let one = match &tried {
                Ok(all) => all.get(vector.name).cloned().unwrap_or_else(|| Seen::untried("nothing was told")),
                Err(error) => Seen::untried(format!("{error:#}")),
            };
            seen.insert((vector.name, off.clone()), one);
        }
        let names: Vec<&str> = off.iter().map(|one| one.name()).collect();
        let names = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
        say(&format!("{} controls with {names} off were tried", vectors.len()));
    }
    Ok(seen)
}

/// Tries these, in one run of one DAG as far as they run as tasks.
async fn attack(
    scene: &Scene<'_>,
    dag: &str,
    vectors: &[Vector],
) -> anyhow::Result<BTreeMap<&'static str, Seen>> {
    let jobs = jobs(scene, vectors).await?;
    // What a look at processes is to find, where a target is to be planted.
    let _orphan = scene.planted.then(|| Orphan::plant(scene)).transpose()?;
    let ends = if jobs.is_empty() { BTreeMap::new() } else { round::run(scene, dag, jobs).await? };
    let told: BTreeMap<&str, BTreeMap<String, Seen>> =
        ends.iter().map(|(job, end)| (job.as_str(), end.told())).collect();
    let in_job = |job: &str, name: &str| {
        let seen = told.get(job).and_then(|told| told.get(name)).cloned();
        seen.unwrap_or_else(|| silent(ends.get(job)))
    };
    let mut all = BTreeMap::new();
    for vector in vectors {
        let seen = match &vector.attack {
            Attack::Shared => in_job(SHARED_JOB, vector.name),
            Attack::Reader => in_job(inputs::JOB, vector.name),
            Attack::Crowded => in_job(inputs::CROWDED, vector.name),
            Attack::Reaching => in_job(reaching::JOB, vector.name),
            Attack::Alone(task) => witnessed(scene, vector, task.witness, &ends)?,
            Attack::Bundle(make, witness) => {
                let name = format!("{dag}_{}", job(vector));
                let run = deploys::run(scene, &name, make(scene)).await;
                let seen = run.and_then(|run| run.map_or_else(Ok, |end| look(scene, *witness, &end)));
                seen.unwrap_or_else(|error| Seen::untried(format!("{error:#}")))
            }
            Attack::Outside(act) => {
                act(*scene).await.unwrap_or_else(|error| Seen::untried(format!("{error:#}")))
            }
        };
        all.insert(vector.name, seen);
    }
    Ok(all)
}

async fn jobs(scene: &Scene<'_>, vectors: &[Vector]) -> anyhow::Result<Vec<Job>> {
    let mut jobs = Vec::new();
    let shared: Vec<&str> =
        vectors.iter().filter(|one| matches!(one.attack, Attack::Shared)).map(|one| one.name).collect();
    if !shared.is_empty() {
        let (resources, timeout) = (SHARED.0.to_owned(), SHARED.1.to_owned());
        let bundle = round::attacking(scene, &shared, false)?;
        let (inputs, more) = (String::new(), String::new());
        jobs.push(Job { name: SHARED_JOB.to_owned(), inputs, bundle, resources, timeout, more });
    }
    jobs.extend(inputs::jobs(scene, vectors)?);
    jobs.extend(reaching::job(scene, vectors).await?);
    for vector in vectors {
        let Attack::Alone(task) = &vector.attack else { continue };
        let bundle = round::attacking(scene, &[vector.name], true)?;
        let (resources, timeout) = (task.resources.to_owned(), task.timeout.to_owned());
        let (inputs, more) = (String::new(), String::new());
        jobs.push(Job { name: job(vector), inputs, bundle, resources, timeout, more });
    }
    Ok(jobs)
}

/// The job of a vector that has one of its own; names in DAG files have no `-`.
fn job(vector: &Vector) -> String {
    vector.name.replace('-', "_")
}

fn witnessed(
    scene: &Scene<'_>,
    vector: &Vector,
    witness: Witness,
    ends: &BTreeMap<String, End>,
) -> anyhow::Result<Seen> {
    let end = ends.get(&job(vector)).with_context(|| format!("no task of the job {}", vector.name))?;
    look(scene, witness, end)
}

fn look(scene: &Scene<'_>, witness: Witness, end: &End) -> anyhow::Result<Seen> {
    match witness {
        Witness::Outcome => Ok(end.as_seen()),
        Witness::Look(look) => look(scene, end),
    }
}

fn silent(end: Option<&End>) -> Seen {
    let how = end.map_or("nowhere", |end| &end.outcome);
    let detail = end.map_or("", |end| &end.detail);
    Seen::untried(format!("nothing was told; the task ended with {how}: {detail}"))
}
