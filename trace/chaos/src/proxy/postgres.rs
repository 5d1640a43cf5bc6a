//! A relay between one dispatcher and PostgreSQL: it loses the answers of commits that were carried
//! out, and loses, repeats, delays and reorders notifications.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncWrite, AsyncWriteExt as _, BufReader, BufWriter},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
    time::{Instant, sleep_until},
};
use tokio_util::task::AbortOnDropHandle;

use super::{Scissors, frames::Frame};
use crate::weather::{WakeFate, Weather};

/// Messages on their way to the dispatcher that may wait here.
const QUEUE: usize = 256;

/// The relay; it stops when dropped.
#[derive(Debug)]
pub struct PostgresProxy {
    address: SocketAddr,
    _serving: AbortOnDropHandle<()>,
}

impl PostgresProxy {
    /// Listens on loopback, and passes on to `server`.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start(
        server: SocketAddr,
        weather: Arc<Weather>,
        scissors: Scissors,
    ) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let serving = AbortOnDropHandle::new(tokio::spawn(async move {
            loop {
                let Ok((client, _)) = listener.accept().await else { continue };
                let (weather, cut) = (Arc::clone(&weather), scissors.next());
                tokio::spawn(async move {
                    tokio::select! {
                        _ended = relay(client, server, weather) => {}
                        () = cut => {}
                    }
                });
            }
        }));
        Ok(Self { address, _serving: serving })
    }

    /// Where the dispatcher finds it.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

/// One connection. Whichever side ends first, both are cut.
async fn relay(client: TcpStream, server: SocketAddr, weather: Arc<Weather>) -> std::io::Result<()> {
    let server = TcpStream::connect(server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let swallow = Arc::new(AtomicBool::new(false));
    let idle = Arc::new(AtomicBool::new(false));
    let (queue, queued) = mpsc::channel(QUEUE);
    tokio::select! {
        ended = up(from_client, to_server, &weather, &swallow, &idle) => ended,
        ended = read(from_server, queue, &idle) => ended,
        ended = down(queued, to_client, &weather, &swallow) => ended,
    }
}

async fn up(
    client: OwnedReadHalf,
    mut server: OwnedWriteHalf,
    weather: &Weather,
    swallow: &AtomicBool,
    idle: &AtomicBool,
) -> std::io::Result<()> {
    let mut client = BufReader::new(client);
    server.write_all(Frame::read_first(&mut client).await?.bytes()).await?;
    let mut executes = false;
    while let Some(frame) = Frame::read(&mut client).await? {
        executes |= frame.is_execute();
        let alone = frame.is_sync() && std::mem::take(&mut executes) && idle.load(Ordering::Acquire);
        if (frame.is_commit() || alone) && weather.loses_commit_reply() {
            swallow.store(true, Ordering::Release);
        }
        server.write_all(frame.bytes()).await?;
    }
    Ok(())
}

async fn read(server: OwnedReadHalf, queue: mpsc::Sender<Frame>, idle: &AtomicBool) -> std::io::Result<()> {
    let mut server = BufReader::new(server);
    while let Some(frame) = Frame::read(&mut server).await? {
        if frame.is_ready() {
            idle.store(frame.is_ready_and_idle(), Ordering::Release);
        }
        if queue.send(frame).await.is_err() {
            break;
        }
    }
    Ok(())
}

async fn down(
    mut queued: mpsc::Receiver<Frame>,
    client: OwnedWriteHalf,
    weather: &Weather,
    swallow: &AtomicBool,
) -> std::io::Result<()> {
    let mut client = BufWriter::new(client);
    let mut held: Vec<(Instant, Frame)> = Vec::new();
    loop {
        let next = held.iter().map(|(due, _)| *due).min();
        let due = async {
            match next {
                Some(due) => sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            frame = queued.recv() => {
                let Some(frame) = frame else { return Ok(()) };
                if swallow.load(Ordering::Acquire) {
                    // The command is done when the server is ready for the next one: cut it then.
                    if frame.is_ready() { return Ok(()) }
                    continue;
                }
                if frame.is_notification() {
                    wake(frame, &mut client, weather, &mut held).await?;
                } else {
                    client.write_all(frame.bytes()).await?;
                }
            }
            () = due => {
                let now = Instant::now();
                for (_, frame) in held.extract_if(.., |(due, _)| *due <= now) {
                    client.write_all(frame.bytes()).await?;
                }
            }
        }
        if queued.is_empty() {
            client.flush().await?;
        }
    }
}

async fn wake(
    frame: Frame,
    client: &mut (impl AsyncWrite + Unpin),
    weather: &Weather,
    held: &mut Vec<(Instant, Frame)>,
) -> std::io::Result<()> {
    let times = match weather.wake() {
        WakeFate::Passes => 1,
        WakeFate::Lost => 0,
        WakeFate::Twice => 2,
        WakeFate::Late(by) => {
            held.push((Instant::now() + by.max(Duration::from_millis(1)), frame));
            return Ok(());
        }
    };
    for _ in 0..times {
        client.write_all(frame.bytes()).await?;
    }
    Ok(())
}
