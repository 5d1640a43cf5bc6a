//! Sending a log to the dispatcher while it grows.

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::timeout;
use trace_contracts::wire::{limit::BATCH_ITEMS, worker::LogLine};

use super::LogBook;
use crate::backoff::Backoff;

/// Lines are gathered for this long, so that one request carries many.
const GATHER: Duration = Duration::from_millis(100);

/// About so much text in one request.
const BATCH_BYTES: usize = 512 * 1024;

/// Where lines go.
#[async_trait]
pub trait Destination: Send + Sync {
    /// Sends lines of which the first has this number. Sending the same ones again is harmless.
    async fn send(&self, first_seq: u64, lines: &[LogLine]) -> Sent;
}

/// What became of a batch of lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// It arrived.
    Arrived,
    /// It is not known whether it arrived: send it again.
    Again,
    /// Nobody wants lines of this attempt any more.
    Unwanted,
}

/// Sends `book` to `destination` until it is closed and all of it has arrived, or nobody wants it.
pub async fn ship(book: &LogBook, destination: &dyn Destination) {
    let mut backoff = Backoff::default();
    while let Some(_some) = book.next(1, usize::MAX).await {
        // Ends early once the log is closed: its end is not worth waiting for.
        let _gathered = timeout(GATHER, book.closed()).await;
        let Some(batch) = book.next(BATCH_ITEMS, BATCH_BYTES).await else { return };
        match destination.send(batch.first_seq, &batch.lines).await {
            Sent::Arrived => {
                book.sent(&batch);
                backoff = Backoff::default();
            }
            Sent::Again => backoff.pause().await,
            Sent::Unwanted => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use trace_contracts::wire::worker::LogStream;

    use super::*;
    use crate::logs::Masker;

    /// Loses the reply to every other batch.
    #[derive(Default)]
    struct Lossy {
        batches: Mutex<Vec<(u64, Vec<String>)>>,
    }

    #[async_trait]
    impl Destination for Lossy {
        async fn send(&self, first_seq: u64, lines: &[LogLine]) -> Sent {
            let mut batches = self.batches.lock().unwrap();
            batches.push((first_seq, lines.iter().map(|line| line.text.clone()).collect()));
            if batches.len() % 2 == 1 { Sent::Again } else { Sent::Arrived }
        }
    }

    #[tokio::test]
    async fn a_batch_without_an_answer_is_sent_again_as_it_was() {
        let book = LogBook::new(Masker::default());
        let destination = Lossy::default();
        book.print(LogStream::Stdout, b"one");
        let printing = async {
            book.print(LogStream::Stdout, b"two");
            book.close();
        };
        tokio::join!(ship(&book, &destination), printing);
        let batches = destination.batches.into_inner().unwrap();
        let both = vec!["one".to_owned(), "two".to_owned()];
        assert_eq!(batches, [(0, both.clone()), (0, both)]);
    }
}
