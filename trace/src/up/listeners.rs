//! The addresses of the services in one process. Users get the one that was asked for, all others a
//! loopback port of their own.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
};

use axum::Router;
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;
use url::Url;

/// A bound listener, and where it is.
#[derive(Debug)]
pub(super) struct Bound {
    pub address: SocketAddr,
    listener: TcpListener,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Listeners {
    /// `/v1`, for users.
    pub users: Bound,
    /// `/v1/task` of the dispatcher.
    pub tasks: Bound,
    /// `/internal`, for workers and planes.
    pub workers: Bound,
    /// `/v1/task/query` of the query service.
    pub queries: Bound,
    /// The egress gateway's proxy.
    pub egress: Bound,
}

impl Bound {
    async fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        Ok(Self { address: listener.local_addr()?, listener })
    }

    /// `http://ADDRESS/path`.
    pub fn url(&self, path: &str) -> Url {
        // Unwrap safety: an address and a path of ours make a URL.
        let base: Url = format!("http://{}/", self.address).parse().expect("an address is a URL's host");
        base.join(path).expect("our paths are URL paths")
    }

    /// The listener itself, for what is no router.
    pub fn into_listener(self) -> TcpListener {
        self.listener
    }

    /// Serves a router here, as one of the tasks, until `stopping`.
    pub fn serve(self, tasks: &mut JoinSet<io::Result<()>>, router: Router, stopping: &CancellationToken) {
        tasks.spawn(trace_plane::serve(self.listener, router, stopping.clone()));
    }
}

impl Listeners {
    /// Binds them.
    ///
    /// # Errors
    /// With the address that can't be bound, as when another program listens there.
    pub async fn bind(users: SocketAddr) -> Result<Self, (SocketAddr, io::Error)> {
        let bind = async |address| Bound::bind(address).await.map_err(|error| (address, error));
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Ok(Self {
            users: bind(users).await?,
            tasks: bind(any).await?,
            workers: bind(any).await?,
            queries: bind(any).await?,
            egress: bind(any).await?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_has_a_port_of_its_own_and_a_taken_one_is_named() {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listeners = Listeners::bind(any).await.unwrap();
        let taken = listeners.users.address;
        assert_ne!(taken.port(), listeners.tasks.address.port());
        assert_eq!(
            listeners.users.url("issuer/jwks.json").as_str(),
            format!("http://{taken}/issuer/jwks.json")
        );
        let (address, error) = Listeners::bind(taken).await.unwrap_err();
        assert_eq!((address, error.kind()), (taken, io::ErrorKind::AddrInUse));
    }
}
