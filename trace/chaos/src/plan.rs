//! What a seed breaks, and when: after the k-th task has ended, not at a time of day.

use std::time::Duration;

use trace_model::judge::Clock;

use crate::dice::Dice;

/// Dispatchers side by side.
pub const DISPATCHERS: usize = 2;
/// Workers.
pub const WORKERS: usize = 3;

/// A process of the platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// One of the dispatchers.
    Dispatcher(usize),
    /// One of the wrappers.
    Worker(usize),
    /// The whole PostgreSQL server.
    Postgres,
    /// The object store.
    Store,
}

/// One thing that breaks, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// Begins once so many tasks have ended.
    pub after: u64,
    /// What breaks.
    pub what: What,
    /// How long it stays so.
    pub lasts: Duration,
}

/// Kinds of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// `SIGKILL`; started again when the fault is over.
    Kill(Target),
    /// `SIGSTOP`, then `SIGCONT`.
    Pause(Target),
    /// The process's time of day is so many seconds off, and back afterwards.
    Clock(Target, i64),
    /// PostgreSQL's time of day is set forward by so many seconds, for good.
    Step(i64),
    /// The process's disk has no byte left.
    DiskFull(Target),
    /// Each `fsync` and each write of a file takes so many microseconds longer.
    DiskSlow(Target, u64),
    /// Every connection through the proxies is cut at once.
    Cut,
}

/// How often, in a thousand, requests and messages suffer, all the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// Cut before the dispatcher sees it.
    pub http_cut: u64,
    /// Taken by the dispatcher, the answer lost.
    pub http_reply_lost: u64,
    /// Late, before or after.
    pub http_late: u64,
    /// Sent twice, to both dispatchers.
    pub http_twice: u64,
    /// A `COMMIT` that PostgreSQL carries out and whose answer is lost with the connection.
    pub commit_reply_lost: u64,
    /// A wake-up that never comes.
    pub wake_lost: u64,
    /// One that comes twice.
    pub wake_twice: u64,
    /// One that comes late, after later ones.
    pub wake_late: u64,
}

impl Rates {
    /// Nothing suffers.
    pub const CALM: Self = Self {
        http_cut: 0,
        http_reply_lost: 0,
        http_late: 0,
        http_twice: 0,
        commit_reply_lost: 0,
        wake_lost: 0,
        wake_twice: 0,
        wake_late: 0,
    };
}

/// All that a seed breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// In the order in which they begin.
    pub faults: Vec<Fault>,
    /// All the time.
    pub rates: Rates,
}

impl Plan {
    /// What `seed` breaks in a run of `tasks` tasks. Every seed kills and pauses each kind of process,
    /// moves clocks and fills one disk; which ones, when and for how long differs.
    #[must_use]
    pub fn new(seed: u64, tasks: u64) -> Self {
        let dice = &mut Dice::new(seed, "plan");
        let mut whats = kinds(seed, dice);
        dice.shuffle(&mut whats);
        let mut faults: Vec<Fault> = whats
            .into_iter()
            .map(|what| Fault {
                after: dice.between(tasks / 50, tasks * 3 / 4 + 1),
                what,
                lasts: lasts(what, dice),
            })
            .collect();
        faults.sort_by_key(|fault| fault.after);
        Self { faults, rates: rates(dice) }
    }
}

impl Plan {
    /// Whether PostgreSQL's clock ever goes back: times of the event log may be compared only where it
    /// does not.
    #[must_use]
    pub fn clock(&self) -> Clock {
        let goes_back = |fault: &Fault| matches!(fault.what, What::Clock(Target::Postgres, _));
        if self.faults.iter().any(goes_back) { Clock::Jumps } else { Clock::Steady }
    }
}

fn kinds(seed: u64, dice: &mut Dice) -> Vec<What> {
    let any_dispatcher = |dice: &mut Dice| Target::Dispatcher(dice.pick(&[0, 1]));
    let any_worker = |dice: &mut Dice| Target::Worker(dice.pick(&[0, 1, 2]));
    let mut whats = vec![
        What::Kill(any_dispatcher(dice)),
        What::Kill(any_worker(dice)),
        What::Kill(any_worker(dice)),
        What::Kill(Target::Postgres),
        What::Pause(any_dispatcher(dice)),
        What::Pause(any_worker(dice)),
        What::Pause(Target::Postgres),
        What::Cut,
    ];
    // Which clock and which disk: in turn, so that neighbouring seeds cover all.
    let targets = [any_dispatcher(dice), any_worker(dice), Target::Postgres, Target::Store];
    let minutes = |dice: &mut Dice| i64::try_from(dice.between(60, 180)).unwrap_or(60);
    let seconds = minutes(dice);
    let off = if dice.per_mille(500) { seconds } else { -seconds };
    let target = targets[usize::try_from(seed % 4).unwrap_or(0)];
    // What PostgreSQL puts off while its clock is ahead waits until real time has caught up, so this is
    // what a run waits for. It is several times a lease and every backoff all the same.
    let ahead = |dice: &mut Dice| i64::try_from(dice.between(8, 20)).unwrap_or(8);
    let off = if target == Target::Postgres && off > 0 { ahead(dice) } else { off };
    whats.push(What::Clock(target, off));
    whats.push(match seed % 3 {
        0 => What::Step(minutes(dice)),
        1 => What::Clock(Target::Postgres, ahead(dice)),
        _ => What::Clock(Target::Postgres, -minutes(dice)),
    });
    let disks = [Target::Worker(0), Target::Postgres, Target::Store];
    whats.push(What::DiskFull(disks[usize::try_from(seed % 3).unwrap_or(0)]));
    whats.push(What::DiskSlow(
        disks[usize::try_from((seed + 1) % 3).unwrap_or(0)],
        dice.between(1_000, 30_000),
    ));
    if dice.per_mille(300) {
        whats.push(What::Pause(Target::Store));
    }
    if dice.per_mille(500) {
        whats.push(What::Kill(any_dispatcher(dice)));
    }
    whats
}

/// Pauses may outlast a lease, which holds for three seconds here; what is killed comes back sooner.
fn lasts(what: What, dice: &mut Dice) -> Duration {
    match what {
        What::Kill(_) => dice.millis(50, 1_500),
        What::Pause(_) | What::Clock(..) => dice.millis(200, 5_000),
        What::DiskFull(_) | What::DiskSlow(..) => dice.millis(300, 3_000),
        What::Cut | What::Step(_) => Duration::ZERO,
    }
}

fn rates(dice: &mut Dice) -> Rates {
    Rates {
        http_cut: dice.between(0, 20),
        http_reply_lost: dice.between(5, 30),
        http_late: dice.between(0, 30),
        http_twice: dice.between(5, 30),
        commit_reply_lost: dice.between(1, 10),
        wake_lost: dice.between(0, 300),
        wake_twice: dice.between(0, 200),
        wake_late: dice.between(0, 200),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_says_what_breaks() {
        assert_eq!(Plan::new(17, 2_000), Plan::new(17, 2_000));
        assert_ne!(Plan::new(17, 2_000), Plan::new(18, 2_000));
    }

    #[test]
    fn every_kind_breaks_in_a_dozen_seeds_and_while_there_is_work() {
        let plans: Vec<Plan> = (0..12).map(|seed| Plan::new(seed, 2_000)).collect();
        let faults: Vec<Fault> = plans.iter().flat_map(|plan| plan.faults.clone()).collect();
        assert!(faults.iter().all(|fault| (40..=1_500).contains(&fault.after)));
        let has = |wanted: &dyn Fn(&What) -> bool| faults.iter().any(|fault| wanted(&fault.what));
        for target in [Target::Worker(0), Target::Postgres, Target::Store] {
            assert!(has(&|what| *what == What::DiskFull(target)));
            assert!(has(&|what| matches!(what, What::DiskSlow(t, _) if *t == target)));
        }
        for target in [Target::Dispatcher(0), Target::Dispatcher(1), Target::Postgres, Target::Worker(2)] {
            assert!(has(&|what| *what == What::Kill(target)), "{target:?} is never killed");
        }
        assert!(has(&|what| matches!(what, What::Clock(Target::Postgres, ..-60))));
        assert!(has(&|what| matches!(what, What::Clock(Target::Postgres, 8..))));
        assert!(has(&|what| matches!(what, What::Step(60..))));
    }
}
