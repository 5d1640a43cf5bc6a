//! Listeners, and how what comes in is protected on the way.

use std::{io, net::SocketAddr};

use serde::Deserialize;
use tokio::net::TcpListener;

use crate::tls::{self, Files, Tls};

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
    pub(crate) tcp: TcpListener,
    pub(crate) tls: Option<Tls>,
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
        let is_of_this_machine = address.ip().to_canonical().is_loopback();
        let tls = match self {
            Self::Loopback if !is_of_this_machine => return Err(Error::Unprotected(address)),
            Self::Loopback => None,
            Self::Plain => {
                if !is_of_this_machine {
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

impl Listener {
    /// Where it listens; the port is known now even where 0 was asked for.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

/// Plain: whoever bound it has decided where it may be reached from.
impl From<TcpListener> for Listener {
    fn from(tcp: TcpListener) -> Self {
        Self { tcp, tls: None }
    }
}
