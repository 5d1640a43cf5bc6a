use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use trace_contracts::RunId;

use super::*;

fn at(minute: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + 60 * minute, 0).unwrap()
}

fn task_id(place: i64) -> TaskId {
    TaskId::in_run(RunId::from_db(1), u32::try_from(place).unwrap()).unwrap()
}

fn waiting(task: i64, minute: i64) -> Waiting {
    Waiting { rank: at(minute), task: task_id(task) }
}

fn lane(org: i64, dag: i64, job: i64) -> Lane {
    Lane { org: OrgId::from_db(org), dag: DagId::new(dag), job: DatasetId::new(job) }
}

/// Up to two orgs with DAGs and jobs of their own; 0 stands for no limit at that level.
fn any_lane() -> impl Strategy<Value = Lane> {
    (1..3_i64, 0..3_i64, 0..4_i64).prop_map(|(org, dag, job)| {
        let own = |number: i64| if number == 0 { 0 } else { 10 * org + number };
        lane(org, own(dag), own(job))
    })
}

fn any_snapshot() -> impl Strategy<Value = Snapshot> {
    let tasks = prop::collection::vec((any_lane(), 0..50_i64), 0..60);
    let limit = (prop::option::of(0..6_u32), 0..6_u32).prop_map(|(max, in_use)| Limit { max, in_use });
    let limits = prop::collection::vec(limit, 20);
    let starts = prop::collection::vec(prop::option::of(0..4_u32), 20);
    (tasks, limits, starts).prop_map(|(tasks, limits, starts)| {
        let mut queues: BTreeMap<Lane, Vec<Waiting>> = BTreeMap::new();
        for (number, (lane, minute)) in tasks.into_iter().enumerate() {
            queues.entry(lane).or_default().push(waiting(number as i64 + 1, minute));
        }
        let mut snapshot = Snapshot::default();
        for (lane, mut waiting) in queues {
            waiting.sort();
            for key in lane.keys() {
                let pick = match key {
                    LimitKey::Org(id) => id.get(),
                    LimitKey::Dag(id) => id.get() % 10 + 3 + 3 * lane.org.get(),
                    LimitKey::Job(id) => id.get() % 10 + 10 + 4 * (lane.org.get() - 1),
                };
                snapshot.limits.insert(key, limits[pick as usize % 20]);
            }
            if let Some(job) = lane.job
                && let Some(count) = starts[job.get() as usize % 20]
            {
                snapshot.starts.insert(job, count);
            }
            snapshot.queues.push(Queue { lane, waiting });
        }
        snapshot
    })
}

/// The rule as one would say it: everybody in one line by rank, whoever has room under all limits goes.
fn by_the_rule(snapshot: &Snapshot) -> Vec<TaskId> {
    let mut counts = snapshot.limits.clone();
    let mut starts = snapshot.starts.clone();
    let queues = snapshot.queues.iter();
    let mut line: Vec<(Waiting, Lane)> =
        queues.flat_map(|queue| queue.waiting.iter().map(|waiting| (*waiting, queue.lane))).collect();
    line.sort();
    let mut gone = Vec::new();
    for (waiting, lane) in line {
        let has_room = lane.keys().all(|key| {
            let limit = counts[&key];
            limit.max.is_none_or(|max| limit.in_use < max)
        });
        let may_start = lane.job.and_then(|job| starts.get(&job)).is_none_or(|left| *left > 0);
        if has_room && may_start {
            for key in lane.keys() {
                counts.get_mut(&key).unwrap().in_use += 1;
            }
            if let Some(left) = lane.job.and_then(|job| starts.get_mut(&job)) {
                *left -= 1;
            }
            gone.push(waiting.task);
        }
    }
    gone
}

fn tasks(admitted: &[Admitted]) -> Vec<TaskId> {
    admitted.iter().map(|one| one.waiting().task).collect()
}

proptest! {
    #[test]
    fn the_decision_is_the_rule(snapshot in any_snapshot()) {
        let expected = by_the_rule(&snapshot);
        prop_assert_eq!(tasks(&admit(snapshot)), expected);
    }

    #[test]
    fn no_limit_is_passed_and_nothing_idles(snapshot in any_snapshot()) {
        let admitted = admit(snapshot.clone());
        let mut after = snapshot.clone();
        for one in &admitted {
            for key in one.lane().keys() {
                after.limits.get_mut(&key).unwrap().in_use += 1;
            }
            if let Some(left) = one.lane().job.and_then(|job| after.starts.get_mut(&job)) {
                prop_assert!(*left > 0, "a rate was passed");
                *left -= 1;
            }
        }
        for (key, limit) in &after.limits {
            let before = snapshot.limits[key];
            let most = limit.max.map_or(u32::MAX, |max| max.max(before.in_use));
            prop_assert!(limit.in_use <= most, "{key:?} was passed");
        }
        let gone: BTreeSet<TaskId> = tasks(&admitted).into_iter().collect();
        for queue in &snapshot.queues {
            let idle = queue.waiting.iter().any(|waiting| !gone.contains(&waiting.task));
            prop_assert!(!idle || after.room(&queue.lane) == Some(0), "{:?} could go on", queue.lane);
        }
    }

    /// Looking at no more of each lane than it has room for decides the same.
    #[test]
    fn the_heads_of_lanes_are_enough(snapshot in any_snapshot()) {
        let mut heads = snapshot.clone();
        for queue in &mut heads.queues {
            if let Some(room) = snapshot.room(&queue.lane) {
                queue.waiting.truncate(room as usize);
            }
        }
        prop_assert_eq!(admit(heads), admit(snapshot));
    }

    /// One slot, a task a minute of any priority, and one that ends each minute: whoever comes waits for
    /// those of a better rank and for nobody else, and so for a bounded time.
    #[test]
    fn nobody_starves(priorities in prop::collection::vec(-100..=100_i16, 1..400)) {
        let line = lane(1, 1, 0);
        let mut held: BTreeSet<Waiting> = BTreeSet::new();
        let mut came: BTreeMap<TaskId, (i64, DateTime<Utc>)> = BTreeMap::new();
        let count = priorities.len() as i64;
        for minute in 0..2 * count {
            if let Some(priority) = priorities.get(minute as usize) {
                let one = Waiting { rank: rank(at(minute), *priority), task: task_id(minute + 1) };
                came.insert(one.task, (minute, one.rank));
                held.insert(one);
            }
            let mut snapshot = Snapshot::default();
            snapshot.limits.insert(LimitKey::Dag(line.dag.unwrap()), Limit { max: Some(1), in_use: 0 });
            snapshot.queues.push(Queue { lane: line, waiting: held.iter().copied().collect() });
            for one in admit(snapshot) {
                let waiting = *one.waiting();
                prop_assert_eq!(held.first(), Some(&waiting), "the best rank goes");
                held.remove(&waiting);
                let (since, rank) = came[&waiting.task];
                let before = came.values().filter(|(_, other)| *other < rank).count() as i64;
                prop_assert!(minute - since <= before, "it waited for somebody behind it");
                prop_assert!(minute - since <= 400, "200 points are 200 minutes, and as many may be before it");
            }
        }
        prop_assert!(held.is_empty());
    }
}

#[test]
fn priority_is_worth_minutes_and_the_order_never_changes() {
    let old = rank(at(0), 0);
    assert!(rank(at(99), 100) < old, "a hundred points make up for 99 minutes");
    assert!(rank(at(101), 100) > old, "and not for 101");
    assert!(rank(at(0), -1) > old);
}

#[test]
fn a_full_job_does_not_hold_up_the_others_of_its_dag() {
    let (full, free) = (lane(1, 1, 1), lane(1, 1, 2));
    let mut snapshot = Snapshot::default();
    snapshot.limits.insert(LimitKey::Dag(DagId::from_db(1)), Limit { max: Some(3), in_use: 1 });
    snapshot.limits.insert(LimitKey::Job(DatasetId::from_db(1)), Limit { max: Some(1), in_use: 1 });
    snapshot.queues.push(Queue { lane: full, waiting: (1..=9).map(|n| waiting(n, 0)).collect() });
    snapshot.queues.push(Queue { lane: free, waiting: (10..=19).map(|n| waiting(n, 30)).collect() });
    let gone: Vec<i64> = admit(snapshot).iter().map(|one| i64::from(one.waiting().task.ordinal())).collect();
    assert_eq!(gone, [10, 11]);
}

#[test]
fn a_limit_that_was_lowered_below_what_runs_admits_nobody() {
    let mut snapshot = Snapshot::default();
    snapshot.limits.insert(LimitKey::Org(OrgId::from_db(1)), Limit { max: Some(2), in_use: 5 });
    snapshot.queues.push(Queue { lane: lane(1, 0, 0), waiting: vec![waiting(1, 0)] });
    assert!(admit(snapshot).is_empty());
}
