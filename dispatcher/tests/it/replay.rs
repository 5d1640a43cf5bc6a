//! What this dispatcher commits is what the model allows: its whole log is replayed. And the replay
//! is worth something: a log with one transaction missing, repeated or changed is refused.

use futures::future::join_all;
use sqlx::{Connection, PgConnection};
use trace_contracts::{
    RunId,
    wire::worker::{ClaimRequest, FailureReason},
};
use trace_dispatcher::{
    config::Limits,
    dag::spec::Source,
    task::{cancel::cancel_run, retry::retry_task},
};
use trace_model::{
    id::{Run, Token},
    judge::Settings,
    replay::{Error, Reader, Replay, Report, create_slot, drop_slot, replay_slot},
    row::{Change, Outcome, Registered, Row, Transaction},
};

use crate::support::{
    Platform,
    dags::{job, partitioned, reading, retrying, spec},
    platform::Options,
    postgres::fresh_database,
    wire::{claiming, failed, fence, succeeded},
};

const SETTINGS: Settings = Settings { max_losses: Some(16), clock: trace_model::judge::Clock::Steady };

/// A platform on a database whose log is kept from the first transaction on.
struct Logged {
    platform: Platform,
    slot: String,
}

impl Logged {
    async fn start(limits: Limits) -> Self {
        let url = fresh_database().await;
        // Slots belong to the whole server, databases to a test: the one's name serves for the other.
        let slot = url.split('?').next().unwrap().rsplit('/').next().unwrap().to_owned();
        create_slot(&url, &slot).await.unwrap();
        let options = Options { limits, database: Some(url), ..Options::default() };
        Self { platform: Platform::with(options).await, slot }
    }

    async fn replay(self) -> Report {
        let report = replay_slot(&self.platform.url, &self.slot, SETTINGS).await;
        drop_slot(&self.platform.url, &self.slot).await.unwrap();
        report.unwrap_or_else(|error| panic!("{error}"))
    }

    /// The log, taken apart.
    async fn transactions(self) -> Vec<Transaction> {
        let mut conn = PgConnection::connect(&self.platform.url).await.unwrap();
        let sql = "select data from pg_logical_slot_get_changes($1, null, null, 'include-timestamp', '1')";
        let lines: Vec<String> = sqlx::query_scalar(sql).bind(&self.slot).fetch_all(&mut conn).await.unwrap();
        drop_slot(&self.platform.url, &self.slot).await.unwrap();
        let mut reader = Reader::default();
        let read = lines.iter().filter_map(|line| reader.line(line).unwrap());
        read.filter(|tx| !tx.changes.is_empty()).collect()
    }
}

fn replayed(transactions: Vec<Transaction>) -> Result<Report, Error> {
    let mut replay = Replay::new(SETTINGS);
    transactions.into_iter().try_for_each(|tx| replay.transaction(tx))?;
    replay.finish()
}

async fn cancel(platform: &Platform, run: RunId) {
    let mut tx = platform.db.begin().await.unwrap();
    cancel_run(&mut tx, &platform.app.core, platform.org, run).await.unwrap();
    tx.commit().await.unwrap();
}

/// One of everything: a failure and a retry, a lease that ran out, a claim that is asked again, a
/// heartbeat, a run that is cancelled, a dead task that is brought back, an older run that ends later.
async fn one_of_everything(platform: &Platform) {
    let after = reading(job("b"), "a", Source::WholeJob { job: 0 });
    let mut main = spec("main", vec![retrying(partitioned(job("a"), 3), 2, 1), after]);
    main.publish.insert("flights".parse().unwrap(), 1);
    let main = platform.deploy(main).await;

    let older = platform.start_run(&main).await;
    let asked = claiming(3);
    let leases = platform.claim_as(&asked).await;
    assert_eq!(platform.claim_as(&asked).await.len(), 3, "asked again");
    platform.heartbeat(leases.iter().map(fence).collect()).await;
    platform.complete_one(failed(&leases[0], FailureReason::Exit)).await;
    platform.complete(leases[1..].iter().map(succeeded).collect()).await;
    // The delayed task comes back by itself.
    let again = platform.claim_as(&ClaimRequest { wait_ms: 20_000, ..claiming(1) }).await.remove(0);
    sqlx::query("update leases set expires_at = now()").execute(&platform.db).await.unwrap();
    platform.app.signals.tell_later();
    let third = platform.claim_as(&ClaimRequest { wait_ms: 20_000, ..claiming(1) }).await.remove(0);
    assert_eq!(third.launch.task, again.launch.task);
    platform.complete(vec![succeeded(&again), succeeded(&third)]).await;
    let last_of_older = platform.claim_one().await;

    let newer = platform.start_run(&main).await;
    assert_eq!(platform.work_off().await, 4);
    assert_eq!(platform.state_of(newer).await, "succeeded");
    platform.complete_one(succeeded(&last_of_older)).await;
    assert_eq!(platform.state_of(older).await, "succeeded");

    let cancelled = platform.start_run(&main).await;
    let leases = platform.claim(2).await;
    cancel(platform, cancelled).await;
    platform.complete(leases.iter().map(succeeded).collect()).await;

    let run = platform.run(spec("dies", vec![retrying(job("a"), 0, 0)])).await;
    let lease = platform.claim_one().await;
    platform.complete_one(failed(&lease, FailureReason::Memory)).await;
    assert_eq!(platform.state_of(run).await, "failed");
    let mut tx = platform.db.begin().await.unwrap();
    retry_task(&mut tx, &platform.app.core, platform.org, lease.launch.task).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(platform.work_off().await, 1);
}

#[tokio::test]
async fn what_a_dispatcher_commits_is_allowed() {
    let logged = Logged::start(Limits::default()).await;
    one_of_everything(&logged.platform).await;
    logged.platform.assert_consistent().await;
    let commits = logged.platform.count("select count(*) from commits").await;
    let report = logged.replay().await;
    assert_eq!(report.commits, u64::try_from(commits).unwrap());
    let Report { runs, commits, retried, reaped, due, dead, cancelled, revived, cut_overs, .. } = report;
    assert_eq!((runs, commits, retried, reaped, due), (4, 9, 2, 1, 1));
    assert_eq!((dead, cancelled, revived, cut_overs), (1, 3, 1, 1));
    assert_eq!((report.open, report.running), (0, 0));
}

#[tokio::test]
async fn what_two_dispatchers_commit_at_once_is_allowed() {
    let logged = Logged::start(Limits::default()).await;
    let one = &logged.platform;
    let mut two = one.beside().await;
    two.worker = one.worker.clone();
    let other = &two;
    let wide = reading(partitioned(job("b"), 40), "a", Source::SamePartition { job: 0 });
    let all = reading(job("c"), "b", Source::WholeJob { job: 1 });
    let deployed = one.deploy(spec("d", vec![partitioned(job("a"), 40), wide, all])).await;
    let (left, right) = tokio::join!(one.start_run(&deployed), two.start_run(&deployed));
    let runs = [left, right];
    for run in runs {
        while one.state_of(run).await == "running" {
            let busy = (0..6).map(|n| async move {
                let platform = if n % 2 == 0 { one } else { other };
                let leases = platform.claim(5).await;
                join_all(leases.iter().map(|lease| platform.complete_one(succeeded(lease)))).await;
            });
            join_all(busy).await;
        }
    }
    let report = logged.replay().await;
    assert_eq!((report.runs, report.commits, report.open), (2, 162, 0));
}

/// Whether a transaction does nothing but give leases more time, which later ones may not need.
fn only_extends(tx: &Transaction) -> bool {
    tx.changes.iter().all(|change| matches!(change, Change::Update(Row::Lease(..))))
}

#[tokio::test]
async fn a_log_with_one_transaction_missing_repeated_or_moved_is_refused() {
    let logged = Logged::start(Limits::default()).await;
    one_of_everything(&logged.platform).await;
    let log = logged.transactions().await;
    let whole = replayed(log.clone()).unwrap();
    let mut unnoticed = Vec::new();
    for (n, tx) in log.iter().enumerate().filter(|(_, tx)| !only_extends(tx)) {
        let mut without = log.clone();
        without.remove(n);
        // The end of a log can be missing and leave a log that is right as far as it goes.
        if replayed(without).is_ok_and(|report| report.open == 0 && report.running == 0) {
            unnoticed.push(("missing", n, tx));
        }
        let mut twice = log.clone();
        twice.insert(n, tx.clone());
        if replayed(twice).is_ok() {
            unnoticed.push(("repeated", n, tx));
        }
    }
    assert!(unnoticed.is_empty(), "{unnoticed:#?}");
    assert!(whole.transactions > 25, "{whole:?}");

    // A claim before what it claims was planned.
    let planned = log.iter().position(|tx| has(tx, |row| matches!(row, Row::Run(..)))).unwrap();
    let claimed = log.iter().position(|tx| has(tx, |row| matches!(row, Row::Lease(..)))).unwrap();
    let mut moved = log.clone();
    moved.swap(planned, claimed);
    assert!(replayed(moved).is_err());
}

fn has(tx: &Transaction, wanted: impl Fn(&Row) -> bool) -> bool {
    tx.changes.iter().any(|change| match change {
        Change::Insert(row) | Change::Update(row) => wanted(row),
        Change::Delete(_) => false,
    })
}

/// Changes one row and says so, or leaves it alone.
type Mutation = (&'static str, fn(&mut Row) -> bool);

const MUTATIONS: &[Mutation] = &[
    ("another token", |row| match row {
        Row::Lease(_, lease) => {
            lease.fence.token = Token(7);
            true
        }
        _ => false,
    }),
    ("another worker's commit", |row| match row {
        Row::Commit(_, commit) => {
            commit.fence.worker.0 += 1;
            true
        }
        _ => false,
    }),
    ("another attempt's commit", |row| match row {
        Row::Commit(_, commit) => {
            commit.fence.attempt.0 += 1;
            true
        }
        _ => false,
    }),
    ("a commit after the lease's end", |row| match row {
        Row::Commit(_, commit) => {
            commit.committed_at.0 += 3_600_000_000;
            true
        }
        _ => false,
    }),
    ("a failure that is no failure", |row| match row {
        Row::Attempt(_, ended) if ended.outcome == Outcome::Failure => {
            ended.outcome = Outcome::Loss;
            true
        }
        _ => false,
    }),
    ("an open task too many", |row| match row {
        Row::Run(_, progress) => {
            progress.open += 1;
            true
        }
        _ => false,
    }),
    ("a run of another DAG", |row| match row {
        Row::Run(_, progress) => {
            progress.dag.0 += 77;
            true
        }
        _ => false,
    }),
    ("a try too many", |row| match row {
        Row::Ready(_, tries) | Row::Delayed(_, tries, _) => {
            tries.failures += 1;
            true
        }
        _ => false,
    }),
    ("a partition too many", |row| match row {
        Row::Version(_, filling) => {
            filling.done += 1;
            true
        }
        _ => false,
    }),
    ("a version of another run", |row| match row {
        Row::Dataset(_, Registered { current: Some(version), .. }) => {
            version.0 -= 1 << 20;
            true
        }
        _ => false,
    }),
    ("a claim that was given something else", |row| match row {
        Row::Claim(_, claimed) => {
            claimed.attempts[0].0 += 1000;
            true
        }
        _ => false,
    }),
];

#[tokio::test]
async fn a_log_with_one_row_changed_is_refused() {
    let logged = Logged::start(Limits::default()).await;
    one_of_everything(&logged.platform).await;
    let log = logged.transactions().await;
    replayed(log.clone()).unwrap();
    for (what, mutation) in MUTATIONS {
        let mut changed = 0;
        for n in 0..log.len() {
            for at in 0..log[n].changes.len() {
                let mut log = log.clone();
                let (Change::Insert(row) | Change::Update(row)) = &mut log[n].changes[at] else { continue };
                if !mutation(row) {
                    continue;
                }
                // A run is inserted with nothing open and updated at once: what it was in between
                // is nobody's business.
                let passing =
                    matches!(&log[n].changes[at], Change::Insert(Row::Run(run, _)) if updates(&log[n], *run));
                if passing {
                    continue;
                }
                changed += 1;
                let refused = replayed(log.clone()).err();
                assert!(refused.is_some(), "{what}: unnoticed in {:#?}", log[n]);
            }
        }
        assert!(changed > 0, "{what}: there is no such row");
    }
}

fn updates(tx: &Transaction, run: Run) -> bool {
    tx.changes.iter().any(|change| matches!(change, Change::Update(Row::Run(of, _)) if *of == run))
}
