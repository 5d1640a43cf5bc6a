//! What the code prints, on its way to the worker: kept until it is reported, and no more of it than an
//! attempt may log. Lines, masking and the final cut are the worker's.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    sync::Notify,
    time::timeout,
};
use trace_contracts::wire::{
    launch::{Event, Printed, RunnerExit},
    limit::{LOG_BYTES_PER_ATTEMPT, PRINTED_BYTES, REPORT_EVENTS},
    worker::LogStream,
};

use crate::api::{Api, Error};

/// Somewhat more than an attempt may log, so that it is the worker who says where the log was cut.
const BUDGET: usize = LOG_BYTES_PER_ATTEMPT + 64 * 1024;
/// What the runner itself has to say comes on top.
const OWN_BUDGET: usize = 8 * 1024;
/// So often a runner that has nothing to say asks whether its attempt still lives.
const QUIET: Duration = Duration::from_secs(10);

/// Events on their way.
#[derive(Debug)]
pub struct Relay {
    state: Mutex<State>,
    news: Notify,
}

#[derive(Debug)]
struct State {
    waiting: VecDeque<Waiting>,
    budget: usize,
    own_budget: usize,
    ended: Option<RunnerExit>,
}

/// Bytes of one stream, at most what fits an event.
#[derive(Debug)]
struct Waiting {
    stream: LogStream,
    bytes: Vec<u8>,
}

impl Default for Relay {
    fn default() -> Self {
        let state = State { waiting: VecDeque::new(), budget: BUDGET, own_budget: OWN_BUDGET, ended: None };
        Self { state: Mutex::new(state), news: Notify::new() }
    }
}

impl Relay {
    /// Reads a pipe to its end. What does not fit is dropped, so that the code never waits for a reader.
    pub async fn read(&self, mut pipe: impl AsyncRead + Unpin, stream: LogStream) {
        let mut buffer = vec![0; PRINTED_BYTES];
        while let Ok(length @ 1..) = pipe.read(&mut buffer).await {
            let mut state = self.state();
            let length = length.min(state.budget);
            state.budget -= length;
            state.add(stream, &buffer[..length]);
            drop(state);
            self.news.notify_one();
        }
    }

    /// The runner's own words, as a line that the code could have written.
    pub fn say(&self, words: &str) {
        let line = format!("trace-runner: {words}\n");
        let mut state = self.state();
        let length = line.floor_char_boundary(line.len().min(state.own_budget));
        state.own_budget -= length;
        state.add(LogStream::Stderr, &line.as_bytes()[..length]);
    }

    /// The last event. Nothing is read after it.
    pub fn end(&self, how: RunnerExit) {
        self.state().ended = Some(how);
        self.news.notify_one();
    }

    /// Reports everything, until the end is reported.
    ///
    /// # Errors
    /// When the attempt is over, or the dispatcher stays away.
    pub async fn send(&self, api: &Api) -> Result<(), Error> {
        let mut first_seq = 0;
        loop {
            let (events, is_last) = self.take();
            let count = events.len() as u64;
            api.report(first_seq, events).await?;
            first_seq += count;
            if is_last {
                return Ok(());
            }
            let _heard_or_quiet = timeout(QUIET, self.news.notified()).await;
        }
    }

    fn take(&self) -> (Vec<Event>, bool) {
        let mut state = self.state();
        let count = state.waiting.len().min(REPORT_EVENTS - 1);
        let mut events: Vec<Event> = state
            .waiting
            .drain(..count)
            .map(|one| Event::Printed { stream: one.stream, bytes: Printed::split(&one.bytes).0 })
            .collect();
        if !state.waiting.is_empty() {
            // There is more: the next report follows at once.
            self.news.notify_one();
            return (events, false);
        }
        let ended = state.ended.take().map(|how| Event::Ended { how });
        let is_last = ended.is_some();
        events.extend(ended);
        (events, is_last)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Small pieces of one stream become one event.
    fn add(&mut self, stream: LogStream, mut bytes: &[u8]) {
        if let Some(last) = self.waiting.back_mut().filter(|last| last.stream == stream) {
            let (fits, rest) = bytes.split_at(bytes.len().min(PRINTED_BYTES - last.bytes.len()));
            last.bytes.extend_from_slice(fits);
            bytes = rest;
        }
        if !bytes.is_empty() {
            self.waiting.push_back(Waiting { stream, bytes: bytes.to_vec() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(relay: &Relay) -> (Vec<Event>, bool) {
        let mut all = Vec::new();
        loop {
            let (events, is_last) = relay.take();
            let none = events.is_empty();
            all.extend(events);
            if none || is_last {
                return (all, is_last);
            }
        }
    }

    fn bytes(events: &[Event]) -> usize {
        let length = |event: &Event| match event {
            Event::Printed { bytes, .. } => bytes.bytes().len(),
            Event::Ended { .. } => 0,
        };
        events.iter().map(length).sum()
    }

    #[tokio::test]
    async fn pieces_become_few_events_and_the_end_comes_last() {
        let relay = Relay::default();
        let text = vec![b'x'; 3 * PRINTED_BYTES + 1];
        for piece in text.chunks(100) {
            relay.read(piece, LogStream::Stdout).await;
        }
        relay.read(&b"oh"[..], LogStream::Stderr).await;
        relay.end(RunnerExit::Succeeded);
        let (events, is_last) = taken(&relay);
        assert!(is_last && events.len() == 6, "{}", events.len());
        assert_eq!(events.last(), Some(&Event::Ended { how: RunnerExit::Succeeded }));
        assert_eq!(bytes(&events), text.len() + 2);
        assert_eq!(relay.take(), (Vec::new(), false), "the end is said once");
    }

    #[tokio::test]
    async fn more_than_an_attempt_may_log_is_dropped_and_the_runner_can_still_speak() {
        let relay = Relay::default();
        relay.read(&vec![b'x'; BUDGET + 1000][..], LogStream::Stdout).await;
        relay.say("the outputs are too many");
        for _ in 0..1000 {
            relay.say(&"ä".repeat(100));
        }
        let (events, _) = taken(&relay);
        let all = bytes(&events);
        assert!((BUDGET..=BUDGET + OWN_BUDGET).contains(&all), "{all}");
    }
}
