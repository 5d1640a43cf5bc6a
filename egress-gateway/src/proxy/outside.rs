//! Connections to destinations.
//!
//! They are kept for the caller's connection that they were made for, and for nobody else: what a
//! destination believes of a connection (a login, half an answer) never passes from one attempt to another.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU64, atomic::Ordering},
};

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use trace_contracts::{AttemptId, Destination};
use trace_plane::{Hold, Reply};

use super::{
    Asker, Core, answer,
    body::{Exchange, Metered},
};
use crate::{
    audit::{Action, Facts, Figures, entry},
    budget::Usage,
    dial::{dial, wait_until},
    policy::Rule,
    relay::silence,
};

/// Connections that are kept for one connection of a caller.
const MAX_KEPT: usize = 4;
/// Room for all headers of an answer.
const MAX_HEADER_BYTES: usize = 64 * 1024;

/// A connection on which a request can be sent.
pub(crate) struct Connection {
    pub(crate) sender: SendRequest<Metered>,
    pub(crate) address: SocketAddr,
    /// Bytes that passed on it.
    pub(crate) moved: Arc<AtomicU64>,
}

/// Connections that are kept, each for an attempt and a destination.
#[derive(Default)]
pub(super) struct Kept(Mutex<Vec<(AttemptId, Destination, Connection)>>);

impl Kept {
    pub(super) fn take(&self, attempt: AttemptId, destination: &Destination) -> Option<Connection> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(_, _, connection)| !connection.sender.is_closed());
        let place = kept.iter().position(|(of, to, _)| *of == attempt && to == destination)?;
        Some(kept.swap_remove(place).2)
    }

    pub(super) fn keep(&self, attempt: AttemptId, destination: Destination, connection: Connection) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MAX_KEPT {
            kept.remove(0);
        }
        kept.push((attempt, destination, connection));
    }
}

impl Core {
    /// Decides on a destination, writes the decision down, and connects to what was vetted.
    pub(super) async fn reach(
        &self,
        asker: &Asker,
        destination: &Destination,
        usage: &Usage,
        action: Action,
    ) -> Reply<(TcpStream, SocketAddr)> {
        let until = (asker.since + self.limits.reach()).into();
        let vetted = match self.vetter.vet(destination).await {
            Ok(vetted) => vetted,
            Err(denied) => {
                return Err(self.deny(asker, destination.to_string(), denied.rule, denied.addresses).await);
            }
        };
        let addresses: Vec<_> = vetted.addresses().iter().map(SocketAddr::ip).collect();
        let facts = Facts { addresses, ..Facts::default() };
        let decided = entry(&asker.capability, Action::Connect, destination.to_string(), facts.clone());
        self.auditor.decided(decided).await?;
        match dial(&vetted, until).await {
            Ok(reached) => Ok(reached),
            Err(rule) => {
                let figures = Figures::of(usage, asker.since, rule.as_str().into());
                let facts = Facts { figures: Some(figures), ..facts };
                self.auditor.came_to(entry(&asker.capability, action, destination.to_string(), facts));
                wait_until(until).await;
                Err(answer::denied(rule))
            }
        }
    }

    /// A connection for requests. It ends with the attempt, and when nothing moves on it for too long.
    pub(super) async fn connect(
        &self,
        asker: &Asker,
        hold: Hold,
        destination: &Destination,
        exchange: &Exchange,
    ) -> Reply<Connection> {
        let (stream, address) = self.reach(asker, destination, &exchange.usage, Action::Request).await?;
        let handshake = http1::Builder::new().max_buf_size(MAX_HEADER_BYTES).handshake(TokioIo::new(stream));
        let (sender, connection) = handshake.await.map_err(|_| answer::denied(Rule::BadAnswer))?;
        let moved = Arc::new(AtomicU64::new(0));
        let (counted, stopping, idle) =
            (Arc::clone(&moved), self.stopping.clone(), self.limits.request_silence());
        self.tasks.spawn(async move {
            let ended = hold.ended();
            tokio::select! {
                // How it ends is told to whoever waits for an answer on it.
                _ = connection => {}
                () = ended.cancelled() => {}
                () = stopping.cancelled() => {}
                () = silence(|| counted.load(Ordering::Relaxed), idle) => {}
            }
        });
        Ok(Connection { sender, address, moved })
    }
}
