//! The token that opens the egress gateway to one attempt, kept fresh for as long as the attempt runs.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use tokio::sync::Mutex;
use trace_contracts::{Secret, wire::task::TokenReply};

pub use trace_surface::proxy::{EgressTokens, NoToken};

use crate::{dispatcher::Error, task_api::Authority};

/// Who exchanges an attempt's capability.
#[async_trait]
pub(crate) trait Exchange: Send + Sync {
    /// A token for the gateway.
    async fn egress_token(&self) -> Result<TokenReply, Error>;
}

#[async_trait]
impl Exchange for Authority {
    async fn egress_token(&self) -> Result<TokenReply, Error> {
        self.exchange_for_egress().await
    }
}

/// The tokens of one attempt: asked for when they are first needed, and again when half of their time has
/// passed.
pub(crate) struct AttemptTokens {
    exchange: Arc<dyn Exchange>,
    clock: fn() -> DateTime<Utc>,
    held: Mutex<Option<Held>>,
}

#[derive(Clone)]
struct Held {
    token: Secret<String>,
    expires_at: DateTime<Utc>,
    renew_at: DateTime<Utc>,
}

impl AttemptTokens {
    pub(crate) fn new(exchange: Arc<dyn Exchange>) -> Self {
        Self { exchange, clock: Utc::now, held: Mutex::default() }
    }
}

#[async_trait]
impl EgressTokens for AttemptTokens {
    async fn current(&self) -> Result<Secret<String>, NoToken> {
        // Whoever comes meanwhile waits for the one that asks, and has its answer.
        let mut held = self.held.lock().await;
        let now = (self.clock)();
        let known = held.clone();
        if let Some(held) = known.as_ref().filter(|held| now < held.renew_at) {
            return Ok(held.token.clone());
        }
        match (self.exchange.egress_token().await, known.filter(|held| now < held.expires_at)) {
            (Ok(TokenReply { token, expires_at }), _) => {
                let renew_at = now + (expires_at - now) / 2;
                *held = Some(Held { token: token.clone(), expires_at, renew_at });
                Ok(token)
            }
            (Err(error), Some(held)) if error.is_passing() => {
                tracing::warn!(%error, "an attempt's token for the gateway was not renewed yet");
                Ok(held.token)
            }
            (Err(error), None) if error.is_passing() => {
                tracing::warn!(%error, "no token for the gateway");
                Err(NoToken::Away)
            }
            (Err(error), _) => {
                // What is taken back is not used to its end.
                *held = None;
                tracing::info!(%error, "an attempt may reach nothing outside any more");
                Err(NoToken::Refused(refusal(&error)))
            }
        }
    }
}

/// What code in a sandbox is told of a refusal: nothing of the platform's addresses.
fn refusal(error: &Error) -> String {
    match error {
        Error::Refused { detail, .. } => detail.clone(),
        _ => "this task may reach nothing outside".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        cell::Cell,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use chrono::TimeDelta;
    use reqwest::StatusCode;

    use super::*;

    thread_local! {
        static SECONDS: Cell<i64> = const { Cell::new(0) };
    }

    fn now() -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(SECONDS.get())
    }

    /// Mints tokens of 600 s, and answers with a status after so many.
    struct Dispatcher {
        asked: AtomicUsize,
        good: usize,
        then: StatusCode,
    }

    #[async_trait]
    impl Exchange for Dispatcher {
        async fn egress_token(&self) -> Result<TokenReply, Error> {
            let asked = self.asked.fetch_add(1, Ordering::SeqCst);
            if asked < self.good {
                let token = Secret::new(format!("token-{asked}"));
                return Ok(TokenReply { token, expires_at: now() + TimeDelta::seconds(600) });
            }
            let url = "http://dispatcher/v1/task/token".to_owned();
            Err(Error::Refused { url, status: self.then, detail: "no longer allowed".to_owned() })
        }
    }

    fn tokens(good: usize, then: StatusCode) -> (Arc<Dispatcher>, AttemptTokens) {
        SECONDS.set(0);
        let dispatcher = Arc::new(Dispatcher { asked: AtomicUsize::new(0), good, then });
        let tokens = AttemptTokens {
            exchange: Arc::clone(&dispatcher) as Arc<dyn Exchange>,
            clock: now,
            held: Mutex::default(),
        };
        (dispatcher, tokens)
    }

    async fn said(tokens: &AttemptTokens) -> Result<String, NoToken> {
        tokens.current().await.map(|token| token.expose().clone())
    }

    #[tokio::test]
    async fn a_token_is_renewed_at_half_its_time() {
        let (dispatcher, tokens) = tokens(99, StatusCode::FORBIDDEN);
        for (second, expected) in [(0, "token-0"), (299, "token-0"), (300, "token-1"), (599, "token-1")] {
            SECONDS.set(second);
            assert_eq!(said(&tokens).await.as_deref(), Ok(expected), "after {second} s");
        }
        assert_eq!(dispatcher.asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn while_the_dispatcher_is_away_a_token_is_used_to_its_end() {
        let (_dispatcher, tokens) = tokens(1, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(said(&tokens).await.as_deref(), Ok("token-0"));
        SECONDS.set(599);
        assert_eq!(said(&tokens).await.as_deref(), Ok("token-0"));
        SECONDS.set(600);
        assert_eq!(said(&tokens).await, Err(NoToken::Away));
    }

    #[tokio::test]
    async fn a_refusal_counts_at_once() {
        let (_dispatcher, tokens) = tokens(1, StatusCode::FORBIDDEN);
        said(&tokens).await.unwrap();
        SECONDS.set(300);
        assert_eq!(said(&tokens).await, Err(NoToken::Refused("no longer allowed".to_owned())));
        SECONDS.set(301);
        assert!(said(&tokens).await.is_err(), "the old token is not used, either");
    }
}
