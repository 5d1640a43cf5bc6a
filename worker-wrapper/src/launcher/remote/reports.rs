//! What the runner of an attempt reports, taken from the dispatcher: its output becomes the two streams that
//! the attempt's log is made of, as if the code ran here.

use tokio::io::{AsyncWriteExt as _, DuplexStream};
use trace_contracts::wire::{
    launch::{Event, RunnerExit, Stage, WatchRequest},
    limit::WAIT_MS,
    worker::{Fence, LogStream},
};

use crate::{
    backoff::Backoff,
    dispatcher::{Dispatcher, Error},
};

/// What is in a stream before its reader has taken it.
pub(in crate::launcher) const BUFFER_BYTES: usize = 64 * 1024;

/// The reports of one attempt.
pub(in crate::launcher) struct Reports {
    dispatcher: Dispatcher,
    fence: Fence,
    stdout: DuplexStream,
    stderr: DuplexStream,
    taken: u64,
    stage: Stage,
    /// The last report, once it is here: it may come with the news that the ticket was redeemed.
    ended: Option<RunnerExit>,
}

impl Reports {
    pub(in crate::launcher) const fn new(
        dispatcher: Dispatcher,
        fence: Fence,
        stdout: DuplexStream,
        stderr: DuplexStream,
    ) -> Self {
        Self { dispatcher, fence, stdout, stderr, taken: 0, stage: Stage::Ticketed, ended: None }
    }

    /// Whether a runner has redeemed the ticket, as far as is known here.
    pub(in crate::launcher) fn is_redeemed(&self) -> bool {
        self.stage == Stage::Redeemed
    }

    /// Takes reports until a runner has redeemed the ticket.
    pub(in crate::launcher) async fn redeemed(&mut self) -> Result<(), Error> {
        while !self.is_redeemed() {
            self.round().await?;
        }
        Ok(())
    }

    /// Takes reports until the last one.
    pub(in crate::launcher) async fn ended(&mut self) -> Result<RunnerExit, Error> {
        loop {
            if let Some(how) = self.ended.take() {
                return Ok(how);
            }
            self.round().await?;
        }
    }

    async fn round(&mut self) -> Result<(), Error> {
        let mut backoff = Backoff::default();
        let request =
            WatchRequest { fence: self.fence, stage: self.stage, taken: self.taken, wait_ms: WAIT_MS };
        let reply = loop {
            match self.dispatcher.watch(&request).await {
                Ok(reply) => break reply,
                Err(error) if error.is_passing() => {
                    tracing::warn!(%error, attempt = %self.fence.attempt, "no reports of a runner; asking again");
                    backoff.pause().await;
                }
                Err(error) => return Err(error),
            }
        };
        self.stage = reply.stage;
        for event in reply.events {
            self.taken += 1;
            match event {
                Event::Ended { how } => {
                    self.ended = Some(how);
                    break;
                }
                Event::Printed { stream, bytes } => {
                    let pipe = match stream {
                        LogStream::Stdout => &mut self.stdout,
                        // A runner has no words of the platform's.
                        LogStream::Stderr | LogStream::Platform => &mut self.stderr,
                    };
                    // Nobody reads it any more: the attempt is being given up.
                    let _unread = pipe.write_all(bytes.bytes()).await;
                }
            }
        }
        Ok(())
    }
}
