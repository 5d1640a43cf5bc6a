//! From the launch to the end of the code: its output is captured, and it is killed when asked.

use std::{sync::Arc, time::Duration};

use tokio::{task::JoinSet, time::timeout};
use trace_contracts::wire::worker::LogStream;

use crate::{
    launcher::{Ended, Error, Launched},
    logs::{LogBook, capture},
};

/// Once nothing runs any more, what is left in the pipes is read within this time.
const LAST_OUTPUT: Duration = Duration::from_secs(10);

/// How the watch over the code ended. In either case nothing of it runs any more.
pub(crate) enum Watched<S> {
    /// By itself, or at a limit; or nobody can say how.
    Ended(Result<Ended, Error>),
    /// Killed, for this reason.
    Stopped(S),
}

/// Watches over the code until it has ended, or until `stop` gives a reason to kill it. What it
/// prints is in `book` then.
pub(crate) async fn watch<S>(
    launched: Launched,
    book: &Arc<LogBook>,
    stop: impl Future<Output = S>,
) -> Watched<S> {
    let Launched { stdout, stderr, kill, mut ended } = launched;
    let mut pipes = JoinSet::new();
    for (pipe, stream) in [(stdout, LogStream::Stdout), (stderr, LogStream::Stderr)] {
        let book = Arc::clone(book);
        pipes.spawn(async move { capture(pipe, stream, &book).await });
    }
    let watched = tokio::select! {
        ended = &mut ended => Watched::Ended(ended),
        reason = stop => {
            kill();
            if let Err(error) = ended.await {
                tracing::error!(%error, "a killed task was not seen to its end");
            }
            Watched::Stopped(reason)
        }
    };
    let drained = async { while pipes.join_next().await.is_some() {} };
    if timeout(LAST_OUTPUT, drained).await.is_err() {
        tracing::warn!("a task's pipes stay open although nothing of it runs; what was not read is dropped");
    }
    watched
}
