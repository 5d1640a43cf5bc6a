//! Listeners, and how what comes in is protected on the way.

use std::{io, net::SocketAddr, time::Duration};

use serde::Deserialize;
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout,
};

use crate::{
    Stream,
    tls::{self, Files, Tls},
};

/// A client whose TLS handshake takes longer is disconnected.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);

/// How what comes in is protected on the way.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// Not at all, which is good on this machine alone: other addresses than loopback ones are refused.
    #[default]
    Loopback,
    /// Not at all, on any address: whoever listens on the way sees tokens and data, and can change them.
    Plain,
    /// By TLS 1.2 or 1.3, on any address.
    Tls(Files),
}

/// A transport that is ready to bind listeners; clones share its certificate.
#[derive(Debug, Clone)]
pub enum Door {
    /// See [`Transport::Loopback`].
    Loopback,
    /// See [`Transport::Plain`].
    Plain,
    /// See [`Transport::Tls`].
    Tls(Tls),
}

/// A bound listener.
#[derive(Debug)]
pub struct Listener {
    tcp: TcpListener,
    tls: Option<Tls>,
}

/// A connection that was accepted, and not greeted yet.
#[derive(Debug)]
pub struct Arrival {
    tcp: TcpStream,
    tls: Option<Tls>,
}

/// Why nothing listens.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The certificate or its key.
    #[error("`transport.tls` can't be used: {0}")]
    Tls(#[from] tls::Error),
    /// Not on this machine, and nothing protects it.
    #[error(
        "{0} would be listened on without TLS, and it is not loopback: set `transport: {{ tls: {{ certificate, key }} }}`, or `transport: plain` where you know who listens on the way"
    )]
    Unprotected(SocketAddr),
    /// The address is taken, or not of this machine.
    #[error("{address} can't be listened on: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

impl Transport {
    /// Whether an address may be listened on so. Nothing is opened.
    ///
    /// # Errors
    /// When it would be open to others without TLS, and nobody has said that it may.
    pub fn admit(&self, address: SocketAddr) -> Result<(), Error> {
        match self {
            Self::Loopback if !is_of_this_machine(address) => Err(Error::Unprotected(address)),
            Self::Loopback | Self::Plain | Self::Tls(_) => Ok(()),
        }
    }

    /// Reads the certificate and its key, where there are some, and follows their files from now on.
    ///
    /// # Errors
    /// When they are no pair.
    pub fn open(&self) -> Result<Door, Error> {
        Ok(match self {
            Self::Loopback => Door::Loopback,
            Self::Plain => Door::Plain,
            Self::Tls(files) => Door::Tls(Tls::open(files.clone())?),
        })
    }
}

impl Door {
    /// Binds a listener.
    ///
    /// # Errors
    /// When it would be open to others without TLS, or can't be bound.
    pub async fn bind(&self, address: SocketAddr) -> Result<Listener, Error> {
        let tls = match self {
            Self::Loopback if !is_of_this_machine(address) => return Err(Error::Unprotected(address)),
            Self::Loopback => None,
            Self::Plain => {
                if !is_of_this_machine(address) {
                    tracing::warn!(%address, "listening without TLS, as `transport: plain` says");
                }
                None
            }
            Self::Tls(tls) => Some(tls.clone()),
        };
        let tcp = TcpListener::bind(address).await.map_err(|source| Error::Bind { address, source })?;
        Ok(Listener { tcp, tls })
    }
}

fn is_of_this_machine(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

impl Listener {
    /// Where it listens; the port is known now even where 0 was asked for.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// The next connection. The handshake is no part of it, so that a client that does not go on with one keeps
    /// nobody waiting.
    ///
    /// # Errors
    /// When none can be accepted; see [`is_transient`](crate::serve::is_transient).
    pub async fn accept(&self) -> io::Result<Arrival> {
        let (tcp, _) = self.tcp.accept().await?;
        Ok(Arrival { tcp, tls: self.tls.clone() })
    }
}

impl Arrival {
    /// The handshake, where there is one, within ten seconds.
    ///
    /// # Errors
    /// When the client does not go through with it.
    pub async fn greet(self) -> io::Result<Stream> {
        // Latency of small answers counts here; a failure to set the option costs only that.
        let _ = self.tcp.set_nodelay(true);
        let Some(tls) = self.tls else { return Ok(Stream::Plain(self.tcp)) };
        let stream = timeout(HANDSHAKE_WITHIN, tls.accept(self.tcp)).await??;
        Ok(Stream::Tls(Box::new(stream.into())))
    }
}

/// Plain: whoever bound it has decided where it may be reached from.
impl From<TcpListener> for Listener {
    fn from(tcp: TcpListener) -> Self {
        Self { tcp, tls: None }
    }
}
