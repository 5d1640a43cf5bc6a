//! An engine as the service sees it.

use std::{
    io,
    os::unix::process::ExitStatusExt,
    process::ExitStatus,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    io::AsyncReadExt,
    process::{Child, ChildStderr, ChildStdin, ChildStdout},
    task::JoinHandle,
};
use trace_contracts::OrgId;
use trace_controls::{Protection, limited};

use super::{
    protocol::{self, Answer, Query, Ready, Setup, Taken},
    spawner::Spawner,
};

/// An engine that is not ready by then will not be.
const READY_WITHIN: Duration = Duration::from_secs(20);
/// How long a dead engine may take to be reaped.
const REAPED_WITHIN: Duration = Duration::from_secs(2);
/// What is kept of the words that an engine dies with.
const LAST_WORDS_BYTES: usize = 4096;

/// A running engine. Dropping it kills it.
pub(crate) struct Engine {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
    last_words: Arc<Mutex<Vec<u8>>>,
    listening: JoinHandle<()>,
    /// The only org that it works for; none yet.
    pub(crate) org: Option<OrgId>,
    /// Queries that it has answered.
    pub(crate) answered: u32,
    /// The switches that it was started with; none outside of the hostile suite.
    switches: Option<(&'static str, String)>,
}

/// Why an engine gave no answer. It is not used again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// It could not be started or set up.
    #[error("an engine could not be started: {0}")]
    Start(io::Error),
    /// It could not be started in time.
    #[error("an engine was not ready in time: {0}")]
    Slow(String),
    /// It died at rest, before it took the query: another engine can be asked.
    #[error("the engine died before it took the query")]
    NotTaken,
    /// The kernel gave it no more memory.
    #[error(
        "the query needs more memory than one query may use; read fewer rows or columns, or aggregate in steps"
    )]
    Memory,
    /// Its stack was full.
    #[error("the query is nested too deeply; simplify it")]
    Stack,
    /// Its code panicked while it read or computed.
    #[error(
        "the query can't be executed: reading a table, or computing with its values, failed in a way that the \
         engine does not know; check that the files of the tables are what they should be, or try another form of \
         the query"
    )]
    Panicked,
    /// It died otherwise.
    #[error("the engine that ran the query ended unexpectedly ({0}); the service goes on")]
    Died(String),
}

impl Engine {
    /// Starts an engine and waits until it has confined itself.
    pub(crate) async fn start(spawner: &Spawner, setup: &Setup) -> Result<Self, Error> {
        let memory_bytes = limited(Protection::EngineMemory, setup.memory_bytes);
        let setup = &Setup { memory_bytes, ..setup.clone() };
        let switches = trace_controls::passed_on();
        let mut child = spawner.start().await.map_err(Error::Start)?;
        let gone = || Error::Start(io::Error::other("a pipe of the engine is missing"));
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(gone());
        };
        let stderr = child.stderr.take().ok_or_else(gone)?;
        let last_words = Arc::new(Mutex::new(Vec::new()));
        let listening = tokio::spawn(listen(stderr, Arc::clone(&last_words)));
        let mut engine =
            Self { child, input, output, last_words, listening, org: None, answered: 0, switches };
        let ready = tokio::time::timeout(READY_WITHIN, engine.set_up(setup)).await;
        match ready {
            Ok(Ok(ready)) => {
                tracing::debug!(pid = ready.pid, "an engine is ready");
                Ok(engine)
            }
            Ok(Err(error)) => {
                let words = engine.autopsy().await.1;
                Err(Error::Start(io::Error::new(error.kind(), format!("{error}; {words}"))))
            }
            Err(_) => Err(Error::Slow(engine.last_words())),
        }
    }

    async fn set_up(&mut self, setup: &Setup) -> io::Result<Ready> {
        protocol::send(&mut self.input, setup, b"").await?;
        Ok(protocol::receive(&mut self.output, 0).await?.0)
    }

    /// Whether it can still be asked.
    pub(crate) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None)) && self.switches == trace_controls::passed_on()
    }

    /// Asks one query. An engine that failed, or whose answer was not waited for, must be dropped.
    pub(crate) async fn ask(&mut self, query: &Query, sql: &str) -> Result<(Answer, Bytes), Error> {
        self.hand_over(query, sql).await.map_err(|_| Error::NotTaken)?;
        match protocol::receive(&mut self.output, query.bounds.bytes).await {
            Ok((Answer::Panicked, _)) => {
                tracing::warn!("an engine panicked; it is replaced");
                Err(Error::Panicked)
            }
            Ok(answer) => {
                self.answered += 1;
                Ok(answer)
            }
            Err(error) => Err(self.died(&error).await),
        }
    }

    async fn hand_over(&mut self, query: &Query, sql: &str) -> io::Result<Taken> {
        protocol::send(&mut self.input, query, sql.as_bytes()).await?;
        Ok(protocol::receive(&mut self.output, 0).await?.0)
    }

    async fn died(&mut self, error: &io::Error) -> Error {
        let (status, words) = self.autopsy().await;
        let cause = status.map_or_else(|| error.to_string(), how);
        tracing::warn!(cause, "an engine died");
        if words.contains("memory allocation of") || words.contains("Cannot allocate memory") {
            Error::Memory
        } else if words.contains("has overflowed its stack") {
            Error::Stack
        } else {
            Error::Died(cause)
        }
    }

    /// How it ended, killing it where it has not, and its last words.
    async fn autopsy(&mut self) -> (Option<ExitStatus>, String) {
        let status = match tokio::time::timeout(REAPED_WITHIN, self.child.wait()).await {
            Ok(status) => status.ok(),
            Err(_) => None,
        };
        let _not_running = self.child.start_kill();
        let _slow = tokio::time::timeout(REAPED_WITHIN, &mut self.listening).await;
        (status, self.last_words())
    }

    fn last_words(&self) -> String {
        let words = self.last_words.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&words).into_owned()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// Keeps the end of what the engine writes. It is looked at, and never logged: it may quote data.
async fn listen(mut stderr: ChildStderr, words: Arc<Mutex<Vec<u8>>>) {
    let mut chunk = [0; 1024];
    while let Ok(read @ 1..) = stderr.read(&mut chunk).await {
        let mut words = words.lock().unwrap_or_else(PoisonError::into_inner);
        words.extend_from_slice(&chunk[..read]);
        let surplus = words.len().saturating_sub(LAST_WORDS_BYTES);
        words.drain(..surplus);
    }
}

fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "unknown".to_owned(),
    }
}
