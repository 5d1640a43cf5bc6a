//! Bytes of a tunnel, both ways, until either side, the attempt or a budget ends it.
//!
//! A tunnel that is silent holds no buffer: one buffer a thread is filled and emptied in one step, and only
//! what a slow receiver leaves over is kept with the tunnel.

use std::{cell::RefCell, io, time::Duration};

use tokio::{
    io::AsyncWriteExt,
    net::{
        TcpStream,
        tcp::{ReadHalf, WriteHalf},
    },
    time::MissedTickBehavior,
};
use tokio_util::sync::CancellationToken;

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
    caller: &mut TcpStream,
    outside: &mut TcpStream,
    usage: &Usage,
    idle: Duration,
    ended: &CancellationToken,
) -> End {
    let (from_caller, to_caller) = caller.split();
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
    from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    usage: &Usage,
    direction: Direction,
) -> Result<(), Broken> {
    loop {
        from.readable().await?;
        match BUFFER.with_borrow_mut(|buffer| step(&from, &to, usage, direction, buffer))? {
            Step::Moved => {}
            Step::Left(rest) => to.write_all(&rest).await?,
            Step::Finished => return Ok(to.shutdown().await?),
        }
    }
}

fn step(
    from: &ReadHalf<'_>,
    to: &WriteHalf<'_>,
    usage: &Usage,
    direction: Direction,
    buffer: &mut [u8],
) -> Result<Step, Broken> {
    let read = match from.try_read(buffer) {
        Ok(0) => return Ok(Step::Finished),
        Ok(read) => read,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Step::Moved),
        Err(error) => return Err(error.into()),
    };
    usage.count(direction, read as u64)?;
    let written = match to.try_write(&buffer[..read]) {
        Ok(written) => written,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
        Err(error) => return Err(error.into()),
    };
    Ok(if written == read { Step::Moved } else { Step::Left(buffer[written..read].to_vec()) })
}
