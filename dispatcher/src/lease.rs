//! The fence: who may change what becomes of a task.
//!
//! Every change of a task's state goes through [`Fenced`], a transaction that has locked the rows of
//! the runs it touches, and takes a [`Held`], the proof that a lease was looked up and locked in it.
//! There are three ways to hold a lease and no others: to show its fence, to find it expired by the
//! database's clock, and to cancel its run.
//!
//! Locks are taken in one order everywhere: runs by id, then ready rows, then leases by attempt,
//! then datasets by id.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Deref,
};

use sqlx::PgConnection;
use trace_contracts::{AttemptId, RunId, TaskId, wire::user::RunState};

use crate::{
    db::{
        self,
        attempts::{EndedRow, Ending},
        commits::NewCommit,
        leases::{FenceKey, LeaseRow, ShownFence},
        notify::Channel,
        runs::Progress,
    },
    queue::WakeUps,
};

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
    runs: BTreeMap<RunId, Locked>,
    news: News,
}

struct Locked {
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

/// When a task that was put back is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// At once.
    Now,
    /// Later.
    Later,
}

impl<'t> Fenced<'t> {
    /// Locks the rows of these runs, in the order of their ids.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn lock(conn: &'t mut PgConnection, runs: &BTreeSet<RunId>) -> Result<Self, db::Error> {
        let ids: Vec<i64> = runs.iter().map(|run| run.get()).collect();
        let locked = if ids.is_empty() { Vec::new() } else { db::runs::lock(conn, &ids).await? };
        let runs = locked.into_iter().map(|(run, now)| (run, Locked { before: now, now })).collect();
        Ok(Self { conn, runs, news: News::default() })
    }

    /// The transaction, for what changes no task.
    pub fn conn(&mut self) -> &mut PgConnection {
        self.conn
    }

    /// Looks up fences that workers showed and locks what is current. A lease of a run that is not
    /// locked is not held.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn check(&mut self, shown: &[ShownFence]) -> Result<Found, db::Error> {
        let held = db::leases::hold(self.conn, shown).await?;
        let held: HashMap<FenceKey, Held> = held
            .into_iter()
            .filter(|row| self.runs.contains_key(&row.run()))
            .map(|row| ((row.attempt, row.lease_token.get(), row.worker), Held(row)))
            .collect();
        let missing: Vec<ShownFence> =
            shown.iter().filter(|one| !held.contains_key(&one.key())).copied().collect();
        let ended =
            if missing.is_empty() { Vec::new() } else { db::attempts::ended(self.conn, &missing).await? };
        Ok(Found { held, ended: ended.into_iter().map(|row| (row.fence, row)).collect() })
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

    /// Takes a run's ready tasks and holds all its leases. The ready tasks go first: a claim that is
    /// under way is waited for there, and its leases are seen afterwards.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn hold_run(&mut self, run: RunId) -> Result<(Vec<TaskId>, Vec<Held>), db::Error> {
        if !self.runs.contains_key(&run) {
            return Ok((Vec::new(), Vec::new()));
        }
        let ready = db::ready::drop_run(self.conn, run).await?;
        let leased = db::leases::hold_run(self.conn, run).await?;
        Ok((ready, leased.into_iter().map(Held).collect()))
    }

    /// Ends held leases without commits.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn end(&mut self, endings: &[Ending<'_>]) -> Result<(), db::Error> {
        db::attempts::end(self.conn, endings).await?;
        self.news.ended.extend(endings.iter().map(|ending| ending.held.attempt));
        Ok(())
    }

    /// Ends held leases with commits.
    ///
    /// # Errors
    /// When the database fails, or a task is committed already.
    pub async fn commit(&mut self, commits: &[NewCommit<'_>]) -> Result<(), db::Error> {
        db::commits::insert(self.conn, commits).await?;
        self.news.ended.extend(commits.iter().map(|commit| commit.held.attempt));
        Ok(())
    }

    /// Makes planned tasks of locked runs ready, and counts them as open.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn plan(&mut self, tasks: Vec<TaskId>) -> Result<(), db::Error> {
        if tasks.is_empty() {
            return Ok(());
        }
        db::ready::insert(self.conn, &tasks).await?;
        for task in &tasks {
            self.change(task.run(), |progress| progress.open += 1);
        }
        self.queued(tasks, When::Now);
        Ok(())
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

    /// Notes tasks that are ready, or will be.
    pub fn queued(&mut self, tasks: impl IntoIterator<Item = TaskId>, when: When) {
        match when {
            When::Now => self.news.ready.extend(tasks),
            When::Later => self.news.later |= tasks.into_iter().next().is_some(),
        }
    }

    /// Finishes runs that have nothing left to do, writes what changed of runs, and leaves news for
    /// the moment when the caller commits.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn settle(mut self, wake: &dyn WakeUps) -> Result<(), db::Error> {
        for locked in self.runs.values_mut() {
            locked.now.state = state_of(&locked.now);
        }
        let changed: Vec<(RunId, Progress)> = self
            .runs
            .iter()
            .filter(|(_, locked)| locked.now != locked.before)
            .map(|(run, locked)| (*run, locked.now))
            .collect();
        if !changed.is_empty() {
            db::runs::advance(self.conn, &changed).await?;
        }
        if !self.news.ready.is_empty() {
            wake.announce(self.conn, &self.news.ready).await?;
        }
        if self.news.later {
            db::notify::send(self.conn, Channel::Later).await?;
        }
        db::notify::send_attempts(self.conn, Channel::Ended, &self.news.ended).await
    }
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
