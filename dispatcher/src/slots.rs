//! The gate between what is due and what is ready, for tasks under limits: reads what [`admission`]
//! decides from, and carries the decision out, in the caller's transaction.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sqlx::PgConnection;
use trace_contracts::{DatasetId, OrgId, TaskId};

use crate::{
    admission::{self, Admitted, Bucket, Lane, LimitKey, Queue, Snapshot, Waiting, rank},
    db::{self, limits::NewTask, ready::Due},
};

/// Tasks that one transaction admits of one lane at most. More are left to the next one, which the
/// sweep brings about.
const BATCH: u32 = 5_000;

/// What a transaction brings to the admission of an org.
#[derive(Debug, Default)]
pub struct Gate {
    freed: Vec<TaskId>,
    due: Vec<(Lane, Due, i16)>,
}

/// What became of it.
#[derive(Debug, Default)]
pub struct Passed {
    /// Tasks that are ready now.
    pub ready: Vec<TaskId>,
    /// Seconds until another look lets held tasks go without anything else that happens: until a rate
    /// allows the next one, or none where a batch was full. Absent when nothing waits for that.
    pub next_start: Option<f64>,
}

impl Gate {
    /// Adds a task that is due and in no place, under these limits, with its priority.
    pub fn add(&mut self, lane: Lane, due: Due, priority: i16) {
        self.due.push((lane, due, priority));
    }

    /// Adds a task that is neither ready nor leased any more, and may have a slot.
    pub fn free(&mut self, task: TaskId) {
        self.freed.push(task);
    }
}

/// Gives slots back and admits whatever there is room for then: of what is held, and of what is due,
/// which is held otherwise.
///
/// # Errors
/// When the database fails.
pub async fn pass(conn: &mut PgConnection, org: OrgId, gate: Gate) -> Result<Passed, db::Error> {
    db::limits::lock(conn, org).await?;
    let mut changes: BTreeMap<LimitKey, i32> = BTreeMap::new();
    if !gate.freed.is_empty() {
        for lane in db::limits::free(conn, &gate.freed).await? {
            add(&mut changes, &lane, -1);
        }
    }
    let mut lanes = db::limits::lanes(conn, org).await?;
    lanes.extend(gate.due.iter().map(|(lane, ..)| *lane));
    let mut passed = Passed::default();
    if !lanes.is_empty() {
        passed = decide(conn, &lanes, gate.due, &mut changes).await?;
    }
    changes.retain(|_, change| *change != 0);
    if !changes.is_empty() {
        db::limits::count(conn, &changes).await?;
    }
    Ok(passed)
}

async fn decide(
    conn: &mut PgConnection,
    lanes: &BTreeSet<Lane>,
    due: Vec<(Lane, Due, i16)>,
    changes: &mut BTreeMap<LimitKey, i32>,
) -> Result<Passed, db::Error> {
    let keys: BTreeSet<LimitKey> = lanes.iter().flat_map(Lane::keys).collect();
    let jobs: Vec<DatasetId> = lanes.iter().filter_map(|lane| lane.job).collect();
    let (mut limits, now) = db::limits::counters(conn, &keys).await?;
    for (key, change) in changes.iter() {
        if let Some(limit) = limits.get_mut(key) {
            limit.in_use = limit.in_use.saturating_add_signed(*change);
        }
    }
    let buckets = if jobs.is_empty() { BTreeMap::new() } else { db::limits::buckets(conn, &jobs).await? };
    let starts = buckets.iter().map(|(job, bucket)| (*job, bucket.whole())).collect();
    let mut snapshot = Snapshot { limits, starts, queues: Vec::new() };
    let open: Vec<(Lane, u32)> = lanes
        .iter()
        .map(|lane| (*lane, snapshot.room(lane).unwrap_or(BATCH).min(BATCH)))
        .filter(|(_, room)| *room > 0)
        .collect();
    let mut queues = if open.is_empty() { Vec::new() } else { db::limits::heads(conn, &open).await? };
    let new: HashMap<TaskId, NewTask> = due
        .into_iter()
        .map(|(lane, Due { task, failures, losses }, priority)| {
            let waiting = Waiting { rank: rank(now, priority), task };
            (task, NewTask { lane, waiting, priority, failures, losses })
        })
        .collect();
    join(&mut queues, &new);
    snapshot.queues = queues;
    let admitted = admission::admit(snapshot);
    carry_out(conn, &admitted, &new, now).await?;
    let left = take_tokens(conn, &admitted, buckets).await?;
    for one in &admitted {
        add(changes, one.lane(), 1);
    }
    Ok(Passed {
        ready: admitted.iter().map(|one| one.waiting().task).collect(),
        next_start: if admitted.len() >= BATCH as usize { Some(0.0) } else { next_start(&left) },
    })
}

/// Adds the new tasks to the lines of their lanes, of those lanes that have room.
fn join(queues: &mut [Queue], new: &HashMap<TaskId, NewTask>) {
    let by_lane: HashMap<Lane, usize> =
        queues.iter().enumerate().map(|(at, queue)| (queue.lane, at)).collect();
    for one in new.values() {
        if let Some(at) = by_lane.get(&one.lane) {
            queues[*at].waiting.push(one.waiting);
        }
    }
    for queue in queues {
        queue.waiting.sort_unstable();
        queue.waiting.truncate(BATCH as usize);
    }
}

async fn carry_out(
    conn: &mut PgConnection,
    admitted: &[Admitted],
    new: &HashMap<TaskId, NewTask>,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<(), db::Error> {
    if !admitted.is_empty() {
        db::limits::admit(conn, admitted, new).await?;
    }
    let gone: BTreeSet<TaskId> = admitted.iter().map(|one| one.waiting().task).collect();
    let stay: Vec<&NewTask> = new.values().filter(|one| !gone.contains(&one.waiting.task)).collect();
    if stay.is_empty() { Ok(()) } else { db::limits::hold(conn, &stay, now).await }
}

/// Takes a token for each admitted task whose job has a rate; answers what is left.
async fn take_tokens(
    conn: &mut PgConnection,
    admitted: &[Admitted],
    mut buckets: BTreeMap<DatasetId, Bucket>,
) -> Result<BTreeMap<DatasetId, Bucket>, db::Error> {
    let mut taken: BTreeMap<DatasetId, u32> = BTreeMap::new();
    for job in admitted.iter().filter_map(|one| one.lane().job).filter(|job| buckets.contains_key(job)) {
        *taken.entry(job).or_default() += 1;
    }
    for (job, count) in &taken {
        if let Some(bucket) = buckets.get_mut(job) {
            *bucket = bucket.without(*count);
        }
    }
    let changed: Vec<(DatasetId, Bucket)> =
        taken.keys().filter_map(|job| Some((*job, *buckets.get(job)?))).collect();
    if !changed.is_empty() {
        db::limits::refill(conn, &changed).await?;
    }
    Ok(buckets)
}

fn next_start(buckets: &BTreeMap<DatasetId, Bucket>) -> Option<f64> {
    buckets.values().filter(|bucket| bucket.whole() == 0).map(Bucket::next_in).reduce(f64::min)
}

fn add(changes: &mut BTreeMap<LimitKey, i32>, lane: &Lane, change: i32) {
    for key in lane.keys() {
        *changes.entry(key).or_default() += change;
    }
}
