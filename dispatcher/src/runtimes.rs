//! Which runtimes an environment offers: those that have a queue, because a task finds a worker that launches its
//! runtime by the queue that it is announced in.

use std::{collections::BTreeSet, fmt};

use trace_contracts::Runtime;

/// The runtimes that an environment offers, and the one for jobs that ask for none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offered {
    all: BTreeSet<Runtime>,
    default: Runtime,
}

/// Why that is no offer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// None at all.
    #[error("`queues` is empty: name a queue for each runtime, such as `process: https://…`")]
    None,
    /// Several, and nobody says which.
    #[error(
        "there are several queues: say with `default` which runtime jobs get that ask for none, such as `default: {0}`"
    )]
    NoDefault(Runtime),
    /// One that is not among them.
    #[error("`default: {0}` has no queue")]
    NoQueue(Runtime),
}

impl Offered {
    /// One runtime.
    #[must_use]
    pub fn only(runtime: Runtime) -> Self {
        Self { all: BTreeSet::from([runtime]), default: runtime }
    }

    /// Several, or one.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn new(all: BTreeSet<Runtime>, default: Option<Runtime>) -> Result<Self, Error> {
        let first = *all.first().ok_or(Error::None)?;
        let default = match default {
            Some(default) if all.contains(&default) => default,
            Some(default) => return Err(Error::NoQueue(default)),
            None if all.len() == 1 => first,
            None => return Err(Error::NoDefault(first)),
        };
        Ok(Self { all, default })
    }

    /// Each of them.
    pub fn all(&self) -> impl Iterator<Item = Runtime> {
        self.all.iter().copied()
    }

    /// The one, if there is one only.
    #[must_use]
    pub fn one(&self) -> Option<Runtime> {
        self.all.first().copied().filter(|_| self.all.len() == 1)
    }

    /// Whether this is one of them.
    #[must_use]
    pub fn has(&self, runtime: Runtime) -> bool {
        self.all.contains(&runtime)
    }

    /// Where a job runs. One that asked for what is not offered any more runs where jobs do that ask for none.
    #[must_use]
    pub fn of_job(&self, asked: Option<Runtime>) -> Runtime {
        asked.filter(|asked| self.has(*asked)).unwrap_or(self.default)
    }
}

impl fmt::Display for Offered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.all.iter().map(|runtime| format!("`{runtime}`")).collect();
        f.write_str(&names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_runs_where_it_asks_or_where_the_environment_says() {
        let both = BTreeSet::from([Runtime::Process, Runtime::Lambda]);
        let offered = Offered::new(both.clone(), Some(Runtime::Lambda)).unwrap();
        assert_eq!(offered.of_job(None), Runtime::Lambda);
        assert_eq!(offered.of_job(Some(Runtime::Process)), Runtime::Process);
        assert_eq!(offered.of_job(Some(Runtime::EcsUdf)), Runtime::Lambda);
        assert_eq!((offered.to_string().as_str(), offered.one()), ("`process`, `lambda`", None));
        assert_eq!(Offered::only(Runtime::EcsUdf).one(), Some(Runtime::EcsUdf));
        assert_eq!(Offered::new(BTreeSet::new(), None), Err(Error::None));
        assert_eq!(Offered::new(both.clone(), None), Err(Error::NoDefault(Runtime::Process)));
        assert_eq!(Offered::new(both, Some(Runtime::EcsUdf)), Err(Error::NoQueue(Runtime::EcsUdf)));
    }
}
