//! Sandboxes that are prepared ahead: a few of each key that was asked for before, and none of any other.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{plan::Key, spare::Spare};

/// Sandboxes that wait. Closed before it is dropped, and what it held is buried.
pub(super) struct Pool {
    /// As many of each key are kept.
    target: usize,
    state: Mutex<State>,
}

/// What waits, by key; keys are few, because the ports of a launcher are always the same.
struct State {
    is_open: bool,
    shelves: HashMap<Key, Shelf>,
}

#[derive(Default)]
struct Shelf {
    waiting: VecDeque<Spare>,
    /// That were asked for, and are being prepared.
    coming: usize,
}

/// More of one key never wait, whoever asks for them.
const MOST: usize = 16;

impl Pool {
    /// Keeps so many of each key, at most 16.
    pub(super) fn new(target: usize) -> Self {
        let state = State { is_open: true, shelves: HashMap::new() };
        Self { target: target.min(MOST), state: Mutex::new(state) }
    }

    /// Takes the one that has waited longest. Those that have died meanwhile come with it, to be buried.
    pub(super) fn take(&self, key: &Key) -> (Option<Spare>, Vec<Spare>) {
        let mut dead = Vec::new();
        let mut state = self.lock();
        let Some(shelf) = state.shelves.get_mut(key) else { return (None, dead) };
        while let Some(spare) = shelf.waiting.pop_front() {
            if spare.is_alive() {
                return (Some(spare), dead);
            }
            dead.push(spare);
        }
        (None, dead)
    }

    /// How many are to be prepared now. Each must [`Self::arrive`], or not.
    pub(super) fn call_for(&self, key: &Key) -> usize {
        let mut state = self.lock();
        if !state.is_open || self.target == 0 {
            return 0;
        }
        let shelf = state.shelves.entry(key.clone()).or_default();
        let missing = self.target.saturating_sub(shelf.waiting.len() + shelf.coming);
        shelf.coming += missing;
        missing
    }

    /// One that was called for is there, or could not be prepared. Comes back when there is no place for it.
    #[must_use]
    pub(super) fn arrive(&self, key: &Key, spare: Option<Spare>) -> Option<Spare> {
        {
            let mut state = self.lock();
            if let Some(shelf) = state.shelves.get_mut(key) {
                shelf.coming = shelf.coming.saturating_sub(1);
            }
        }
        spare.and_then(|spare| self.put(key, spare))
    }

    /// Puts one in. Comes back when there is no place for it.
    #[must_use]
    pub(super) fn put(&self, key: &Key, spare: Spare) -> Option<Spare> {
        let mut state = self.lock();
        let is_open = state.is_open;
        let shelf = state.shelves.entry(key.clone()).or_default();
        if !is_open || shelf.waiting.len() >= MOST {
            return Some(spare);
        }
        shelf.waiting.push_back(spare);
        None
    }

    /// Whether anybody will take anything out of it.
    pub(super) fn is_open(&self) -> bool {
        self.lock().is_open
    }

    /// Takes everything out and nothing in any more.
    pub(super) fn close(&self) -> Vec<Spare> {
        let mut state = self.lock();
        state.is_open = false;
        state.shelves.drain().flat_map(|(_, shelf)| shelf.waiting).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
