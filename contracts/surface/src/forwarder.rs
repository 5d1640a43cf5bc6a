//! From the listeners that a task sees to one fixed address each.
//!
//! Bytes are not looked at: the host name, the signature and the TLS handshake that the program made arrive as
//! they are. What can be reached is decided by which listeners there are. Where the address asks for TLS that the
//! program does not speak, the bytes go into a connection that has proven to lead to the right host. The listener that
//! leads out of the platform is another matter: see [`crate::proxy`].

use std::{
    io,
    net::{SocketAddr, TcpListener as StdListener},
    os::fd::OwnedFd,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, timeout},
};
use trace_plane::{Stream, tls::Connector};
use url::Url;

use crate::proxy::{Gateway, proxy};

/// Connections of one sandbox at a time, to all upstreams together; more wait.
const MAX_CONNECTIONS: usize = 64;
/// A connection on which nothing moves for this long is closed.
const MAX_IDLE: Duration = Duration::from_secs(120);
/// An upstream that does not accept within this time is given up.
pub(crate) const MAX_CONNECT: Duration = Duration::from_secs(10);
/// Not more often than this is it tried to accept when that fails.
const RETRY: Duration = Duration::from_millis(50);
/// In each direction of a connection.
pub(crate) const BUFFER_BYTES: usize = 16 * 1024;

/// Where bytes are forwarded to. What a task sees is always plain HTTP: nobody listens on the way there.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// The address.
    pub address: SocketAddr,
    /// What speaks TLS with it for the program inside, which has no authorities; absent: the bytes go as they are.
    pub tls: Option<Connector>,
}

impl Upstream {
    /// A connection that has proven to lead to the right host, where the address asks for that.
    pub(crate) async fn connect(&self) -> io::Result<Stream> {
        let stream = timeout(MAX_CONNECT, TcpStream::connect(self.address)).await??;
        stream.set_nodelay(true)?;
        let Some(tls) = &self.tls else { return Ok(Stream::Plain(stream)) };
        let stream = timeout(MAX_CONNECT, tls.connect(stream)).await?;
        // A program inside that is told of a closed connection can't know why; an operator should.
        let stream = stream.inspect_err(|error| {
            tracing::warn!(upstream = %self.address, %error, "a service is not believed: check `ca_file` and its certificate");
        })?;
        Ok(Stream::Tls(Box::new(stream.into())))
    }
}

impl From<SocketAddr> for Upstream {
    fn from(address: SocketAddr) -> Self {
        Self { address, tls: None }
    }
}

/// What a listener leads to.
#[derive(Clone)]
pub enum Way {
    /// This address, byte for byte.
    Bytes(Upstream),
    /// The egress gateway, which is shown the attempt's token.
    Outside(Gateway),
}

/// Forwards until it is dropped, which also ends the connections that are open.
pub struct Forwarders {
    _tasks: JoinSet<()>,
}

impl Forwarders {
    /// Starts forwarding from each listener to where it leads.
    ///
    /// # Errors
    /// When a listener can't be used.
    pub fn start(routes: impl IntoIterator<Item = (OwnedFd, Way)>) -> io::Result<Self> {
        let mut tasks = JoinSet::new();
        let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        for (listener, way) in routes {
            let listener = StdListener::from(listener);
            listener.set_nonblocking(true)?;
            let listener = TcpListener::from_std(listener)?;
            tasks.spawn(accept(listener, way, permits.clone(), MAX_IDLE));
        }
        Ok(Self { _tasks: tasks })
    }
}

/// The first address of the host and port of a URL.
///
/// # Errors
/// When it names none, or the name has no address.
pub async fn resolve(url: &Url) -> io::Result<SocketAddr> {
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
        return Err(io::Error::other("it names no host and port"));
    };
    // An IPv6 address stands in brackets in a URL only.
    let host = host.trim_matches(['[', ']']);
    let mut found = tokio::net::lookup_host((host, port)).await?;
    found.next().ok_or_else(|| io::Error::other("the name has no address"))
}

/// Accepts for ever; ends its connections when it is dropped itself.
async fn accept(listener: TcpListener, way: Way, permits: Arc<Semaphore>, idle: Duration) {
    let mut connections = JoinSet::new();
    let mut shortage = tokio::time::interval(RETRY);
    while let Ok(permit) = permits.clone().acquire_owned().await {
        // An error belongs to one connection that is already gone, or to a shortage of descriptors.
        let Ok((inside, _)) = listener.accept().await else {
            shortage.tick().await;
            continue;
        };
        let way = way.clone();
        connections.spawn(async move {
            let (to, ended) = match &way {
                Way::Bytes(upstream) => (upstream.address, forward_unless_idle(inside, upstream, idle).await),
                Way::Outside(gateway) => (gateway.upstream.address, proxy(inside, gateway, idle).await),
            };
            if let Err(error) = ended {
                tracing::debug!(%to, %error, "a forwarded connection ended");
            }
            drop(permit);
        });
        while connections.try_join_next().is_some() {}
    }
}

/// One connection, as `trace/fuzz` drives it.
///
/// # Errors
/// When either end fails.
#[cfg(fuzzing)]
pub async fn forward(inside: TcpStream, upstream: SocketAddr) -> io::Result<()> {
    forward_unless_idle(inside, &upstream.into(), MAX_IDLE).await
}

/// Copies both ways until both ends have closed, or nothing moves any more.
async fn forward_unless_idle(inside: TcpStream, upstream: &Upstream, idle: Duration) -> io::Result<()> {
    let outside = upstream.connect().await?;
    inside.set_nodelay(true)?;
    let (mut inside_read, mut inside_write) = inside.into_split();
    let (mut outside_read, mut outside_write) = tokio::io::split(outside);
    let moved = Moved::new(idle);
    tokio::try_join!(
        copy(&mut inside_read, &mut outside_write, &moved),
        copy(&mut outside_read, &mut inside_write, &moved),
    )?;
    Ok(())
}

/// When a connection last moved a byte, in either direction.
pub(crate) struct Moved {
    at: Mutex<Instant>,
    idle: Duration,
}

impl Moved {
    pub(crate) fn new(idle: Duration) -> Self {
        Self { at: Mutex::new(Instant::now()), idle }
    }

    /// Now.
    pub(crate) fn now(&self) {
        *self.at.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn deadline(&self) -> Instant {
        *self.at.lock().unwrap_or_else(PoisonError::into_inner) + self.idle
    }

    /// Waits for `step`, as long as the connection is not idle in both directions.
    pub(crate) async fn unless_idle<T>(&self, step: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        tokio::pin!(step);
        loop {
            let deadline = self.deadline();
            match tokio::time::timeout_at(deadline, &mut step).await {
                Ok(result) => return result,
                Err(_) if self.deadline() > deadline => {}
                Err(_) => return Err(io::Error::from(io::ErrorKind::TimedOut)),
            }
        }
    }
}

/// Copies until the end, and passes the end on.
pub(crate) async fn copy(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    moved: &Moved,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let bytes = moved.unless_idle(from.read(&mut buffer)).await?;
        moved.now();
        if bytes == 0 {
            return to.shutdown().await;
        }
        moved.unless_idle(to.write_all(&buffer[..bytes])).await?;
        // TLS keeps what it could not send at once.
        moved.unless_idle(to.flush()).await?;
        moved.now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    tokio::io::copy(&mut read, &mut write).await
                });
            }
        });
        address
    }

    async fn forwarded(upstream: SocketAddr, idle: Duration) -> (TcpStream, JoinSet<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Way::Bytes(upstream.into()), Arc::new(Semaphore::new(2)), idle));
        (TcpStream::connect(address).await.unwrap(), tasks)
    }

    #[tokio::test]
    async fn bytes_and_the_end_pass_in_both_directions() {
        let (mut stream, _tasks) = forwarded(echo().await, MAX_IDLE).await;
        let sent = vec![7u8; 3 * BUFFER_BYTES + 1];
        let (mut read, mut write) = stream.split();
        let mut received = Vec::new();
        let (wrote, got) = tokio::join!(
            async {
                write.write_all(&sent).await?;
                write.shutdown().await
            },
            read.read_to_end(&mut received)
        );
        wrote.unwrap();
        got.unwrap();
        assert_eq!(received, sent);
    }

    #[tokio::test]
    async fn an_idle_connection_is_closed() {
        let (mut stream, _tasks) = forwarded(echo().await, Duration::from_millis(50)).await;
        assert_eq!(stream.read(&mut [0; 1]).await.unwrap_or(0), 0);
    }

    #[tokio::test]
    async fn open_connections_end_with_the_forwarders() {
        let (mut stream, tasks) = forwarded(echo().await, MAX_IDLE).await;
        stream.write_all(b"x").await.unwrap();
        assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 1);
        drop(tasks);
        assert_eq!(stream.read(&mut [0; 1]).await.unwrap_or(0), 0);
    }

    #[tokio::test]
    async fn connections_past_the_limit_wait() {
        let upstream = echo().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, Way::Bytes(upstream.into()), Arc::new(Semaphore::new(1)), MAX_IDLE));
        let mut first = TcpStream::connect(address).await.unwrap();
        let mut second = TcpStream::connect(address).await.unwrap();
        first.write_all(b"x").await.unwrap();
        assert_eq!(first.read(&mut [0; 1]).await.unwrap(), 1);
        second.write_all(b"y").await.unwrap();
        let mut answer = [0; 1];
        assert!(timeout(Duration::from_millis(100), second.read(&mut answer)).await.is_err());
        drop(first);
        assert_eq!(second.read(&mut answer).await.unwrap(), 1);
    }
}
