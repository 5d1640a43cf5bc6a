//! Reads what the pure parts need, and puts the answers together.

use std::{collections::BTreeMap, sync::Arc};

use sqlx::PgConnection;
use trace_contracts::{
    Name, OrgId, RunId, TaskId,
    wire::{
        user::{RunState, TaskState},
        why::{Cause, Group, LimitUse, RunWhy, Scope, TaskWhy},
    },
};

use super::{
    cause::{Details, called, cause},
    roots::{Root, Roots, Standing, Standings},
    sentence,
};
use crate::{
    admission::LimitKey,
    dag::spec::{JobSpec, Spec},
    db::{self, why::RunRow},
    facts::{FactCache, RunFacts},
};

/// Causes of a run that are told.
const MAX_GROUPS: usize = 20;

/// Why a task of this org stands where it stands; `None` when the org has no such task.
///
/// # Errors
/// When the database fails.
pub async fn of_task(
    conn: &mut PgConnection,
    cache: &FactCache,
    org: OrgId,
    task: TaskId,
) -> Result<Option<TaskWhy>, db::Error> {
    let Some(picture) = Picture::of(conn, cache, org, task.run()).await? else { return Ok(None) };
    if picture.facts.find(task).is_none() {
        return Ok(None);
    }
    picture.explain(conn, task.ordinal()).await.map(Some)
}

/// Why a run of this org stands where it stands; `None` when the org has no such run.
///
/// # Errors
/// When the database fails.
pub async fn of_run(
    conn: &mut PgConnection,
    cache: &FactCache,
    org: OrgId,
    run: RunId,
) -> Result<Option<RunWhy>, db::Error> {
    let Some(picture) = Picture::of(conn, cache, org, run).await? else { return Ok(None) };
    let mut causes = Vec::new();
    for (root, tasks, behind) in picture.groups() {
        let example = picture.explain(conn, root.place).await?;
        causes.push(Group { tasks, behind, example });
    }
    let sentence = sentence::of_run(run, picture.row.state, &causes);
    Ok(Some(RunWhy { run, dag: picture.facts.spec.name.clone(), state: picture.row.state, sentence, causes }))
}

/// Where everything of a run stands, at one moment.
struct Picture {
    facts: Arc<RunFacts>,
    row: RunRow,
    standings: Standings,
    roots: Roots,
}

impl Picture {
    async fn of(
        conn: &mut PgConnection,
        cache: &FactCache,
        org: OrgId,
        run: RunId,
    ) -> Result<Option<Self>, db::Error> {
        // The run is read first: a task without a row is skipped only if its run had ended before nothing
        // was found of it.
        let Some(row) = db::why::run(conn, org, run).await? else { return Ok(None) };
        let facts = cache.one(conn, run).await?;
        let standings = db::why::standings(conn, run).await?;
        let roots = Roots::of(&facts.spec, &facts.listed, &standings);
        Ok(Some(Self { facts, row, standings, roots }))
    }

    /// Tasks that have not succeeded, those of one standing and job together, the worst first: the first
    /// task of each group, how many there are, and how many wait behind them.
    fn groups(&self) -> Vec<(Root, u64, u64)> {
        let mut groups: BTreeMap<(std::cmp::Reverse<Standing>, usize), (Root, u64, u64)> = BTreeMap::new();
        for (place, root) in self.roots.iter() {
            let Some((job, _)) = self.facts.listed.at(root.place) else { continue };
            if root.standing == Standing::Succeeded {
                continue;
            }
            let group = groups.entry((std::cmp::Reverse(root.standing), job)).or_insert((root, 0, 0));
            if root.place == place { group.1 += 1 } else { group.2 += 1 }
        }
        groups.into_values().take(MAX_GROUPS).collect()
    }

    async fn explain(&self, conn: &mut PgConnection, place: u32) -> Result<TaskWhy, db::Error> {
        let Some(root) = self.roots.at(place) else {
            return Err(db::Error::corrupt("a task's number", place));
        };
        let at_root = self.at_root(conn, root).await?;
        if root.place == place {
            return Ok(at_root);
        }
        let cause = if self.row.state == RunState::Running {
            let missing = self.roots.missing(&self.facts.spec, &self.facts.listed, &self.standings, place);
            let missing =
                missing.ok_or_else(|| db::Error::corrupt("a task that waits for nothing", place))?;
            let (job, _) = self.job(place)?;
            Cause::Input {
                input: job.inputs[missing.input].name.clone(),
                job: self.facts.job(missing.job)?.name.clone(),
                missing: missing.missing,
                of: missing.of,
                root: Box::new(at_root),
            }
        } else if root.standing == Standing::Dead {
            Cause::Skipped { root: Some(Box::new(at_root)) }
        } else {
            self.without_row()
        };
        self.told(place, cause)
    }

    async fn at_root(&self, conn: &mut PgConnection, root: Root) -> Result<TaskWhy, db::Error> {
        if root.standing == Standing::Waiting && self.row.state != RunState::Running {
            return self.told(root.place, self.without_row());
        }
        let details = self.details(conn, root).await?;
        self.told(root.place, cause(details, self.row.now))
    }

    /// Why a task without a row is not run any more.
    fn without_row(&self) -> Cause {
        match self.row.state {
            RunState::Cancelled => Cause::Cancelled { by: self.row.cancelled_by, at: self.row.finished_at },
            _ => Cause::Skipped { root: None },
        }
    }

    fn told(&self, place: u32, cause: Cause) -> Result<TaskWhy, db::Error> {
        let task = self.task(place)?;
        let (job, at) = self.job(place)?;
        let partition =
            job.partitions.get(at).cloned().ok_or_else(|| db::Error::corrupt("a task's number", place))?;
        let sentence = sentence::sentence(task, &called(&job.name, &partition), &cause, self.row.now);
        Ok(TaskWhy { task, job: job.name.clone(), partition, state: state(&cause), sentence, cause })
    }

    fn task(&self, place: u32) -> Result<TaskId, db::Error> {
        TaskId::in_run(self.facts.run, place).ok_or_else(|| db::Error::corrupt("a task's number", place))
    }

    fn job(&self, place: u32) -> Result<(&JobSpec, usize), db::Error> {
        let found =
            self.facts.listed.at(place).ok_or_else(|| db::Error::corrupt("a task's number", place))?;
        Ok((self.facts.job(found.0)?, found.1))
    }

    /// What the rows of a task say. One that has moved on since the picture was taken is about to be
    /// somewhere else, and is told as ready.
    async fn details(&self, conn: &mut PgConnection, root: Root) -> Result<Details, db::Error> {
        let task = self.task(root.place)?;
        let found = match root.standing {
            Standing::Ready => db::why::ready(conn, task).await?,
            Standing::Held => self.held(conn, task).await?,
            Standing::Delayed => db::why::delayed(conn, task).await?,
            Standing::Running => db::why::leased(conn, task).await?,
            Standing::Succeeded => db::why::committed(conn, task).await?,
            Standing::Dead => Some(Details::Dead { last: db::why::last_attempt(conn, task).await? }),
            Standing::Cancelled => {
                Some(Details::Cancelled { by: self.row.cancelled_by, at: self.row.finished_at })
            }
            Standing::Waiting => None,
        };
        let moved = Details::Ready { since: self.row.now, workers: super::cause::Workers::default() };
        Ok(found.unwrap_or(moved))
    }

    async fn held(&self, conn: &mut PgConnection, task: TaskId) -> Result<Option<Details>, db::Error> {
        let Some(row) = db::why::held(conn, task).await? else { return Ok(None) };
        let keys = row.lane.keys().collect();
        let (limits, _) = db::limits::counters(conn, &keys).await?;
        let mut reached = Vec::new();
        let mut line: Option<LimitKey> = None;
        for (key, limit) in limits.into_iter().rev() {
            if let Some(max) = limit.max.filter(|max| limit.in_use >= *max) {
                line.get_or_insert(key);
                reached.push(self.shown(key, max, limit.in_use));
            }
        }
        let job = row.lane.job;
        let buckets = match job {
            Some(job) => db::limits::buckets(conn, &[job]).await?,
            None => BTreeMap::new(),
        };
        let rate = buckets.into_values().next().filter(|bucket| bucket.whole() == 0);
        let line = line.or(job.map(LimitKey::Job)).unwrap_or(LimitKey::Org(row.lane.org));
        let position = db::why::position(conn, line, row.waiting).await?;
        Ok(Some(Details::Held {
            since: row.since,
            reached,
            rate: rate.map(|bucket| (bucket.rate(), bucket.next_in())),
            position,
        }))
    }

    fn shown(&self, key: LimitKey, max: u32, in_use: u32) -> LimitUse {
        let (scope, name) = match key {
            LimitKey::Org(_) => (Scope::Org, None),
            LimitKey::Dag(_) => (Scope::Dag, Some(self.facts.spec.name.clone())),
            LimitKey::Job(dataset) => {
                let job = self.facts.outputs.iter().position(|output| output.dataset == dataset);
                (Scope::Job, job.and_then(|job| name_of(&self.facts.spec, job)))
            }
        };
        LimitUse { scope, name, max, in_use }
    }
}

fn name_of(spec: &Spec, job: usize) -> Option<Name> {
    spec.jobs.get(job).map(|job| job.name.clone())
}

/// The state that goes with a cause.
const fn state(cause: &Cause) -> TaskState {
    match cause {
        Cause::Input { .. } => TaskState::Waiting,
        Cause::LimitReached { .. }
        | Cause::RateReached { .. }
        | Cause::AdmissionDue { .. }
        | Cause::Ready { .. }
        | Cause::NoWorker { .. }
        | Cause::WorkersBusy { .. }
        | Cause::WakeUpLate { .. } => TaskState::Queued,
        Cause::Running { .. } => TaskState::Running,
        Cause::RetryAt { .. } => TaskState::Failed,
        Cause::Dead { .. } => TaskState::Dead,
        Cause::Cancelled { .. } => TaskState::Cancelled,
        Cause::Skipped { .. } => TaskState::Skipped,
        Cause::Succeeded { .. } => TaskState::Succeeded,
    }
}
