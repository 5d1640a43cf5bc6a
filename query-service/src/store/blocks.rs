//! Bytes that were read from objects, kept for the next queries of the same engine.
//!
//! This is no way to data. Blocks are named by content (an object's path is a hash of its bucket,
//! key, ETag and size) and are looked up by [`GrantedStore`](super::GrantedStore) alone, for objects of
//! the query's own catalog, which holds what the service has just found granted. A query whose catalog
//! lacks an object can't name its blocks, whoever read them before; and an engine serves one org only.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use object_store::path::Path;

/// When the room is used up, this part of it is freed at once, oldest first.
const FREED_AT_ONCE: u64 = 4;

/// A bounded memory of blocks.
#[derive(Debug)]
pub(crate) struct Blocks {
    room_bytes: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By object, then by first byte. No block lies within another.
    objects: HashMap<Path, BTreeMap<u64, Block>>,
    held_bytes: u64,
    /// Counts uses, so that the blocks that were used last are known.
    clock: u64,
}

#[derive(Debug)]
struct Block {
    bytes: Bytes,
    used_at: u64,
}

impl Block {
    fn length(&self) -> u64 {
        self.bytes.len() as u64
    }
}

impl Blocks {
    /// Holds at most `room_bytes`.
    pub(crate) fn new(room_bytes: u64) -> Self {
        Self { room_bytes, state: Mutex::default() }
    }

    /// The bytes of `range`, where one block has them all. Not copied.
    pub(super) fn get(&self, object: &Path, range: &Range<u64>) -> Option<Bytes> {
        let mut state = self.state();
        state.clock += 1;
        let clock = state.clock;
        let (first, block) = state.objects.get_mut(object)?.range_mut(..=range.start).next_back()?;
        if first + block.length() < range.end {
            return None;
        }
        block.used_at = clock;
        Some(block.bytes.slice((range.start - first) as usize..(range.end - first) as usize))
    }

    /// Keeps `bytes`, which begin at `first`.
    pub(super) fn put(&self, object: &Path, first: u64, bytes: &Bytes) {
        let length = bytes.len() as u64;
        if length == 0 || length > self.room_bytes / FREED_AT_ONCE {
            return;
        }
        let mut state = self.state();
        state.clock += 1;
        let block = Block { bytes: bytes.clone(), used_at: state.clock };
        state.insert(object, first, block);
        if state.held_bytes > self.room_bytes {
            state.free(self.room_bytes - self.room_bytes / FREED_AT_ONCE);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Adds a block in the place of those that lie within it.
    fn insert(&mut self, object: &Path, first: u64, block: Block) {
        let end = first + block.length();
        let blocks = self.objects.entry(object.clone()).or_default();
        let within: Vec<u64> = blocks
            .range(first..end)
            .filter(|(start, old)| *start + old.length() <= end)
            .map(|(start, _)| *start)
            .collect();
        let replaced: u64 =
            within.iter().filter_map(|start| blocks.remove(start)).map(|old| old.length()).sum();
        self.held_bytes = self.held_bytes - replaced + block.length();
        // One that begins here and is longer came in between, from another reader.
        if let Some(old) = blocks.insert(first, block) {
            self.held_bytes -= old.length();
        }
    }

    /// Forgets the blocks that were not used for the longest time, until `left_bytes` are held.
    fn free(&mut self, left_bytes: u64) {
        let ages = self.objects.iter().flat_map(|(object, blocks)| {
            blocks.iter().map(move |(first, block)| (block.used_at, object.clone(), *first))
        });
        let mut ages: Vec<_> = ages.collect();
        ages.sort_unstable_by_key(|(used_at, ..)| *used_at);
        for (_, object, first) in ages {
            if self.held_bytes <= left_bytes {
                break;
            }
            if let Some(block) = self.objects.get_mut(&object).and_then(|blocks| blocks.remove(&first)) {
                self.held_bytes -= block.length();
            }
        }
        self.objects.retain(|_, blocks| !blocks.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(range: Range<u64>) -> Bytes {
        range.map(|byte| byte as u8).collect::<Vec<u8>>().into()
    }

    fn held(blocks: &Blocks) -> u64 {
        let state = blocks.state();
        let counted: u64 = state.objects.values().flat_map(BTreeMap::values).map(Block::length).sum();
        assert_eq!(counted, state.held_bytes, "what is counted is what is held");
        counted
    }

    #[test]
    fn a_range_within_a_block_is_found() {
        let (blocks, object) = (Blocks::new(1000), Path::from("a"));
        blocks.put(&object, 10, &bytes(10..40));
        assert_eq!(blocks.get(&object, &(10..40)).unwrap(), bytes(10..40));
        assert_eq!(blocks.get(&object, &(20..30)).unwrap(), bytes(20..30));
        assert_eq!(blocks.get(&object, &(5..20)), None);
        assert_eq!(blocks.get(&object, &(30..41)), None);
        assert_eq!(blocks.get(&Path::from("b"), &(20..30)), None, "another object has other bytes");
    }

    #[test]
    fn a_larger_block_takes_the_place_of_those_within_it() {
        let (blocks, object) = (Blocks::new(1000), Path::from("a"));
        blocks.put(&object, 20, &bytes(20..30));
        blocks.put(&object, 35, &bytes(35..40));
        blocks.put(&object, 10, &bytes(10..40));
        assert_eq!(held(&blocks), 30);
        assert_eq!(blocks.get(&object, &(25..38)).unwrap(), bytes(25..38));
        blocks.put(&object, 10, &bytes(10..60));
        assert_eq!(held(&blocks), 50);
    }

    #[test]
    fn what_was_used_last_stays_when_room_is_made() {
        let (blocks, object) = (Blocks::new(100), Path::from("a"));
        for first in [0, 100, 200, 300] {
            blocks.put(&object, first, &bytes(0..25));
        }
        assert!(blocks.get(&object, &(0..25)).is_some());
        blocks.put(&object, 400, &bytes(0..25));
        assert_eq!(held(&blocks), 75);
        assert!(blocks.get(&object, &(0..25)).is_some() && blocks.get(&object, &(400..425)).is_some());
        assert!(blocks.get(&object, &(100..125)).is_none());
        blocks.put(&object, 500, &bytes(0..26));
        assert!(blocks.get(&object, &(500..526)).is_none(), "what would push out too much is not kept");
    }
}
