//! The hashes of manifests that this dispatcher committed a moment ago: whoever claims what they made
//! ready needs them at once, and a commit never changes.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use trace_contracts::{Sha256, TaskId};

/// Remembered in each of two generations at most.
const GENERATION: usize = 50_000;

/// Remembers the last commits. What it does not know is in the database.
#[derive(Debug, Default)]
pub struct RecentCommits(Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<TaskId, Sha256>,
    old: HashMap<TaskId, Sha256>,
}

impl RecentCommits {
    /// Remembers tasks that are committed; only to be called once their transaction is.
    pub fn add(&self, committed: impl IntoIterator<Item = (TaskId, Sha256)>) {
        let mut generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if generations.young.len() >= GENERATION {
            generations.old = std::mem::take(&mut generations.young);
        }
        generations.young.extend(committed);
    }

    /// The manifest's hash of a task that was committed a moment ago.
    #[must_use]
    pub fn get(&self, task: TaskId) -> Option<Sha256> {
        let generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        generations.young.get(&task).or_else(|| generations.old.get(&task)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_commits_are_known_and_the_memory_is_bounded() {
        let recent = RecentCommits::default();
        let hash = Sha256::of(b"manifest");
        let task = |number: usize| TaskId::from_db(i64::try_from(number).unwrap());
        for number in 1..=3 * GENERATION {
            recent.add([(task(number), hash)]);
        }
        assert_eq!(recent.get(task(1)), None);
        assert!((2 * GENERATION..=3 * GENERATION).all(|number| recent.get(task(number)) == Some(hash)));
        let generations = recent.0.lock().unwrap();
        assert!(generations.young.len() <= GENERATION && generations.old.len() <= GENERATION);
    }
}
