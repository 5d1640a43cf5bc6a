//! The audit log's rows of the gateway, and how they get there.
//!
//! A decision is written before anything follows from it: nobody is answered and nothing is dialled while
//! its row is on the way. Figures of what was decided (bytes, time) follow in batches; while they can't be
//! written, nothing new is decided.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;
use trace_contracts::{
    Capability, ErrorCode,
    wire::{
        limit,
        plane::{Actor, AuditEntry, AuditVerdict, Plane},
    },
};
use trace_plane::{Backoff, PlaneClient, Refusal, Reply};

use crate::{budget::Usage, policy::Rule, services::Service};

/// Rows on their way at most.
const QUEUE: usize = 8_192;
/// A decision that is not written by then is not acted on.
const WRITTEN_WITHIN: Duration = Duration::from_secs(10);

/// Writes rows; cheap to clone. The last one that is dropped lets the writer end.
#[derive(Clone)]
pub(crate) struct Auditor {
    queue: mpsc::Sender<Row>,
    failing: Arc<AtomicBool>,
}

struct Row {
    entry: AuditEntry,
    /// Who waits for it to be written.
    written: Option<oneshot::Sender<Reply<()>>>,
}

/// What a row says beyond who and where.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    /// Absent where it was allowed.
    pub(crate) rule: Option<Rule>,
    /// What the name resolved to, or what was dialled.
    pub(crate) addresses: Vec<IpAddr>,
    /// Other figures.
    pub(crate) figures: Option<Figures>,
}

/// What a request or tunnel came to.
#[derive(Debug, Clone)]
pub(crate) struct Figures {
    pub(crate) up: u64,
    pub(crate) down: u64,
    pub(crate) took: Duration,
    /// How it ended, such as `closed`; for a request, the status.
    pub(crate) outcome: Value,
}

/// What is told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// A decision on a destination, before it is dialled.
    Connect,
    /// A tunnel that has ended.
    Tunnel,
    /// A request that was answered.
    Request,
}

impl Figures {
    pub(crate) fn of(usage: &Usage, since: Instant, outcome: Value) -> Self {
        Self { up: usage.up(), down: usage.down(), took: since.elapsed(), outcome }
    }
}

/// The row of an attempt.
pub(crate) fn entry(capability: &Capability, action: Action, object: String, facts: Facts) -> AuditEntry {
    let mut detail = json!({ "rule": facts.rule.map(Rule::as_str), "addresses": facts.addresses });
    if let Some(figures) = facts.figures {
        detail["bytes_up"] = figures.up.into();
        detail["bytes_down"] = figures.down.into();
        detail["ms"] = u64::try_from(figures.took.as_millis()).unwrap_or(u64::MAX).into();
        detail["outcome"] = figures.outcome;
    }
    AuditEntry {
        plane: Plane::Egress,
        org: capability.org(),
        actor: Actor::Attempt { task: capability.task(), attempt: capability.attempt() },
        action: action.as_str().to_owned(),
        object,
        verdict: if facts.rule.is_some() { AuditVerdict::Deny } else { AuditVerdict::Allow },
        detail,
        kid: Some(capability.kid().clone()),
    }
}

/// The row of a service of the platform, in the platform's own org.
pub(crate) fn of_service(
    service: &Service,
    action: &str,
    object: String,
    rule: Option<&'static str>,
    mut detail: Value,
) -> AuditEntry {
    detail["service"] = service.name().into();
    AuditEntry {
        plane: Plane::Egress,
        org: service.org(),
        actor: Actor::Platform,
        action: action.to_owned(),
        object,
        verdict: if rule.is_some() { AuditVerdict::Deny } else { AuditVerdict::Allow },
        detail,
        kid: None,
    }
}

impl Action {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "egress.connect",
            Self::Tunnel => "egress.tunnel",
            Self::Request => "egress.request",
        }
    }
}

impl Auditor {
    /// Starts the writer on `tasks`.
    pub(crate) fn start(planes: PlaneClient, tasks: &TaskTracker) -> Self {
        let (queue, rows) = mpsc::channel(QUEUE);
        let failing = Arc::new(AtomicBool::new(false));
        tasks.spawn(write(planes, rows, Arc::clone(&failing)));
        Self { queue, failing }
    }

    /// Writes a decision, and waits until it is written.
    ///
    /// # Errors
    /// `unavailable` when it can't be: then it must not be acted on.
    pub(crate) async fn decided(&self, entry: AuditEntry) -> Reply<()> {
        let (written, waiting) = oneshot::channel();
        let writing = async {
            self.queue.send(Row { entry, written: Some(written) }).await.map_err(|_| away())?;
            waiting.await.map_err(|_| away())?
        };
        tokio::time::timeout(WRITTEN_WITHIN, writing).await.map_err(|_| away())?
    }

    /// Writes what something came to, some time soon.
    pub(crate) fn came_to(&self, entry: AuditEntry) {
        if let Err(error) = self.queue.try_send(Row { entry, written: None }) {
            self.failing.store(true, Ordering::Relaxed);
            let entry = match &error {
                mpsc::error::TrySendError::Full(row) | mpsc::error::TrySendError::Closed(row) => &row.entry,
            };
            tracing::error!(?entry, "an audit row could not be queued, and is written here instead");
        }
    }

    /// Whether rows get through.
    ///
    /// # Errors
    /// `unavailable` while they don't.
    pub(crate) fn check(&self) -> Reply<()> {
        if self.failing.load(Ordering::Relaxed) { Err(away()) } else { Ok(()) }
    }
}

fn away() -> Refusal {
    Refusal::new(ErrorCode::Unavailable, "what happens here can't be audited right now; try again")
}

async fn write(planes: PlaneClient, mut rows: mpsc::Receiver<Row>, failing: Arc<AtomicBool>) {
    let mut batch = Vec::new();
    while rows.recv_many(&mut batch, limit::BATCH_ITEMS).await > 0 {
        let mut entries = Vec::with_capacity(batch.len());
        let mut waiting = Vec::new();
        for row in batch.drain(..) {
            entries.push(row.entry);
            waiting.extend(row.written);
        }
        write_batch(&planes, entries, waiting, &failing).await;
    }
}

/// Whoever waits is told of the first failure, and decides nothing; the rows are written even so, because
/// figures are among them.
async fn write_batch(
    planes: &PlaneClient,
    entries: Vec<AuditEntry>,
    mut waiting: Vec<oneshot::Sender<Reply<()>>>,
    failing: &AtomicBool,
) {
    let mut backoff = Backoff::default();
    loop {
        let outcome = planes.audit(entries.clone()).await;
        let again = outcome.as_ref().is_err_and(|refusal| refusal.code() != ErrorCode::BadRequest);
        failing.store(again, Ordering::Relaxed);
        for waits in waiting.drain(..) {
            // Who has gone meanwhile need not be told.
            let _ = waits.send(outcome.clone());
        }
        if !again {
            if outcome.is_err() {
                tracing::error!(?entries, "the dispatcher does not take these audit rows");
            }
            return;
        }
        backoff.pause().await;
    }
}
