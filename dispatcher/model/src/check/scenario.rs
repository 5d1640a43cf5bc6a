//! What happens on a platform, small enough that all of it can be walked through.

use std::collections::BTreeSet;

use super::state::Said;
use crate::shape::{Draft, Reads, Shape};

/// The bounds of one check.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// For people.
    pub name: &'static str,
    /// The DAG.
    pub shape: Shape,
    /// How many runs of it start, one after the other, before anything else happens.
    pub runs: i64,
    /// How many workers there are, two at most.
    pub workers: usize,
    /// How many dispatchers there are, two at most.
    pub dispatchers: usize,
    /// Whether leases run out.
    pub leases: Leases,
    /// A task that lost this many workers is dead.
    pub max_losses: u32,
    /// How attempts may end.
    pub outcomes: &'static [Said],
    /// Which faults there are.
    pub faults: &'static [Fault],
    /// How many of them come, at most.
    pub most_faults: u8,
    /// How many runs a user cancels, at most.
    pub cancels: u8,
    /// How many dead tasks a user brings back, at most.
    pub revivals: u8,
    /// How finely transactions are taken apart.
    pub grain: Grain,
    /// Whether there is a plane.
    pub planes: Planes,
    /// The number of tasks that may be ready or running at once; the others are held.
    pub limit: Option<usize>,
}

/// What can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// A wake-up is lost.
    LoseWakeUp,
    /// A wake-up comes twice.
    RepeatWakeUp,
    /// A request to the dispatcher is lost.
    LoseRequest,
    /// A request comes twice, the second time as late as it likes.
    RepeatRequest,
    /// An answer is lost.
    LoseReply,
    /// A worker is killed and starts anew.
    CrashWorker,
    /// A worker stands still for a while.
    PauseWorker,
    /// A dispatcher is killed and starts anew.
    CrashDispatcher,
    /// A lease runs out although its worker is awake, because its heartbeats are lost.
    LoseHeartbeats,
    /// A dispatcher does not hear that an attempt's authority was cut.
    MissNews,
}

/// Whether leases run out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leases {
    /// At any moment at which no worker is there to extend them.
    RunOut,
    /// Never, where something else is looked at.
    Hold,
}

/// How finely transactions are taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grain {
    /// The commit is one step.
    Whole,
    /// Locking the run and reading is one step, writing another.
    LockThenWrite,
}

/// Whether there is a plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Planes {
    /// There is none.
    None,
    /// There is one.
    One,
}

const BOTH: &[Said] = &[Said::Succeeded, Said::Failed];
const SUCCESS: &[Said] = &[Said::Succeeded];

fn job(partitions: usize, inputs: &[Reads], retries: u32) -> Draft {
    Draft { partitions: (0..partitions).map(|n| n.to_string()).collect(), inputs: inputs.to_vec(), retries }
}

fn shape(jobs: &[Draft], published: &[usize]) -> Shape {
    #[expect(clippy::expect_used, reason = "the DAGs of the scenarios are written here")]
    Shape::new(jobs, published.iter().copied().collect::<BTreeSet<_>>()).expect("a DAG that fits together")
}

impl Scenario {
    fn of(name: &'static str, shape: Shape) -> Self {
        Self {
            name,
            shape,
            runs: 1,
            workers: 1,
            dispatchers: 1,
            leases: Leases::Hold,
            max_losses: 2,
            outcomes: SUCCESS,
            faults: &[],
            most_faults: 0,
            cancels: 0,
            revivals: 0,
            grain: Grain::Whole,
            planes: Planes::None,
            limit: None,
        }
    }

    /// One task, two workers, and a network that loses, repeats and delays.
    #[must_use]
    pub fn messages() -> Self {
        Self {
            workers: 2,
            leases: Leases::RunOut,
            faults: &[
                Fault::LoseWakeUp,
                Fault::RepeatWakeUp,
                Fault::LoseRequest,
                Fault::RepeatRequest,
                Fault::LoseReply,
            ],
            most_faults: 2,
            ..Self::of("messages", shape(&[job(1, &[], 0)], &[0]))
        }
    }

    /// One task, two workers and two dispatchers that are killed and stand still.
    #[must_use]
    pub fn machines() -> Self {
        Self {
            workers: 2,
            dispatchers: 2,
            leases: Leases::RunOut,
            faults: &[Fault::CrashWorker, Fault::PauseWorker, Fault::CrashDispatcher, Fault::LoseHeartbeats],
            most_faults: 2,
            ..Self::of("machines", shape(&[job(1, &[], 0)], &[0]))
        }
    }

    /// Two jobs, the second of which reads the first; attempts also fail, and are tried again.
    #[must_use]
    pub fn chain() -> Self {
        Self {
            outcomes: BOTH,
            leases: Leases::RunOut,
            faults: &[Fault::LoseReply, Fault::PauseWorker, Fault::CrashDispatcher],
            most_faults: 1,
            ..Self::of("chain", shape(&[job(1, &[], 1), job(1, &[Reads::Whole(0)], 0)], &[1]))
        }
    }

    /// Two jobs that a third one reads, committed at the same moment by two dispatchers.
    #[must_use]
    pub fn fan_in() -> Self {
        let both = [Reads::Whole(0), Reads::Whole(1)];
        Self {
            workers: 2,
            dispatchers: 2,
            grain: Grain::LockThenWrite,
            faults: &[Fault::CrashDispatcher],
            most_faults: 1,
            ..Self::of("fan-in", shape(&[job(1, &[], 0), job(1, &[], 0), job(1, &both, 0)], &[2]))
        }
    }

    /// Two runs of one published job of two partitions, which end in any order.
    #[must_use]
    pub fn cut_over() -> Self {
        Self { runs: 2, ..Self::of("cut-over", shape(&[job(2, &[], 0)], &[0])) }
    }

    /// A run that a user cancels at any moment, and a dead task that one brings back.
    #[must_use]
    pub fn cancel() -> Self {
        Self {
            dispatchers: 2,
            outcomes: BOTH,
            cancels: 1,
            revivals: 1,
            faults: &[Fault::CrashDispatcher],
            most_faults: 1,
            ..Self::of("cancel", shape(&[job(2, &[], 1)], &[]))
        }
    }

    /// A plane that serves the attempts of one task.
    #[must_use]
    pub fn plane() -> Self {
        Self {
            dispatchers: 2,
            planes: Planes::One,
            leases: Leases::RunOut,
            max_losses: 1,
            faults: &[Fault::CrashWorker, Fault::CrashDispatcher, Fault::MissNews],
            most_faults: 1,
            ..Self::of("plane", shape(&[job(1, &[], 0)], &[0]))
        }
    }

    /// Three tasks of which a limit lets one be ready or running at a time.
    #[must_use]
    pub fn limited() -> Self {
        Self {
            limit: Some(1),
            cancels: 1,
            faults: &[Fault::LoseWakeUp],
            most_faults: 1,
            ..Self::of("limited", shape(&[job(3, &[], 0)], &[0]))
        }
    }

    /// The scenarios of `make test`.
    #[must_use]
    pub fn all() -> Vec<Self> {
        vec![
            Self::messages(),
            Self::machines(),
            Self::chain(),
            Self::fan_in(),
            Self::cut_over(),
            Self::cancel(),
            Self::plane(),
            Self::limited(),
        ]
    }

    /// The same with another number of faults.
    #[must_use]
    pub fn with_faults(self, most_faults: u8) -> Self {
        Self { most_faults, ..self }
    }
}
