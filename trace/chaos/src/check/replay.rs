//! The event log against the model: every transaction that the database committed is judged by the same
//! rules that the model is checked with.

use trace_model::{
    judge::{Clock, Settings},
    replay::{Error, Reader, Replay, Report},
};

/// Lost workers after which a dispatcher gives a task up, as it is configured here.
const MAX_LOSSES: u32 = 16;

/// Replays the lines of the log, from an empty database on.
///
/// # Errors
/// The first transaction that the model does not allow.
pub(super) fn replay(lines: &[String], clock: Clock) -> Result<Report, Error> {
    let mut reader = Reader::default();
    let mut replay = Replay::new(Settings { max_losses: Some(MAX_LOSSES), clock });
    for line in lines {
        if let Some(transaction) = reader.line(line)? {
            replay.transaction(transaction)?;
        }
    }
    replay.finish()
}
