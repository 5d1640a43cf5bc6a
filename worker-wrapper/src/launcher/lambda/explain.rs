//! What Lambda says of a function that failed, and what it means.
//!
//! Before the runner has redeemed its ticket no code has run, so that it can't be the code's fault. Afterwards
//! everything can: the code may end its runner, take all its memory, or speak to the Runtime API in its name.

use std::time::Duration;

use serde::Deserialize;

use crate::launcher::{
    Error, Exit,
    remote::{Limits, SILENT},
};

/// What a function has failed with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(super) struct FunctionError {
    /// Such as `Runtime.ExitError`.
    #[serde(default, rename = "errorType")]
    kind: String,
    /// For people.
    #[serde(default, rename = "errorMessage")]
    message: String,
}

/// Whether code may have run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// The ticket was not redeemed.
    Before,
    /// It was.
    After,
}

/// Longer answers are none of Lambda's or the runner's own.
const MAX_BYTES: usize = 64 * 1024;
/// Characters that are shown of it.
const MAX_CHARS: usize = 300;

impl FunctionError {
    /// Reads the answer of an invocation that failed. Whatever it is, it is one.
    pub(super) fn read(unverified: &[u8]) -> Self {
        let read = unverified.get(..MAX_BYTES.min(unverified.len())).unwrap_or_default();
        let Self { kind, message } = serde_json::from_slice(read).unwrap_or_default();
        let cut = |text: String| -> String {
            let plain = |c: char| if c.is_control() { ' ' } else { c };
            text.chars().map(plain).take(MAX_CHARS).collect()
        };
        Self { kind: cut(kind), message: cut(message) }
    }

    /// How the attempt ended.
    ///
    /// # Errors
    /// When no code has run: that is the platform's fault.
    pub(super) fn explain(&self, stage: Stage, limits: Limits) -> Result<Exit, Error> {
        if stage == Stage::Before {
            let said = format!("{} {}", self.kind, self.message);
            return Err(Error::Machine(format!("{} (Lambda says: {})", self.advice(), said.trim())));
        }
        if self.is_about("OutOfMemory") {
            return Ok(Exit::Memory { limit: limits.memory });
        }
        if self.is_about("Task timed out") || self.is_about("Sandbox.Timedout") {
            return Ok(Exit::Timeout { after: self.seconds().unwrap_or(limits.timeout) });
        }
        if self.is_about("signal: killed") {
            return Ok(Exit::Signal(libc::SIGKILL));
        }
        Ok(Exit::Status(self.status().unwrap_or(SILENT)))
    }

    fn is_about(&self, words: &str) -> bool {
        self.kind.contains(words) || self.message.contains(words)
    }

    /// Of `… Task timed out after 900.00 seconds`.
    fn seconds(&self) -> Option<Duration> {
        let (_, after) = self.message.split_once("timed out after ")?;
        let seconds: f64 = after.split(' ').next()?.parse().ok()?;
        Duration::try_from_secs_f64(seconds).ok()
    }

    /// Of `… exit status 3`.
    fn status(&self) -> Option<i32> {
        let (_, after) = self.message.split_once("exit status ")?;
        let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok().filter(|status| (1..256).contains(status))
    }

    /// What to do about a function whose runner did not get as far as its ticket.
    fn advice(&self) -> &'static str {
        let table = [
            (
                "Trace.NotIsolated",
                "the function is not isolated by tenant: create it with the tenancy PER_TENANT",
            ),
            (
                "Trace.Used",
                "Lambda has used an environment twice that was one attempt's; the task runs again in another",
            ),
            (
                "Trace.Ground",
                "the runner has no folder to work in: check the function's ephemeral storage and its image",
            ),
            (
                "Trace.Attempt",
                "the runner did not get the attempt: check the function's variables, and whether its subnets reach the dispatcher's listener for tasks",
            ),
            (
                "timed out",
                "the runner did not reach the dispatcher: check whether the function's subnets and groups reach its listener for tasks, and the function's time-out",
            ),
            (
                "Timedout",
                "the runner did not reach the dispatcher: check whether the function's subnets and groups reach its listener for tasks, and the function's time-out",
            ),
            ("Entrypoint", "the runner could not be started: check the image's platform and entry point"),
            ("InvalidWorkingDir", "the runner could not be started: check the image"),
            ("OutOfMemory", "the runner had no room to start: give the function more memory"),
            (
                "ExitError",
                "the runner ended by itself: check the image, and the function's variables against docs/aws.md",
            ),
        ];
        let found = table.iter().find(|(words, _)| self.is_about(words));
        found.map_or("the function failed before its runner had redeemed its ticket", |(_, advice)| advice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { timeout: Duration::from_secs(60), memory: 512 << 20 };

    fn error(kind: &str, message: &str) -> FunctionError {
        let text = serde_json::json!({ "errorType": kind, "errorMessage": message, "stackTrace": [] });
        FunctionError::read(text.to_string().as_bytes())
    }

    #[test]
    fn once_code_may_have_run_it_is_its_failure_whatever_lambda_says() {
        let id = "RequestId: 5d0b9c5e Error:";
        for (kind, message, expected) in [
            ("Runtime.ExitError", format!("{id} Runtime exited with error: signal: killed"), Exit::Signal(9)),
            ("Runtime.ExitError", format!("{id} Runtime exited with error: exit status 3"), Exit::Status(3)),
            (
                "Runtime.ExitError",
                format!("{id} Runtime exited without providing a reason"),
                Exit::Status(SILENT),
            ),
            ("Runtime.OutOfMemory", String::new(), Exit::Memory { limit: 512 << 20 }),
            (
                "Sandbox.Timedout",
                format!("{id} Task timed out after 900.00 seconds"),
                Exit::Timeout { after: Duration::from_secs(900) },
            ),
            ("Sandbox.Timedout", String::new(), Exit::Timeout { after: LIMITS.timeout }),
            ("Trace.NotIsolated", "said by the code itself".to_owned(), Exit::Status(SILENT)),
            ("", String::new(), Exit::Status(SILENT)),
        ] {
            let found = error(kind, &message).explain(Stage::After, LIMITS).unwrap();
            assert_eq!(found, expected, "{kind} {message}");
        }
    }

    #[test]
    fn before_that_it_is_ours_and_says_what_to_do() {
        for (kind, message, advice) in [
            ("Trace.NotIsolated", "the function", "PER_TENANT"),
            ("Trace.Attempt", "the dispatcher can't be reached", "listener for tasks"),
            ("Sandbox.Timedout", "Task timed out after 3.00 seconds", "time-out"),
            ("Runtime.InvalidEntrypoint", "exec format error", "entry point"),
            ("Runtime.ExitError", "exit status 1", "variables"),
            ("ANewType", "of the future", "before its runner"),
        ] {
            let told = error(kind, message).explain(Stage::Before, LIMITS).unwrap_err().to_string();
            assert!(told.contains(advice) && told.contains(message), "{kind}: {told}");
        }
    }

    #[test]
    fn whatever_is_answered_is_an_error_and_short() {
        for odd in [&b""[..], b"null", b"[1]", b"\xff", &vec![b'x'; 100_000]] {
            assert_eq!(FunctionError::read(odd), FunctionError::default());
        }
        let long = error("\u{1b}[31m", &"y".repeat(10_000));
        assert!(long.message.len() == MAX_CHARS && !long.kind.contains('\u{1b}'));
    }
}
