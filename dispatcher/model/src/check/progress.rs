//! Progress: once faults stop, everything ends.
//!
//! `stateright` can look for states that never come (`eventually`), but says itself that it overlooks
//! them on cycles and where paths join, and this graph has both. So progress is checked in another
//! way, which has no such gap: walk through all states, then walk backwards from those in which
//! everything has ended, along steps that are neither faults nor a user's. A state that is not met
//! on the way back is one from which no schedule, however kind, ends everything: a trap. Where
//! there is none, every fair schedule without faults ends everything, because each of the finitely
//! many states on it has a way out.

use std::{
    collections::{HashMap, VecDeque},
    hash::{DefaultHasher, Hash, Hasher},
};

use stateright::Model;

use super::{Action, Platform, State};
use crate::row::RunState;

/// What was walked through.
#[derive(Debug)]
pub struct Walk {
    /// States that can be reached.
    pub states: usize,
    /// Of these, those in which everything has ended.
    pub ended: usize,
    /// The steps to a trap, if there is one.
    pub trap: Option<Vec<Action>>,
}

/// How a state was first reached, and by which kind steps it can be left.
struct Node {
    from: u32,
    nth: u32,
}

/// Walks through everything and looks for a trap.
///
/// # Panics
/// When there are more states than fit into memory by far.
#[must_use]
pub fn walk(platform: &Platform) -> Walk {
    let mut numbers: HashMap<u64, u32> = HashMap::new();
    let mut nodes: Vec<Node> = Vec::new();
    // Kind steps backwards: to which state, from which.
    let mut back: Vec<(u32, u32)> = Vec::new();
    let mut ended: Vec<u32> = Vec::new();
    let mut queue: VecDeque<(u32, State)> = VecDeque::new();
    let mut actions = Vec::new();
    let start = platform.start();
    numbers.insert(fingerprint(&start), 0);
    nodes.push(Node { from: 0, nth: 0 });
    queue.push_back((0, start));
    while let Some((number, state)) = queue.pop_front() {
        if has_ended(&state) {
            ended.push(number);
        }
        actions.clear();
        platform.actions(&state, &mut actions);
        for (nth, action) in actions.iter().enumerate() {
            let Some(next) = platform.next(&state, action) else { continue };
            let known = numbers.len();
            let to = *numbers.entry(fingerprint(&next)).or_insert_with(|| narrow(known));
            if narrow(known) == to {
                nodes.push(Node { from: number, nth: narrow(nth) });
                queue.push_back((to, next));
            }
            if !action.is_fault() && !action.is_a_users() {
                back.push((to, number));
            }
        }
    }
    let trap = first_trap(nodes.len(), back, &ended).map(|number| path_to(platform, &nodes, number));
    Walk { states: nodes.len(), ended: ended.len(), trap }
}

fn first_trap(states: usize, mut back: Vec<(u32, u32)>, ended: &[u32]) -> Option<u32> {
    back.sort_unstable();
    let mut can_end = vec![false; states];
    let mut open: Vec<u32> = ended.to_vec();
    for number in ended {
        can_end[*number as usize] = true;
    }
    while let Some(to) = open.pop() {
        let first = back.partition_point(|(of, _)| *of < to);
        for (_, from) in back[first..].iter().take_while(|(of, _)| *of == to) {
            if !std::mem::replace(&mut can_end[*from as usize], true) {
                open.push(*from);
            }
        }
    }
    can_end.iter().position(|can| !can).map(narrow)
}

fn path_to(platform: &Platform, nodes: &[Node], number: u32) -> Vec<Action> {
    let mut steps = Vec::new();
    let mut at = number;
    while at != 0 {
        steps.push(nodes[at as usize].nth);
        at = nodes[at as usize].from;
    }
    let mut state = platform.start();
    let mut path = Vec::with_capacity(steps.len());
    for nth in steps.into_iter().rev() {
        let mut actions = Vec::new();
        platform.actions(&state, &mut actions);
        let action = actions.swap_remove(nth as usize);
        if let Some(next) = platform.next(&state, &action) {
            state = next;
        }
        path.push(action);
    }
    path
}

/// Every run has ended, and nothing of it is left anywhere.
fn has_ended(state: &State) -> bool {
    let tables = &state.tables;
    let ended = tables.runs.values().all(|run| run.state != RunState::Running);
    ended && tables.leases.is_empty() && state.workers.iter().all(|one| one.holding.is_none())
}

fn fingerprint(state: &State) -> u64 {
    let mut hasher = DefaultHasher::new();
    state.hash(&mut hasher);
    hasher.finish()
}

fn narrow(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
