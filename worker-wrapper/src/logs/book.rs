//! What is kept of an attempt's output until the dispatcher has it.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError, RwLock},
};

use chrono::Utc;
use tokio::sync::Notify;
use trace_contracts::{
    Secret,
    wire::{
        limit::LOG_BYTES_PER_ATTEMPT,
        worker::{LogLine, LogStream},
    },
};

use super::{
    mask::{LineEnd, Masker},
    text,
};

/// What a line costs of the budget besides its text, so that empty lines are not free.
const LINE_COST: usize = 32;

/// Kept back for what the platform itself has to say once the budget is used up.
const PLATFORM_BYTES: usize = 8 * 1024;

/// The platform's own lines are never longer.
const PLATFORM_LINE_BYTES: usize = 1024;

const TRUNCATED: &str =
    "log truncated: one attempt keeps 1 MiB of what it prints; write large results to /out";

/// The log of one attempt: lines in order, masked and capped, numbered from 0.
#[derive(Debug)]
pub struct LogBook {
    masker: RwLock<Masker>,
    state: Mutex<State>,
    news: Notify,
}

#[derive(Debug)]
struct State {
    /// Not yet known to have arrived.
    waiting: VecDeque<LogLine>,
    /// The number of the first of `waiting`.
    first_seq: u64,
    budget: usize,
    platform_budget: usize,
    is_truncated: bool,
    last_error_line: Option<String>,
    is_closed: bool,
}

/// Lines to send, in order.
#[derive(Debug)]
pub(super) struct Batch {
    /// The number of the first.
    pub(super) first_seq: u64,
    pub(super) lines: Vec<LogLine>,
}

impl LogBook {
    /// An empty log whose lines are masked by `masker`.
    #[must_use]
    pub fn new(masker: Masker) -> Self {
        Self {
            masker: RwLock::new(masker),
            state: Mutex::new(State {
                waiting: VecDeque::new(),
                first_seq: 0,
                budget: budget(),
                platform_budget: PLATFORM_BYTES,
                is_truncated: false,
                last_error_line: None,
                is_closed: false,
            }),
            news: Notify::new(),
        }
    }

    /// Masks these values too, in whatever is added from now on.
    pub fn learn(&self, secrets: Vec<Secret<String>>) {
        self.masker.write().unwrap_or_else(PoisonError::into_inner).learn(secrets);
    }

    /// Adds a line that the code printed. Never blocks; past the budget the line is dropped, and the
    /// first that is dropped leaves a word about it.
    pub(super) fn print(&self, stream: LogStream, raw: &[u8]) {
        let mut state = self.state();
        if state.is_truncated && stream == LogStream::Stdout {
            return;
        }
        let line = self.readable(raw);
        if stream == LogStream::Stderr && !line.trim().is_empty() {
            state.last_error_line = Some(line.clone());
        }
        if state.is_truncated {
            return;
        }
        let cost = line.len() + LINE_COST;
        if cost > state.budget {
            state.is_truncated = true;
            state.add_platform_line(TRUNCATED);
        } else {
            state.budget -= cost;
            state.add(stream, line);
        }
        drop(state);
        self.news.notify_one();
    }

    /// Adds a word of the platform's own about the attempt.
    pub fn say(&self, words: &str) {
        let line = self.readable(words.as_bytes());
        self.state().add_platform_line(&line);
        self.news.notify_one();
    }

    /// The last line of standard error that says something, masked.
    #[must_use]
    pub fn last_error_line(&self) -> Option<String> {
        self.state().last_error_line.clone()
    }

    /// Masks a text that leaves the wrapper by another way than the log.
    #[must_use]
    pub fn readable(&self, raw: &[u8]) -> String {
        let (masked, end) = self.masker.read().unwrap_or_else(PoisonError::into_inner).mask(raw);
        let mut line = text::plain(&masked);
        if end == LineEnd::Cut {
            line.push_str(" [line cut]");
        }
        line
    }

    /// Nothing will be added any more.
    pub fn close(&self) {
        self.state().is_closed = true;
        self.news.notify_one();
    }

    /// Every line that has not been sent, for a run without a dispatcher.
    #[must_use]
    pub fn take(&self) -> Vec<LogLine> {
        let mut state = self.state();
        state.first_seq += state.waiting.len() as u64;
        state.waiting.drain(..).collect()
    }

    /// The next lines to send, without removing them: at most `max_lines`, and about `max_bytes`.
    /// Waits until there is one; `None` when the log is closed and everything was sent.
    pub(super) async fn next(&self, max_lines: usize, max_bytes: usize) -> Option<Batch> {
        loop {
            {
                let state = self.state();
                if !state.waiting.is_empty() {
                    return Some(state.batch(max_lines, max_bytes));
                }
                if state.is_closed {
                    return None;
                }
            }
            self.news.notified().await;
        }
    }

    /// Whether nothing will be added any more.
    pub(super) fn is_closed(&self) -> bool {
        self.state().is_closed
    }

    /// Waits for the log to be closed.
    pub(super) async fn closed(&self) {
        while !self.is_closed() {
            self.news.notified().await;
        }
    }

    /// These arrived.
    pub(super) fn sent(&self, batch: &Batch) {
        let mut state = self.state();
        for _ in &batch.lines {
            state.waiting.pop_front();
            state.first_seq += 1;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn add(&mut self, stream: LogStream, text: String) {
        self.waiting.push_back(LogLine { at: Utc::now(), stream, text });
    }

    fn add_platform_line(&mut self, words: &str) {
        let mut line: String = words.to_owned();
        line.truncate(line.floor_char_boundary(PLATFORM_LINE_BYTES));
        let cost = line.len() + LINE_COST;
        if cost <= self.platform_budget {
            self.platform_budget -= cost;
            self.add(LogStream::Platform, line);
        }
    }

    fn batch(&self, max_lines: usize, max_bytes: usize) -> Batch {
        let mut bytes = 0;
        let lines = self
            .waiting
            .iter()
            .take(max_lines)
            .take_while(|line| {
                bytes += line.text.len();
                bytes <= max_bytes
            })
            .cloned()
            .collect();
        Batch { first_seq: self.first_seq, lines }
    }
}

/// Bytes that an attempt may print.
fn budget() -> usize {
    let cut = trace_controls::stands(trace_controls::Protection::LogCap);
    (LOG_BYTES_PER_ATTEMPT - PLATFORM_BYTES) * if cut { 1 } else { 4 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(book: &LogBook) -> Vec<String> {
        book.take().into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn past_the_budget_one_last_word_is_kept() {
        let book = LogBook::new(Masker::default());
        for _ in 0..LOG_BYTES_PER_ATTEMPT / 1000 + 10 {
            book.print(LogStream::Stdout, &[b'x'; 1000]);
        }
        book.print(LogStream::Stderr, b"ValueError: the reason");
        book.say("killed: it ran for longer than its 60 s");
        let lines = texts(&book);
        assert!(lines.iter().map(String::len).sum::<usize>() <= LOG_BYTES_PER_ATTEMPT);
        assert_eq!(lines[lines.len() - 2], TRUNCATED);
        assert_eq!(lines[lines.len() - 1], "killed: it ran for longer than its 60 s");
        assert_eq!(book.last_error_line().as_deref(), Some("ValueError: the reason"));
    }

    #[test]
    fn empty_lines_use_up_the_budget_too() {
        let book = LogBook::new(Masker::default());
        for _ in 0..LOG_BYTES_PER_ATTEMPT {
            book.print(LogStream::Stdout, b"");
        }
        assert!(texts(&book).len() <= LOG_BYTES_PER_ATTEMPT / LINE_COST);
    }

    #[tokio::test]
    async fn what_was_not_sent_is_answered_again_under_the_same_number() {
        let book = LogBook::new(Masker::default());
        for word in [b"a", b"b", b"c"] {
            book.print(LogStream::Stdout, word);
        }
        let first = book.next(2, 100).await.unwrap();
        assert_eq!((first.first_seq, first.lines.len()), (0, 2));
        let again = book.next(10, 2).await.unwrap();
        assert_eq!((again.first_seq, again.lines.len()), (0, 2));
        book.sent(&first);
        let rest = book.next(10, 100).await.unwrap();
        assert_eq!((rest.first_seq, rest.lines[0].text.as_str()), (2, "c"));
        book.sent(&rest);
        book.close();
        assert!(book.next(10, 100).await.is_none());
    }
}
