//! `/healthz` and `/readyz`, for whatever watches over the wrapper.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use axum::{Router, extract::State, http::StatusCode, routing::get};
use trace_plane::readiness::Readiness;

/// What the wrapper is doing; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<AtomicU8>);

/// What a wrapper can be doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Doing {
    /// No claim was answered yet, or the last one was not.
    Starting = 0,
    /// Claims are answered.
    Claiming = 1,
    /// No more claims; what runs may end.
    Draining = 2,
}

impl Health {
    /// Says what the wrapper does now. Draining is for good.
    pub fn set(&self, doing: Doing) {
        let _draining = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| {
            (now != Doing::Draining as u8).then_some(doing as u8)
        });
    }

    /// Whether claims are answered.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        if self.0.load(Ordering::Relaxed) == Doing::Claiming as u8 {
            Readiness::Ready
        } else {
            Readiness::NotReady
        }
    }

    /// The routes.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/healthz", get(|| async { "ok" }))
            .route("/readyz", get(ready))
            .with_state(self.clone())
    }
}

async fn ready(State(health): State<Health>) -> (StatusCode, &'static str) {
    match health.0.load(Ordering::Relaxed) {
        1 => (StatusCode::OK, "claiming"),
        2 => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "the dispatcher has not answered a claim"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_wrapper_is_ready_while_its_claims_are_answered_and_never_again_once_it_drains() {
        let health = Health::default();
        let status = async || ready(State(health.clone())).await.0.as_u16();
        assert_eq!(status().await, 503);
        health.set(Doing::Claiming);
        assert_eq!(status().await, 200);
        health.set(Doing::Starting);
        assert_eq!(status().await, 503);
        health.set(Doing::Draining);
        health.set(Doing::Claiming);
        assert_eq!(status().await, 503);
    }
}
