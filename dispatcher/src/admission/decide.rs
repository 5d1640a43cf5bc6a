//! The decision.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
};

use trace_contracts::DatasetId;

use super::{Lane, LimitKey, Waiting};

/// A limit and what is counted under it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limit {
    /// At most this many tasks ready or running; any number when absent.
    pub max: Option<u32>,
    /// This many are.
    pub in_use: u32,
}

impl Limit {
    /// How many more there may be; absent: any number. A limit that was lowered may be exceeded for a
    /// while, and has no room then.
    const fn room(&self) -> Option<u32> {
        match self.max {
            Some(max) => Some(max.saturating_sub(self.in_use)),
            None => None,
        }
    }
}

/// The tasks of one lane that may be next, in their order. The list may stop early, but not before as
/// many as the [room](Snapshot::room) of the lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    /// What they are under.
    pub lane: Lane,
    /// The tasks.
    pub waiting: Vec<Waiting>,
}

/// What a decision is made from.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Limits by what they count. One that is not in here allows everything.
    pub limits: BTreeMap<LimitKey, Limit>,
    /// Starts that the rates of jobs allow now. A job that is not in here has no rate.
    pub starts: BTreeMap<DatasetId, u32>,
    /// Who waits.
    pub queues: Vec<Queue>,
}

/// A task that may become ready. Only [`admit`] makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admitted {
    lane: Lane,
    waiting: Waiting,
}

impl Admitted {
    /// What it counts under from now on.
    #[must_use]
    pub const fn lane(&self) -> &Lane {
        &self.lane
    }

    /// The task.
    #[must_use]
    pub const fn waiting(&self) -> &Waiting {
        &self.waiting
    }
}

impl Snapshot {
    /// How many more tasks of a lane could go if no other lane had any; absent: any number.
    #[must_use]
    pub fn room(&self, lane: &Lane) -> Option<u32> {
        let limits = lane.keys().filter_map(|key| self.limits.get(&key)?.room());
        let starts = lane.job.and_then(|job| self.starts.get(&job).copied());
        limits.chain(starts).min()
    }

    fn take(&mut self, lane: &Lane) {
        for key in lane.keys() {
            self.limits.entry(key).or_default().in_use += 1;
        }
        if let Some(starts) = lane.job.and_then(|job| self.starts.get_mut(&job)) {
            *starts -= 1;
        }
    }
}

/// Admits in the order of ranks whatever has room under all its limits. A lane without room is left
/// out, so that what waits behind another limit goes on.
#[must_use]
pub fn admit(mut snapshot: Snapshot) -> Vec<Admitted> {
    let queues = std::mem::take(&mut snapshot.queues);
    let head =
        |queue: usize, at: usize| queues[queue].waiting.get(at).map(|waiting| Reverse((*waiting, queue, at)));
    let mut heads: BinaryHeap<_> = (0..queues.len()).filter_map(|queue| head(queue, 0)).collect();
    let mut admitted = Vec::new();
    while let Some(Reverse((waiting, queue, at))) = heads.pop() {
        let lane = queues[queue].lane;
        // Room only shrinks in here, so that a lane without any is done.
        if snapshot.room(&lane) != Some(0) {
            snapshot.take(&lane);
            admitted.push(Admitted { lane, waiting });
            heads.extend(head(queue, at + 1));
        }
    }
    admitted
}
