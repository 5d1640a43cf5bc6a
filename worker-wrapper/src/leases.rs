//! The leases that this wrapper holds, and keeping them.
//!
//! One request extends all of them. A lease also has a deadline here, by this machine's monotonic
//! clock: counted from before the request that extended it, so that it is never later than the
//! dispatcher's. Past it the attempt is killed without asking anybody, because by then another worker
//! may run the task.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep_until, timeout_at},
};
use trace_contracts::{
    AttemptId,
    wire::{
        limit::BATCH_ITEMS,
        worker::{Fence, HeartbeatRequest, HeartbeatVerdict, Lease},
    },
};

use crate::dispatcher::{Dispatcher, Error};

/// A lease shorter than this could not be kept; it would only make the loop spin.
const SHORTEST: Duration = Duration::from_millis(50);

/// How a lease stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Holds until then.
    Until(Instant),
    /// The dispatcher says that it is over.
    Stale,
}

/// Why an attempt lost its lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// The dispatcher said so: expired, cancelled, completed or superseded.
    Stale,
    /// It could not be extended in time.
    Expired,
}

/// All leases held by this wrapper.
#[derive(Debug, Default)]
pub struct Leases {
    held: Mutex<HashMap<AttemptId, Entry>>,
    changed: Notify,
}

#[derive(Debug)]
struct Entry {
    fence: Fence,
    length: Duration,
    beat_at: Instant,
    standing: watch::Sender<Standing>,
}

/// One lease, extended until this is dropped.
#[derive(Debug)]
pub struct Held {
    leases: Arc<Leases>,
    fence: Fence,
    standing: watch::Receiver<Standing>,
}

impl Leases {
    /// Takes charge of a lease that was granted at some time since `asked_at`; `None` when it is held
    /// already, as a repeated answer grants nothing new.
    ///
    /// A claim may wait long for a task, and its answer may be read late, by a process that was paused.
    /// So a lease that was not asked for just now is extended at once, and must be within a third of its
    /// length: one that is over by then is told so before much runs under it.
    #[must_use]
    pub fn hold(self: &Arc<Self>, lease: &Lease, asked_at: Instant) -> Option<Held> {
        let fence = Fence { task: lease.launch.task, attempt: lease.attempt, lease_token: lease.lease_token };
        let length = Duration::from_millis(lease.lease_ms).max(SHORTEST);
        let now = Instant::now();
        let deadline = (asked_at + length).max(now + length / 3);
        let (sender, standing) = watch::channel(Standing::Until(deadline));
        let entry = Entry { fence, length, beat_at: asked_at + length / 3, standing: sender };
        let mut held = self.held();
        if held.contains_key(&lease.attempt) {
            return None;
        }
        held.insert(lease.attempt, entry);
        drop(held);
        self.changed.notify_one();
        Some(Held { leases: Arc::clone(self), fence, standing })
    }

    /// Extends leases at a third of their length. Never ends.
    pub async fn keep(&self, dispatcher: &Dispatcher) {
        loop {
            let next = self.next_beat();
            let due = async {
                match next {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.changed.notified() => continue,
                () = due => {}
            }
            let (fences, third) = self.all();
            for batch in fences.chunks(BATCH_ITEMS) {
                self.beat(dispatcher, batch, third).await;
            }
        }
    }

    async fn beat(&self, dispatcher: &Dispatcher, fences: &[Fence], third: Duration) {
        let sent_at = Instant::now();
        let request = HeartbeatRequest { leases: fences.to_vec() };
        match dispatcher.heartbeat(&request, third).await {
            Ok(reply) => self.settle(fences, &reply.verdicts, sent_at),
            Err(error) => self.try_again_soon(fences, third, &error),
        }
    }

    fn settle(&self, fences: &[Fence], verdicts: &[HeartbeatVerdict], sent_at: Instant) {
        let mut held = self.held();
        for (fence, verdict) in fences.iter().zip(verdicts) {
            let Some(entry) = held.get_mut(&fence.attempt) else { continue };
            entry.beat_at = sent_at + entry.length / 3;
            entry.standing.send_replace(match verdict {
                HeartbeatVerdict::Extended { .. } => Standing::Until(sent_at + entry.length),
                HeartbeatVerdict::Stale => Standing::Stale,
            });
        }
        held.retain(|_, entry| *entry.standing.borrow() != Standing::Stale);
    }

    fn try_again_soon(&self, fences: &[Fence], third: Duration, error: &Error) {
        tracing::warn!(%error, leases = fences.len(), "heartbeats have no answer; asking again");
        let mut held = self.held();
        for fence in fences {
            if let Some(entry) = held.get_mut(&fence.attempt) {
                entry.beat_at = Instant::now() + third / 4;
            }
        }
    }

    fn next_beat(&self) -> Option<Instant> {
        self.held().values().map(|entry| entry.beat_at).min()
    }

    /// Every fence, and a third of the shortest lease.
    fn all(&self) -> (Vec<Fence>, Duration) {
        let held = self.held();
        let third = held.values().map(|entry| entry.length / 3).min().unwrap_or_default();
        (held.values().map(|entry| entry.fence).collect(), third)
    }

    fn held(&self) -> MutexGuard<'_, HashMap<AttemptId, Entry>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// The lease, as the dispatcher knows it.
    #[must_use]
    pub const fn fence(&self) -> Fence {
        self.fence
    }

    /// Waits until the lease is lost.
    pub async fn lost(&self) -> Lost {
        let mut standing = self.standing.clone();
        loop {
            let now = *standing.borrow_and_update();
            match now {
                Standing::Stale => return Lost::Stale,
                Standing::Until(deadline) => match timeout_at(deadline, standing.changed()).await {
                    Ok(Ok(())) => {}
                    // Nobody extends it any more: what was last said holds until its end.
                    Ok(Err(_)) if *standing.borrow() == Standing::Stale => return Lost::Stale,
                    Ok(Err(_)) => {
                        sleep_until(deadline).await;
                        return Lost::Expired;
                    }
                    Err(_elapsed) => return Lost::Expired,
                },
            }
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.leases.held().remove(&self.fence.attempt);
    }
}
