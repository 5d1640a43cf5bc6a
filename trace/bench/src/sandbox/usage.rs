//! Processor time.

use std::time::Duration;

use nix::sys::{
    resource::{UsageWho, getrusage},
    time::{TimeVal, TimeValLike as _},
};

/// Processor time that this process and its children that have ended have used so far. What the kernel
/// does for nobody in particular (the end of network namespaces) is not in it.
#[derive(Debug, Clone, Copy)]
pub struct Usage(i64);

impl Usage {
    /// Until now.
    pub fn now() -> nix::Result<Self> {
        let mut micros = 0;
        for who in [UsageWho::RUSAGE_SELF, UsageWho::RUSAGE_CHILDREN] {
            let usage = getrusage(who)?;
            let both: TimeVal = usage.user_time() + usage.system_time();
            micros += both.num_microseconds();
        }
        Ok(Self(micros))
    }

    /// The time between the two.
    pub fn since(self, before: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0 - before.0).unwrap_or(0))
    }
}
