//! The platform as it is built, walked through.

use std::collections::BTreeSet;

use stateright::{Checker, Model};
use trace_model::check::{
    Platform, Scenario,
    invariant::{SOMETIMES, always},
    progress,
};

/// Every state of every scenario keeps every invariant, and from each of them everything can end.
#[test]
fn what_is_built_keeps_its_invariants() {
    let mut seen = BTreeSet::new();
    for scenario in Scenario::all() {
        let name = scenario.name;
        let started = std::time::Instant::now();
        let checker = Platform::new(scenario).checker().threads(2).spawn_bfs().join();
        for broken in always() {
            if let Some(path) = checker.discovery(broken) {
                panic!("{name}: `{broken}` is broken by\n{}", steps(path.into_actions()));
            }
        }
        seen.extend(checker.discoveries().into_keys());
        println!("{name}: {} states in {:?}", checker.unique_state_count(), started.elapsed());
    }
    let missing: Vec<_> =
        SOMETIMES.iter().map(|(name, _)| *name).filter(|name| !seen.contains(name)).collect();
    assert!(missing.is_empty(), "never seen: {missing:?}");
}

/// From every state that faults can lead to, everything still ends when they stop.
#[test]
fn what_is_built_ends_once_faults_stop() {
    for scenario in Scenario::all() {
        let name = scenario.name;
        let started = std::time::Instant::now();
        let walk = progress::walk(&Platform::new(scenario));
        println!("{name}: {} states, {} at the end, in {:?}", walk.states, walk.ended, started.elapsed());
        assert!(walk.ended > 0, "{name}: nothing ever ends");
        if let Some(trap) = walk.trap {
            panic!("{name}: nothing ends after\n{}", steps(trap));
        }
    }
}

pub fn steps(actions: impl IntoIterator<Item = trace_model::check::Action>) -> String {
    let lines: Vec<String> = actions.into_iter().map(|action| format!("  {action:?}")).collect();
    lines.join("\n")
}

/// Larger bounds, for when there is time: `TRACE_MODEL_SCENARIO` is a part of the scenario's name,
/// `TRACE_MODEL_FAULTS` how many faults there are. docs/model.md has figures.
#[test]
#[ignore = "takes minutes and gigabytes"]
fn larger_bounds() {
    let setting = |name| std::env::var_os(name).and_then(|value| value.into_string().ok());
    let wanted = setting("TRACE_MODEL_SCENARIO").unwrap_or_default();
    let faults = setting("TRACE_MODEL_FAULTS").map(|count| count.parse().unwrap());
    for scenario in Scenario::all().into_iter().filter(|one| one.name.contains(&wanted)) {
        let faults = faults.unwrap_or(scenario.most_faults + 1);
        let platform = Platform::new(scenario.with_faults(faults));
        let started = std::time::Instant::now();
        let checker = platform.clone().checker().threads(2).spawn_bfs().join();
        let states = checker.unique_state_count();
        println!("{}, {faults} faults: {states} states in {:?}", platform.scenario.name, started.elapsed());
        for broken in always() {
            if let Some(path) = checker.discovery(broken) {
                panic!("`{broken}` is broken by\n{}", steps(path.into_actions()));
            }
        }
        let started = std::time::Instant::now();
        let walk = progress::walk(&platform);
        println!(
            "{}, {faults} faults: progress of {} states in {:?}",
            platform.scenario.name,
            walk.states,
            started.elapsed()
        );
        assert!(walk.trap.is_none(), "nothing ends after\n{}", walk.trap.map(steps).unwrap_or_default());
    }
}
