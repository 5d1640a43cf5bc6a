//! Ids, as the database stores them. A namespace of its own: a judge that shared the id arithmetic
//! of what it judges would share its mistakes.

use std::fmt;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident($number:ty), $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $number);

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}{:x?}", $prefix, self.0)
            }
        }
    )*};
}

ids! {
    /// A random id that a worker made up for a claim.
    Claim(u128), "claim ";
    /// The secret part of a fence.
    Token(u128), "token ";
}

macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident, $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub i64);

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}{}", $prefix, self.0)
            }
        }
    )*};
}

numbers! {
    /// A run of a DAG.
    Run, "r";
    /// One try at a task.
    Attempt, "a";
    /// A worker.
    Worker, "w";
    /// A dataset.
    Dataset, "d";
    /// A version of a DAG.
    DagVersion, "gv";
}

/// Bits of a task's or version's id that count within the run.
const PLACES: u32 = 20;

/// One task of a run: the run's number, and the task's place in what the run lists.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Task(pub i64);

/// What a run puts into a job's dataset; numbered like the first task of the job.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub i64);

impl Task {
    /// The task at a place of a run.
    #[must_use]
    pub const fn at(run: Run, place: u32) -> Self {
        Self((run.0 << PLACES) | place as i64)
    }

    /// The run.
    #[must_use]
    pub const fn run(self) -> Run {
        Run(self.0 >> PLACES)
    }

    /// Its place in the run's listing.
    #[must_use]
    pub const fn place(self) -> u32 {
        (self.0 & ((1 << PLACES) - 1)) as u32
    }
}

impl Version {
    /// The version of the job whose first task is at this place.
    #[must_use]
    pub const fn at(run: Run, place: u32) -> Self {
        Self(Task::at(run, place).0)
    }

    /// The run.
    #[must_use]
    pub const fn run(self) -> Run {
        Task(self.0).run()
    }

    /// The place of its first task.
    #[must_use]
    pub const fn place(self) -> u32 {
        Task(self.0).place()
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t{}.{}", self.run().0, self.place())
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dv{}.{}", self.run().0, self.place())
    }
}

/// A time by the database's clock, in microseconds since 1970. The checked model has no numbers for
/// time and writes 0 everywhere.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub i64);

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}s", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}
