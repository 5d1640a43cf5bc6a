//! The fence: who may change what becomes of a task.
//!
//! Every change of a task's state goes through [`Fenced`], a transaction that has locked the rows of
//! the runs it touches, and takes a [`Held`], the proof that a lease was looked up and locked in it.
//! There are four ways to hold a lease and no others: to show its fence, to find it expired by the
//! database's clock, to cancel its run, and to take it back because the authority behind it is over.
//!
//! Locks are taken in one order everywhere: runs by id, then ready rows, then leases by attempt,
//! then datasets by id, and last the admission of orgs by id. Cancelling alone takes the admission of
//! its org before the ready rows: it waits for claims there, which wait for nobody.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Deref,
};

use sqlx::PgConnection;
use trace_contracts::{AttemptId, DatasetVersionId, OrgId, RunId, TaskId, wire::user::RunState};

use crate::{
    admission::MINUTES_PER_POINT,
    db::{
        self,
        attempts::{EndedRow, Ending},
        commits::NewCommit,
        deliveries::NewDelivery,
        fences::Settled,
        leases::{FenceKey, LeaseRow, ShownFence},
        notify::Channel,
        ready::{Again, Due},
        runs::{LockedRow, OrgLimit, Progress},
    },
    facts::{FactCache, FactsByRun, Kind},
    queue::WakeUps,
    slots::{self, Gate},
    task::Core,
};

mod tell;

/// A lease that this transaction has locked and that its holder may end. Once it is ended, the
/// value is used up.
#[derive(Debug)]
pub struct Held(LeaseRow);

impl Deref for Held {
    type Target = LeaseRow;

    fn deref(&self) -> &LeaseRow {
        &self.0
    }
}

/// What was found for the fences that workers showed. A fence that is in neither is stale.
#[derive(Debug, Default)]
pub struct Found {
    /// Current and locked.
    pub held: HashMap<FenceKey, Held>,
    /// Ended under this very fence.
    pub ended: HashMap<FenceKey, EndedRow>,
}

/// A transaction that may change tasks of the runs it has locked.
pub struct Fenced<'t> {
    conn: &'t mut PgConnection,
    facts: &'t FactCache,
    runs: BTreeMap<RunId, Locked>,
    /// What goes through the admission of each org when the transaction is settled.
    gates: BTreeMap<OrgId, Gate>,
    /// What is ready when the transaction is settled: under no limit, and of priority 0.
    plain: Vec<Due>,
    /// What is told to webhooks, if the DAGs of these runs name any.
    notices: Vec<NewDelivery>,
    news: News,
}

struct Locked {
    org_limit: OrgLimit,
    before: Progress,
    now: Progress,
}

/// What others are told when the transaction commits.
#[derive(Default)]
struct News {
    ready: Vec<TaskId>,
    later: bool,
    ended: Vec<AttemptId>,
}

impl<'t> Fenced<'t> {
    /// Locks the rows of these runs, in the order of their ids.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn lock(
        conn: &'t mut PgConnection,
        core: &'t Core,
        runs: &BTreeSet<RunId>,
    ) -> Result<Self, db::Error> {
        let ids: Vec<i64> = runs.iter().map(|run| run.get()).collect();
        let rows = if ids.is_empty() { Vec::new() } else { db::runs::lock(conn, &ids).await? };
        Ok(Self::of(conn, core, rows))
    }

    /// Locks the rows of these runs, in the order of their ids; then looks up fences that workers
    /// showed, and locks what is current. A lease of a run that is not locked is not held.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn open(
        conn: &'t mut PgConnection,
        core: &'t Core,
        runs: &BTreeSet<RunId>,
        shown: &[ShownFence],
    ) -> Result<(Self, Found), db::Error> {
        let ids: Vec<i64> = runs.iter().map(|run| run.get()).collect();
        let (rows, held) = if ids.is_empty() {
            (Vec::new(), Vec::new())
        } else {
            db::fences::open(conn, &ids, shown).await?
        };
        let held: HashMap<FenceKey, Held> = held
            .into_iter()
            .map(|row| ((row.attempt, row.lease_token.get(), row.worker), Held(row)))
            .collect();
        let missing: Vec<ShownFence> =
            shown.iter().filter(|one| !held.contains_key(&one.key())).copied().collect();
        let ended = if missing.is_empty() { Vec::new() } else { db::attempts::ended(conn, &missing).await? };
        let found = Found { held, ended: ended.into_iter().map(|row| (row.fence, row)).collect() };
        Ok((Self::of(conn, core, rows), found))
    }

    fn of(conn: &'t mut PgConnection, core: &'t Core, rows: Vec<LockedRow>) -> Self {
        let locked = rows.into_iter().map(|row| {
            let (before, now) = (row.progress, row.progress);
            (row.run, Locked { org_limit: row.org_limit, before, now })
        });
        let runs = locked.collect();
        Self {
            conn,
            facts: &core.facts,
            runs,
            gates: BTreeMap::new(),
            plain: Vec::new(),
            notices: Vec::new(),
            news: News::default(),
        }
    }

    /// The transaction, for what changes no task.
    pub fn conn(&mut self) -> &mut PgConnection {
        self.conn
    }

    /// Holds those of these attempts whose lease has run out.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn hold_expired(&mut self, attempts: &[AttemptId]) -> Result<Vec<Held>, db::Error> {
        let ids: Vec<i64> = attempts.iter().map(|attempt| attempt.get()).collect();
        let rows = db::leases::hold_expired(self.conn, &ids).await?;
        Ok(rows.into_iter().filter(|row| self.runs.contains_key(&row.run())).map(Held).collect())
    }

    /// Holds the leases of those of these attempts that still have one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn hold_attempts(&mut self, attempts: &[AttemptId]) -> Result<Vec<Held>, db::Error> {
        let ids: Vec<i64> = attempts.iter().map(|attempt| attempt.get()).collect();
        let rows = db::leases::hold_attempts(self.conn, &ids).await?;
        Ok(rows.into_iter().filter(|row| self.runs.contains_key(&row.run())).map(Held).collect())
    }

    /// Takes a run's ready tasks and holds all its leases. The ready tasks go first: a claim that is
    /// under way is waited for there, and its leases are seen afterwards.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn hold_run(&mut self, run: RunId) -> Result<(Vec<TaskId>, Vec<Held>), db::Error> {
        if !self.runs.contains_key(&run) {
            return Ok((Vec::new(), Vec::new()));
        }
        let facts = self.facts.one(self.conn, run).await?;
        if facts.kind == Kind::Limited || self.runs[&run].org_limit == OrgLimit::Some {
            // Nobody may admit tasks of the run while they are taken out of the places they are in.
            db::limits::lock(self.conn, facts.org).await?;
        }
        let ready = db::ready::drop_run(self.conn, run).await?;
        let leased = db::leases::hold_run(self.conn, run).await?;
        self.free(&ready).await?;
        Ok((ready, leased.into_iter().map(Held).collect()))
    }

    /// Ends held leases without commits.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn end(&mut self, endings: &[Ending<'_>]) -> Result<(), db::Error> {
        db::attempts::end(self.conn, endings).await?;
        self.news.ended.extend(endings.iter().map(|ending| ending.held.attempt));
        let tasks: Vec<TaskId> = endings.iter().map(|ending| ending.held.task).collect();
        self.free(&tasks).await
    }

    /// Ends held leases with commits, and counts partitions in; answers the versions of these that
    /// still miss some.
    ///
    /// # Errors
    /// When the database fails, or a task is committed already.
    pub async fn commit(
        &mut self,
        commits: &[NewCommit<'_>],
        added: &[(DatasetVersionId, i32)],
    ) -> Result<Vec<DatasetVersionId>, db::Error> {
        let partial = db::commits::insert(self.conn, commits, added).await?;
        self.news.ended.extend(commits.iter().map(|commit| commit.held.attempt));
        let tasks: Vec<TaskId> = commits.iter().map(|commit| commit.held.task).collect();
        self.free(&tasks).await?;
        Ok(partial)
    }

    /// Makes planned tasks of locked runs due, and counts them as open.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn plan(&mut self, tasks: Vec<TaskId>) -> Result<(), db::Error> {
        if tasks.is_empty() {
            return Ok(());
        }
        for task in &tasks {
            self.change(task.run(), |progress| progress.open += 1);
        }
        self.due(tasks.into_iter().map(Due::first).collect()).await
    }

    /// Makes tasks of locked runs due that are in no place: they are ready when the transaction is
    /// settled, as far as limits have room where something bounds them.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn due(&mut self, due: Vec<Due>) -> Result<(), db::Error> {
        let facts = self.facts_of(due.iter().map(|one| one.task)).await?;
        let mut plain = Vec::with_capacity(due.len());
        let mut ranked = Vec::new();
        for one in due {
            let run = one.task.run();
            let (facts, org_limit) = (&facts[&run], self.org_limit(run));
            if facts.kind == Kind::Plain && org_limit == OrgLimit::None {
                plain.push(one);
                continue;
            }
            let priority = facts.place(one.task)?.spec.limits.priority;
            match facts.lane(one.task, org_limit)? {
                Some(lane) => self.gates.entry(facts.org).or_default().add(lane, one, priority),
                None if priority == 0 => plain.push(one),
                None => ranked.push((one, MINUTES_PER_POINT * i64::from(priority))),
            }
        }
        if !ranked.is_empty() {
            db::ready::insert_ranked(self.conn, &ranked).await?;
        }
        self.news.ready.extend(plain.iter().chain(ranked.iter().map(|(one, _)| one)).map(|one| one.task));
        self.plain.extend(plain);
        Ok(())
    }

    /// Puts tasks of locked runs back that get another try, now or later.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn again(&mut self, again: &[Again]) -> Result<(), db::Error> {
        let (later, now): (Vec<Again>, Vec<Again>) = again.iter().partition(|one| one.delay_seconds > 0.0);
        if !later.is_empty() {
            db::ready::delay(self.conn, &later).await?;
            self.news.later = true;
        }
        let due = now.iter().map(|one| Due { task: one.task, failures: one.failures, losses: one.losses });
        self.due(due.collect()).await
    }

    /// Notes tasks that are neither ready nor leased any more: what limits counted of them is given back
    /// when the transaction is settled.
    async fn free(&mut self, tasks: &[TaskId]) -> Result<(), db::Error> {
        let facts = self.facts_of(tasks.iter().copied()).await?;
        for task in tasks {
            let (facts, org_limit) = (&facts[&task.run()], self.org_limit(task.run()));
            let may_have_slot = facts.kind == Kind::Limited || org_limit == OrgLimit::Some;
            if may_have_slot && facts.lane(*task, org_limit)?.is_some() {
                self.gates.entry(facts.org).or_default().free(*task);
            }
        }
        Ok(())
    }

    async fn facts_of(&mut self, tasks: impl Iterator<Item = TaskId>) -> Result<FactsByRun, db::Error> {
        let runs: BTreeSet<RunId> = tasks.map(TaskId::run).collect();
        self.facts.of(self.conn, &runs).await
    }

    fn org_limit(&self, run: RunId) -> OrgLimit {
        self.runs.get(&run).map_or(OrgLimit::None, |locked| locked.org_limit)
    }

    /// Where a locked run stands.
    #[must_use]
    pub fn progress(&self, run: RunId) -> Option<Progress> {
        self.runs.get(&run).map(|locked| locked.now)
    }

    /// Changes where a locked run stands; written when the transaction is settled.
    pub fn change(&mut self, run: RunId, change: impl FnOnce(&mut Progress)) {
        if let Some(locked) = self.runs.get_mut(&run) {
            change(&mut locked.now);
        }
    }

    /// Finishes runs that have nothing left to do, writes what changed of runs, makes ready what is due
    /// as far as limits have room, and leaves news for the moment when the caller commits.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn settle(mut self, wake: &dyn WakeUps) -> Result<Wakes, db::Error> {
        for locked in self.runs.values_mut() {
            locked.now.state = state_of(&locked.now);
        }
        self.tell_finished().await?;
        let runs: Vec<(RunId, Progress)> = self
            .runs
            .iter()
            .filter(|(_, locked)| locked.now != locked.before)
            .map(|(run, locked)| (*run, locked.now))
            .collect();
        for (org, gate) in std::mem::take(&mut self.gates) {
            let passed = slots::pass(self.conn, org, gate).await?;
            self.news.ready.extend(passed.ready);
            self.news.later |= passed.next_start.is_some();
        }
        let mut news: Vec<db::notify::News> =
            db::notify::News::of(Channel::Ended, &self.news.ended).collect();
        if self.news.later {
            news.push(db::notify::News::plain(Channel::Later));
        }
        if !self.notices.is_empty() {
            db::deliveries::insert(self.conn, &self.notices).await?;
            news.push(db::notify::News::plain(Channel::Deliveries));
        }
        let wakes = if self.news.ready.is_empty() { Wakes::Nobody } else { Wakes::Workers };
        if wakes == Wakes::Workers {
            news.extend(wake.announce(self.conn, &self.news.ready).await?);
        }
        if !(runs.is_empty() && self.plain.is_empty() && news.is_empty()) {
            let settled = Settled { runs: &runs, ready: &self.plain, news: &news };
            db::fences::settle(self.conn, &settled).await?;
        }
        Ok(wakes)
    }
}

/// Whom a transaction wakes when it commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Wakes {
    /// Tasks are ready.
    Workers,
    /// None are.
    Nobody,
}

/// A run ends when nothing is planned and open: whatever was not planned by then waits for a task
/// that is dead.
const fn state_of(progress: &Progress) -> RunState {
    match progress.state {
        RunState::Running if progress.open > 0 => RunState::Running,
        RunState::Running if progress.succeeded == progress.total => RunState::Succeeded,
        RunState::Running => RunState::Failed,
        ended => ended,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_ends_when_nothing_is_open() {
        let at = |open, succeeded, dead| {
            state_of(&Progress { state: RunState::Running, total: 4, open, succeeded, dead })
        };
        assert_eq!(at(1, 3, 0), RunState::Running);
        assert_eq!(at(1, 0, 1), RunState::Running, "siblings of a dead task go on");
        assert_eq!(at(0, 4, 0), RunState::Succeeded);
        assert_eq!(at(0, 1, 1), RunState::Failed);
        let cancelled = Progress { state: RunState::Cancelled, total: 4, open: 0, succeeded: 4, dead: 0 };
        assert_eq!(state_of(&cancelled), RunState::Cancelled);
    }
}
