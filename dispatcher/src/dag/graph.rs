//! The order of jobs: every job after those it reads from.

use std::collections::{BTreeSet, HashMap};

/// Orders `0..upstream.len()` so that everything comes after its upstream ones, as close to the
/// given order as that allows.
///
/// # Errors
/// A cycle: each reads from the next, and the last from the first.
pub fn order(upstream: &[Vec<usize>]) -> Result<Vec<usize>, Vec<usize>> {
    let mut waiting: Vec<usize> = upstream.iter().map(|from| distinct(from).len()).collect();
    let mut downstream: Vec<Vec<usize>> = vec![Vec::new(); upstream.len()];
    for (job, from) in upstream.iter().enumerate() {
        for source in distinct(from) {
            downstream[source].push(job);
        }
    }
    let mut ready: BTreeSet<usize> = (0..upstream.len()).filter(|job| waiting[*job] == 0).collect();
    let mut ordered = Vec::with_capacity(upstream.len());
    while let Some(job) = ready.pop_first() {
        ordered.push(job);
        for next in &downstream[job] {
            waiting[*next] -= 1;
            if waiting[*next] == 0 {
                ready.insert(*next);
            }
        }
    }
    if ordered.len() == upstream.len() { Ok(ordered) } else { Err(cycle(upstream, &waiting)) }
}

fn distinct(from: &[usize]) -> BTreeSet<usize> {
    from.iter().copied().collect()
}

/// Every job that still waits has an upstream one that waits, so walking there ends in a cycle.
fn cycle(upstream: &[Vec<usize>], waiting: &[usize]) -> Vec<usize> {
    let mut walked: Vec<usize> = waiting.iter().position(|count| *count > 0).into_iter().collect();
    let mut step_of: HashMap<usize, usize> = walked.iter().map(|job| (*job, 0)).collect();
    while let Some(next) =
        walked.last().and_then(|job| upstream[*job].iter().copied().find(|source| waiting[*source] > 0))
    {
        if let Some(start) = step_of.insert(next, walked.len()) {
            return walked.split_off(start);
        }
        walked.push(next);
    }
    walked
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn jobs_come_after_their_upstream_ones() {
        assert_eq!(order(&[vec![], vec![0], vec![1, 0]]), Ok(vec![0, 1, 2]));
        assert_eq!(order(&[vec![2], vec![], vec![1, 1]]), Ok(vec![1, 2, 0]));
        assert_eq!(order(&[]), Ok(vec![]));
    }

    #[test]
    fn cycles_are_named() {
        assert_eq!(order(&[vec![0]]), Err(vec![0]));
        assert_eq!(order(&[vec![], vec![0, 2], vec![3], vec![1]]), Err(vec![1, 2, 3]));
    }

    proptest! {
        #[test]
        fn every_graph_is_ordered_or_has_a_cycle(
            upstream in prop::collection::vec(prop::collection::vec(0..8_usize, 0..4), 8)
        ) {
            match order(&upstream) {
                Ok(ordered) => {
                    let position = |job| ordered.iter().position(|other| *other == job);
                    for (job, from) in upstream.iter().enumerate() {
                        for source in from {
                            prop_assert!(position(*source) < position(job));
                        }
                    }
                }
                Err(cycle) => {
                    prop_assert!(!cycle.is_empty());
                    for (index, job) in cycle.iter().enumerate() {
                        prop_assert!(upstream[*job].contains(&cycle[(index + 1) % cycle.len()]));
                    }
                }
            }
        }
    }
}
