//! Bytes of a tunnel, both ways, until either side, the attempt or a budget ends it.
//!
//! A tunnel that is silent holds no buffer: one buffer a thread is filled and emptied in one step, and only
//! what a slow receiver leaves over is kept with the tunnel. A caller's TLS has small buffers of its own.

use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
    time::MissedTickBehavior,
};
use tokio_util::sync::CancellationToken;
use trace_plane::Stream;

use crate::budget::{Direction, Spent, Usage};

/// What is moved at once.
const PIECE: usize = 64 * 1024;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; PIECE].into_boxed_slice());
}

/// How a tunnel ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// One side closed it, or broke it off.
    Closed,
    /// Nothing came through for too long.
    Idle,
    /// The attempt is over, or the gateway stops.
    Ended,
    /// The grant's bytes are used up.
    Budget,
}

enum Step {
    Moved,
    Left(Vec<u8>),
    Finished,
}

enum Broken {
    Io,
    Spent,
}

impl From<io::Error> for Broken {
    fn from(_: io::Error) -> Self {
        Self::Io
    }
}

impl From<Spent> for Broken {
    fn from(_: Spent) -> Self {
        Self::Spent
    }
}

/// Moves bytes until it ends.
pub(crate) async fn relay(
    caller: &mut Stream,
    outside: &mut TcpStream,
    usage: &Usage,
    idle: Duration,
    ended: &CancellationToken,
) -> End {
    let (from_caller, to_caller) = tokio::io::split(caller);
    let (from_outside, to_outside) = outside.split();
    let moving = async {
        tokio::try_join!(
            pump(from_caller, to_outside, usage, Direction::Up),
            pump(from_outside, to_caller, usage, Direction::Down),
        )
    };
    tokio::select! {
        biased;
        () = ended.cancelled() => End::Ended,
        moved = moving => match moved {
            Ok(_) | Err(Broken::Io) => End::Closed,
            Err(Broken::Spent) => End::Budget,
        },
        () = silence(|| usage.total(), idle) => End::Idle,
    }
}

/// Waits until no byte was counted for a whole interval.
pub(crate) async fn silence(counted: impl Fn() -> u64, idle: Duration) {
    let mut ticks = tokio::time::interval(idle);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    let mut before = counted();
    loop {
        ticks.tick().await;
        let now = counted();
        if now == before {
            return;
        }
        before = now;
    }
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    usage: &Usage,
    direction: Direction,
) -> Result<(), Broken> {
    loop {
        let counted = |bytes: usize| usage.count(direction, bytes as u64);
        let step = poll_fn(|cx| {
            BUFFER.with_borrow_mut(|buffer| step(cx, Pin::new(&mut from), Pin::new(&mut to), counted, buffer))
        });
        match step.await? {
            Step::Moved => {}
            Step::Left(rest) => to.write_all(&rest).await?,
            Step::Finished => return Ok(to.shutdown().await?),
        }
        // TLS keeps what it could not send at once.
        to.flush().await?;
    }
}

/// Reads, and writes what was read as far as it is taken. The buffer is the thread's: nothing else runs on it
/// before this returns.
fn step(
    cx: &mut Context<'_>,
    from: Pin<&mut impl AsyncRead>,
    to: Pin<&mut impl AsyncWrite>,
    counted: impl Fn(usize) -> Result<(), Spent>,
    buffer: &mut [u8],
) -> Poll<Result<Step, Broken>> {
    let mut buffer = ReadBuf::new(buffer);
    ready!(from.poll_read(cx, &mut buffer))?;
    let read = buffer.filled();
    if read.is_empty() {
        return Poll::Ready(Ok(Step::Finished));
    }
    counted(read.len())?;
    let written = match to.poll_write(cx, read) {
        Poll::Ready(written) => written?,
        Poll::Pending => 0,
    };
    let left = &read[written..];
    Poll::Ready(Ok(if left.is_empty() { Step::Moved } else { Step::Left(left.to_vec()) }))
}
