//! The queue of each runtime.

use std::collections::BTreeMap;

use serde::Deserialize;
use trace_contracts::Runtime;

use crate::runtimes::{Error, Offered};

/// The queue of each runtime that is offered, by its address.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Unverified")]
pub struct Queues {
    addresses: BTreeMap<Runtime, String>,
    offered: Offered,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unverified {
    process: Option<String>,
    ecs_udf: Option<String>,
    lambda: Option<String>,
    /// Of jobs that ask for no runtime.
    default: Option<Runtime>,
}

impl TryFrom<Unverified> for Queues {
    type Error = Error;

    fn try_from(unverified: Unverified) -> Result<Self, Error> {
        let Unverified { process, ecs_udf, lambda, default } = unverified;
        let all = [(Runtime::Process, process), (Runtime::EcsUdf, ecs_udf), (Runtime::Lambda, lambda)];
        let named = all.into_iter().filter_map(|(runtime, address)| Some((runtime, address?)));
        Self::new(named.collect(), default)
    }
}

impl Queues {
    /// Several queues, and the runtime of jobs that ask for none.
    ///
    /// # Errors
    /// When there are none, or it is not clear which runtime that is.
    pub fn new(addresses: BTreeMap<Runtime, String>, default: Option<Runtime>) -> Result<Self, Error> {
        let offered = Offered::new(addresses.keys().copied().collect(), default)?;
        Ok(Self { addresses, offered })
    }

    /// One queue.
    #[must_use]
    pub fn only(runtime: Runtime, address: String) -> Self {
        Self { addresses: BTreeMap::from([(runtime, address)]), offered: Offered::only(runtime) }
    }

    /// The runtimes that have one.
    #[must_use]
    pub const fn offered(&self) -> &Offered {
        &self.offered
    }

    /// The address of a queue. Only runtimes that are offered are asked for.
    pub(crate) fn address(&self, runtime: Runtime) -> &str {
        self.addresses.get(&runtime).map_or("", String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Queues, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn each_runtime_that_has_a_queue_is_offered() {
        let queues = read(r#"{"process": "https://sqs/p"}"#).unwrap();
        assert_eq!(
            (queues.offered().one(), queues.address(Runtime::Process)),
            (Some(Runtime::Process), "https://sqs/p")
        );
        let two = r#"{"process": "https://sqs/p", "lambda": "https://sqs/l", "default": "lambda"}"#;
        let two = read(two).unwrap();
        assert_eq!(
            (two.offered().of_job(None), two.address(Runtime::Lambda)),
            (Runtime::Lambda, "https://sqs/l")
        );
        assert!(read("{}").unwrap_err().contains("empty"));
        assert!(read(r#"{"process": "p", "lambda": "l"}"#).unwrap_err().contains("default"));
        assert!(read(r#"{"process": "p", "default": "lambda"}"#).unwrap_err().contains("no queue"));
        assert!(read(r#"{"processes": "p"}"#).is_err());
    }
}
