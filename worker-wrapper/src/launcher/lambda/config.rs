//! What an operator says about Lambda.

use std::{num::NonZeroU32, time::Duration};

use serde::Deserialize;
use trace_aws::Aws;
use trace_contracts::{AttemptId, wire::lambda::Tenant};

use crate::launcher::Order;

/// Where attempts are invoked, and as which functions.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Unverified")]
pub struct Config {
    pub(super) aws: Aws,
    pub(super) functions: Vec<Function>,
    pub(super) platform: String,
    pub(super) launches_per_second: NonZeroU32,
}

/// A function whose image is the runner, and which is isolated by tenant. Its size is its own: an invocation can't
/// ask for another.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Function {
    /// Its name or ARN, with `:VERSION` or `:ALIAS` if need be.
    pub name: String,
    /// Its memory in MiB, which sets its share of processors too.
    pub memory_mib: u64,
    /// Its `/tmp` in MiB.
    #[serde(default = "default_storage")]
    pub storage_mib: u64,
    /// Its time-out in seconds.
    #[serde(default = "default_timeout")]
    pub timeout_seconds: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unverified {
    aws: Aws,
    functions: Vec<Function>,
    #[serde(default = "default_platform")]
    platform: String,
    #[serde(default = "default_rate")]
    launches_per_second: NonZeroU32,
}

/// What Lambda allows of a function.
const MEMORY_MIB: (u64, u64) = (128, 10_240);
const STORAGE_MIB: (u64, u64) = (512, 10_240);
const TIMEOUT_SECONDS: (u64, u64) = (1, 900);
/// What the runner itself needs beside the code.
const RUNNER_MIB: u64 = 64;
/// What a bundle and its files may take of `/tmp`, beside the code's own.
const BUNDLE_MIB: u64 = 256;
/// Lambda gives a function one processor for so much memory.
const MIB_PER_CPU: u64 = 1769;
/// What fetching a bundle may take of the function's time.
const FETCHING: Duration = Duration::from_secs(10);
const MIB: u64 = 1 << 20;

/// Why the settings were not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no function.
    #[error("`functions` is empty: name one that `terraform output` or your own set-up has")]
    None,
    /// Lambda has no function of that size.
    #[error(
        "the function `{0}` can't be: Lambda's have 128 to 10,240 MiB of memory, 512 to 10,240 MiB of storage and 1 to 900 seconds"
    )]
    Size(String),
    /// The platform's name can't be part of a tenant.
    #[error("`platform`: {0}")]
    Platform(#[from] trace_contracts::wire::lambda::TenantError),
}

/// No function has room for a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "no function of this worker has room for the job: it needs {memory} MiB of memory, which covers its processors and the runner, {storage} MiB of `/tmp`, and {seconds} seconds. Ask for less, or have an operator add such a function; Lambda's largest has 10,240 MiB of each and 900 seconds, of which code gets four fifths"
)]
pub(super) struct NoRoom {
    memory: u64,
    storage: u64,
    seconds: u64,
}

impl TryFrom<Unverified> for Config {
    type Error = Error;

    fn try_from(unverified: Unverified) -> Result<Self, Error> {
        let Unverified { aws, functions, platform, launches_per_second } = unverified;
        if functions.is_empty() {
            return Err(Error::None);
        }
        if let Some(odd) = functions.iter().find(|function| !function.is_possible()) {
            return Err(Error::Size(odd.name.chars().take(200).collect()));
        }
        // Any attempt shows whether the name can be part of a tenant.
        Tenant::new(&platform, AttemptId::from_db(1))?;
        Ok(Self { aws, functions, platform, launches_per_second })
    }
}

impl Config {
    /// The smallest function that has room for a job.
    pub(super) fn function(&self, order: &Order) -> Result<&Function, NoRoom> {
        let needs = needs(order);
        let fitting = self.functions.iter().filter(|function| function.has_room(&needs));
        fitting.min_by_key(|function| (function.memory_mib, function.storage_mib)).ok_or(needs)
    }
}

/// What a job asks for, in what functions have.
fn needs(order: &Order) -> NoRoom {
    let resources = &order.resources;
    let processors = (u64::from(resources.cpu_millis) * MIB_PER_CPU).div_ceil(1000);
    // Code has four fifths of what is left of an invocation.
    let seconds = (order.timeout * 5 / 4 + FETCHING).as_millis().div_ceil(1000);
    NoRoom {
        memory: processors.max(resources.memory_bytes.div_ceil(MIB) + RUNNER_MIB),
        storage: resources.disk_bytes.div_ceil(MIB) + BUNDLE_MIB,
        seconds: u64::try_from(seconds).unwrap_or(u64::MAX),
    }
}

impl Function {
    fn is_possible(&self) -> bool {
        let within = |value, (least, most)| (least..=most).contains(&value);
        within(self.memory_mib, MEMORY_MIB)
            && within(self.storage_mib, STORAGE_MIB)
            && within(self.timeout_seconds, TIMEOUT_SECONDS)
            && !self.name.is_empty()
    }

    const fn has_room(&self, needs: &NoRoom) -> bool {
        self.memory_mib >= needs.memory
            && self.storage_mib >= needs.storage
            && self.timeout_seconds >= needs.seconds
    }
}

const fn default_storage() -> u64 {
    STORAGE_MIB.0
}

const fn default_timeout() -> u64 {
    TIMEOUT_SECONDS.1
}

fn default_platform() -> String {
    "trace".to_owned()
}

const fn default_rate() -> NonZeroU32 {
    NonZeroU32::new(10).expect("not zero")
}

#[cfg(test)]
mod tests {
    use trace_contracts::wire::{lambda::time_for_code, worker::Resources};
    use trace_surface::Program;

    use super::*;

    fn read(functions: &str, rest: &str) -> Result<Config, String> {
        let text = format!(r#"{{"aws": {{"region": "x"}}, "functions": {functions}{rest}}}"#);
        serde_json::from_str(&text).map_err(|error| error.to_string())
    }

    fn order(cpu_millis: u32, memory: u64, disk: u64, seconds: u64) -> Order {
        Order {
            lease: None,
            program: Program::Python,
            bundle: None,
            files: None,
            inputs: None,
            env: Vec::new(),
            resources: Resources { cpu_millis, memory_bytes: memory * MIB, disk_bytes: disk * MIB },
            timeout: Duration::from_secs(seconds),
            egress: None,
        }
    }

    #[test]
    fn a_job_gets_the_smallest_function_that_has_room() {
        let config = read(
            r#"[{"name": "large", "memory_mib": 3538, "storage_mib": 4096},
                {"name": "small", "memory_mib": 512},
                {"name": "short", "memory_mib": 256, "timeout_seconds": 30}]"#,
            "",
        )
        .unwrap();
        let table = [
            (order(100, 128, 100, 10), Some("short")),
            (order(100, 128, 100, 17), Some("small")),
            (order(250, 448, 256, 600), Some("small")),
            (order(250, 449, 256, 600), Some("large")),
            (order(1000, 64, 10, 10), Some("large")),
            (order(100, 64, 257, 10), Some("large")),
            (order(2001, 64, 10, 10), None),
            (order(100, 64, 10, 712), Some("small")),
            (order(100, 64, 10, 713), None),
            (order(100, 64, 4000, 10), None),
        ];
        for (order, expected) in table {
            let found = config.function(&order).ok().map(|function| function.name.as_str());
            assert_eq!(found, expected, "{:?} {:?}", order.resources, order.timeout);
        }
        let refused = config.function(&order(100, 20_000, 10, 10)).unwrap_err().to_string();
        assert!(refused.contains("20064 MiB"), "{refused}");
    }

    #[test]
    fn a_function_s_time_is_enough_for_what_the_runner_gives_the_code() {
        for seconds in [1, 17, 60, 712] {
            let time = Duration::from_secs(needs(&order(100, 64, 1, seconds)).seconds);
            assert!(time_for_code(time - FETCHING) >= Duration::from_secs(seconds), "{seconds}");
        }
    }

    #[test]
    fn what_lambda_does_not_have_is_refused() {
        assert!(read("[]", "").unwrap_err().contains("empty"));
        for odd in [
            r#"{"name": "f", "memory_mib": 64}"#,
            r#"{"name": "f", "memory_mib": 20000}"#,
            r#"{"name": "f", "memory_mib": 512, "timeout_seconds": 901}"#,
            r#"{"name": "f", "memory_mib": 512, "storage_mib": 1}"#,
            r#"{"name": "", "memory_mib": 512}"#,
        ] {
            assert!(read(&format!("[{odd}]"), "").unwrap_err().contains("10,240"), "{odd}");
        }
        let function = r#"[{"name": "f", "memory_mib": 512}]"#;
        assert!(read(function, r#", "platform": "a b""#).unwrap_err().contains("platform"));
        assert!(read(function, r#", "qualifier": "x""#).is_err());
        assert_eq!(read(function, "").unwrap().platform, "trace");
    }
}
