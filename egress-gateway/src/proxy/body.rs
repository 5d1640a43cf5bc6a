//! Bodies on their way, counted against the grant.

use std::{
    net::IpAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU16, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use serde_json::json;
use trace_contracts::{Capability, Destination};

use super::outside::Connection;
use crate::{
    audit::{Action, Auditor, Facts, Figures, entry},
    budget::{Direction, Spent, Usage},
    policy::Rule,
};

/// A body that is counted as it passes.
pub(crate) struct Metered {
    body: Incoming,
    direction: Direction,
    exchange: Arc<Exchange>,
}

/// One request and its answer: what both bodies count on. It is audited when the last of them is dropped.
pub(crate) struct Exchange {
    pub(crate) usage: Usage,
    /// On which connection; none while there is none.
    pub(crate) way: Mutex<Option<Way>>,
    pub(crate) auditor: Auditor,
    pub(crate) capability: Arc<Capability>,
    pub(crate) destination: Destination,
    pub(crate) since: Instant,
    /// The answer's; 0 while there is none.
    pub(crate) status: AtomicU16,
}

/// The connection that a request went out on.
pub(crate) struct Way {
    address: IpAddr,
    /// Bytes that passed on it; its driver looks at them to see silence.
    moved: Arc<AtomicU64>,
}

/// Why a body broke off.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    #[error(transparent)]
    Http(#[from] hyper::Error),
    #[error(transparent)]
    Spent(#[from] Spent),
}

impl Metered {
    pub(crate) const fn new(body: Incoming, direction: Direction, exchange: Arc<Exchange>) -> Self {
        Self { body, direction, exchange }
    }
}

impl Exchange {
    /// It goes out on this connection.
    pub(crate) fn takes(&self, connection: &Connection) {
        let (address, moved) = (connection.address.ip(), Arc::clone(&connection.moved));
        *self.way() = Some(Way { address, moved });
    }

    fn way(&self) -> MutexGuard<'_, Option<Way>> {
        self.way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts bytes that are about to be passed on.
    pub(crate) fn count(&self, direction: Direction, bytes: usize) -> Result<(), Spent> {
        if let Some(way) = &*self.way() {
            way.moved.fetch_add(bytes as u64, Ordering::Relaxed);
        }
        self.usage.count(direction, bytes as u64)
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        // Nothing went out, and why is written elsewhere.
        let Some(address) = self.way().as_ref().map(|way| way.address) else { return };
        let outcome = match self.status.load(Ordering::Relaxed) {
            0 => json!("no_answer"),
            status => json!(status),
        };
        let facts = Facts {
            rule: self.usage.is_spent().then_some(Rule::ByteBudget),
            addresses: vec![address],
            figures: Some(Figures::of(&self.usage, self.since, outcome)),
        };
        let object = self.destination.to_string();
        self.auditor.came_to(entry(&self.capability, Action::Request, object, facts));
    }
}

impl Body for Metered {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => Poll::Ready(Some(match self.exchange.count(self.direction, data.len()) {
                    Ok(()) => Ok(Frame::data(data)),
                    Err(spent) => Err(spent.into()),
                })),
                // Trailers are hop-by-hop here: nobody announced that they are understood.
                Err(_trailers) => Poll::Ready(None),
            },
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error.into()))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
