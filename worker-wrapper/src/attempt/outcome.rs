//! From how the code ended to what the dispatcher is told.

use trace_contracts::wire::worker::{FailureReason, Outcome};

use crate::launcher::Exit;

/// Well below the 4 KiB of the wire, so that a full batch of completions fits a request.
const DETAIL_BYTES: usize = 2 * 1024;

/// A failure, its detail cut to what the wire takes.
pub(crate) fn failed(reason: FailureReason, detail: impl Into<String>) -> Outcome {
    let mut detail = detail.into();
    detail.truncate(detail.floor_char_boundary(DETAIL_BYTES));
    Outcome::Failed { reason, detail }
}

/// What the end of the code means. `last_words` is its last line on standard error, masked: the
/// line in which most languages say what went wrong.
pub(crate) fn classify(exit: &Exit, last_words: Option<&str>) -> Outcome {
    let reason = match (exit, exit.reason()) {
        (Exit::Success, _) => return Outcome::Succeeded,
        // Somebody asked for it, and nobody but a wrapper that stops does so without a reason of its
        // own: the task is tried again, and the try does not count.
        (_, None) => FailureReason::WorkerStopping,
        (_, Some(reason)) => reason,
    };
    let detail = match (exit, last_words) {
        (Exit::Status(status), Some(words)) => format!("exited with status {status}: {words}"),
        (Exit::Memory { .. }, _) | (_, None) => exit.detail(),
        (_, Some(words)) => format!("{}; its last words: {words}", exit.detail()),
    };
    failed(reason, detail)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_end_has_its_reason_and_says_what_helps() {
        let timeout = Exit::Timeout { after: Duration::from_secs(60) };
        let memory = Exit::Memory { limit: 512 << 20 };
        let disk = Exit::Disk { limit: 256 << 20, files: 10_000 };
        let cases = [
            (Exit::Status(2), FailureReason::Exit, "exited with status 2: ValueError: no rows"),
            (Exit::Signal(11), FailureReason::Signal, "; its last words: ValueError: no rows"),
            (memory, FailureReason::Memory, "resources.memory"),
            (timeout, FailureReason::Timeout, "raise `timeout`; its last words: ValueError: no rows"),
            (disk, FailureReason::Disk, "resources.disk"),
            (Exit::Processes { limit: 64 }, FailureReason::Processes, "64 processes"),
            (Exit::ForbiddenSyscall, FailureReason::ForbiddenSyscall, "system call"),
            (Exit::Killed, FailureReason::WorkerStopping, "killed"),
        ];
        for (exit, expected, words) in cases {
            let Outcome::Failed { reason, detail } = classify(&exit, Some("ValueError: no rows")) else {
                panic!("{exit:?} is a failure")
            };
            assert_eq!(reason, expected);
            assert!(detail.contains(words), "{detail}");
        }
        assert_eq!(classify(&Exit::Success, Some("a warning")), Outcome::Succeeded);
    }

    #[test]
    fn a_long_detail_is_cut_between_characters() {
        let Outcome::Failed { detail, .. } = failed(FailureReason::Exit, "ä".repeat(4000)) else { panic!() };
        assert_eq!(detail.len(), DETAIL_BYTES);
    }
}
