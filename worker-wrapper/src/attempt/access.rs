//! The keys that outputs are written with, renewed while outputs are written.
//!
//! A session lasts a quarter of an hour, and an upload may take longer.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use tokio::sync::Mutex;

use crate::{
    backoff::{DISPATCHER_AWAY, Retrying},
    task_api::{Authority, NoAccess, OutputAccess},
};

/// Where keys come from.
#[async_trait]
pub(crate) trait Source: Send + Sync {
    /// Keys that are good for a while.
    async fn access(&self) -> Result<OutputAccess, NoAccess>;
}

#[async_trait]
impl Source for Authority {
    async fn access(&self) -> Result<OutputAccess, NoAccess> {
        self.output_access().await
    }
}

/// Keys that are asked for again when half of their time has passed.
pub(crate) struct Access<'a> {
    source: &'a dyn Source,
    clock: fn() -> DateTime<Utc>,
    patience: Duration,
    held: Mutex<Option<Held>>,
}

#[derive(Clone)]
struct Held {
    access: Arc<OutputAccess>,
    renew_at: DateTime<Utc>,
}

impl<'a> Access<'a> {
    pub(crate) fn new(source: &'a dyn Source) -> Self {
        Self { source, clock: Utc::now, patience: DISPATCHER_AWAY, held: Mutex::default() }
    }

    /// Keys that are good for a request that starts now.
    pub(crate) async fn current(&self) -> Result<Arc<OutputAccess>, NoAccess> {
        let mut held = self.held.lock().await;
        let now = (self.clock)();
        let known = held.clone();
        if let Some(held) = known.as_ref().filter(|held| now < held.renew_at) {
            return Ok(Arc::clone(&held.access));
        }
        let mut retrying = Retrying::new(self.patience);
        loop {
            match (self.source.access().await, &known) {
                (Ok(access), _) => {
                    let renew_at = now + (access.session.expires_at - now) / 2;
                    let access = Arc::new(access);
                    *held = Some(Held { access: Arc::clone(&access), renew_at });
                    return Ok(access);
                }
                // The dispatcher may be away for a moment, and what is held is good for a while yet.
                (Err(error), Some(held)) if now < held.access.session.expires_at => {
                    tracing::warn!(%error, "an attempt's keys were not renewed yet");
                    return Ok(Arc::clone(&held.access));
                }
                // An hour's work is not thrown away because a dispatcher restarts.
                (Err(error), _) if error.is_passing() && retrying.again().await => {
                    tracing::warn!(%error, "no keys for an attempt's outputs yet; asking again");
                }
                (Err(error), _) => return Err(error),
            }
        }
    }

    /// The store says that these keys have expired, whatever the clock here says.
    pub(crate) async fn expired(&self, access: &Arc<OutputAccess>) {
        let mut held = self.held.lock().await;
        if held.as_ref().is_some_and(|held| Arc::ptr_eq(&held.access, access)) {
            *held = None;
        }
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
    use trace_contracts::{Secret, wire::task::SessionCredentials};

    use super::*;
    use crate::dispatcher::Error;

    thread_local! {
        static SECONDS: Cell<i64> = const { Cell::new(0) };
    }

    fn now() -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(SECONDS.get())
    }

    /// A dispatcher that mints sessions of 900 s, or is away.
    #[derive(Default)]
    struct Dispatcher {
        asked: AtomicUsize,
        away_after: Option<usize>,
        restarts_for: usize,
    }

    #[async_trait]
    impl Source for Dispatcher {
        async fn access(&self) -> Result<OutputAccess, NoAccess> {
            let asked = self.asked.fetch_add(1, Ordering::SeqCst);
            let output: trace_contracts::S3Prefix = "s3://trace/out/".parse().unwrap();
            if self.away_after.is_some_and(|after| asked >= after) {
                return Err(NoAccess::NoSession(output));
            }
            if asked < self.restarts_for {
                let url = "http://dispatcher/v1/task/credentials".to_owned();
                let (status, detail) = (StatusCode::SERVICE_UNAVAILABLE, "restarting".to_owned());
                return Err(NoAccess::Api(Error::Refused { url, status, detail }));
            }
            let session = SessionCredentials {
                access_key_id: format!("ASIA{asked}"),
                secret_access_key: Secret::new("hush".to_owned()),
                session_token: Secret::new("hush".to_owned()),
                expires_at: now() + TimeDelta::seconds(900),
                read: Vec::new(),
                write: vec![output.clone()],
            };
            Ok(OutputAccess { output, region: "us-east-1".to_owned(), session })
        }
    }

    fn access(dispatcher: &Dispatcher) -> Access<'_> {
        SECONDS.set(0);
        Access { source: dispatcher, clock: now, patience: Duration::from_secs(1), held: Mutex::default() }
    }

    #[tokio::test]
    async fn an_upload_of_hours_always_has_keys_with_time_left() {
        let dispatcher = Dispatcher::default();
        let access = access(&dispatcher);
        let hours = 3;
        for second in (0..hours * 3600).step_by(10) {
            SECONDS.set(second);
            let left = access.current().await.unwrap().session.expires_at - now();
            assert!(left >= TimeDelta::seconds(450), "{left} left after {second} s");
        }
        assert_eq!(dispatcher.asked.load(Ordering::SeqCst) as i64, hours * 3600 / 450);
    }

    #[tokio::test]
    async fn while_the_dispatcher_is_away_keys_are_used_to_their_end() {
        let dispatcher = Dispatcher { away_after: Some(1), ..Dispatcher::default() };
        let access = access(&dispatcher);
        access.current().await.unwrap();
        SECONDS.set(899);
        assert_eq!(access.current().await.unwrap().session.access_key_id, "ASIA0");
        SECONDS.set(900);
        assert!(access.current().await.is_err());
    }

    #[tokio::test]
    async fn a_dispatcher_that_restarts_is_asked_again_and_one_that_stays_away_is_given_up() {
        let back = Dispatcher { restarts_for: 3, ..Dispatcher::default() };
        assert_eq!(access(&back).current().await.unwrap().session.access_key_id, "ASIA3");
        let gone = Dispatcher { restarts_for: usize::MAX, ..Dispatcher::default() };
        assert!(access(&gone).current().await.is_err());
        let refuses = Dispatcher { away_after: Some(0), ..Dispatcher::default() };
        assert!(access(&refuses).current().await.is_err());
        assert_eq!(refuses.asked.load(Ordering::SeqCst), 1, "a refusal is not asked for again");
    }

    #[tokio::test]
    async fn keys_that_the_store_calls_expired_are_replaced() {
        let dispatcher = Dispatcher::default();
        let access = access(&dispatcher);
        let first = access.current().await.unwrap();
        access.expired(&first).await;
        let second = access.current().await.unwrap();
        assert_ne!(first.session.access_key_id, second.session.access_key_id);
        access.expired(&first).await;
        assert!(Arc::ptr_eq(&second, &access.current().await.unwrap()), "the new ones are kept");
    }
}
