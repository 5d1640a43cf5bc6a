//! Where public keys come from.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use reqwest::Url;
use trace_contracts::{ErrorCode, keys::KeySet};

use crate::Refusal;

/// A JWKS document is never longer.
const MAX_JWKS_BYTES: usize = 64 * 1024;
/// An unknown key id, which anybody can send, causes at most one fetch in this time.
const REFRESH_INTERVAL: Duration = Duration::from_secs(5);
/// Keys are fetched anew after this time.
const FRESH_FOR: Duration = Duration::from_secs(300);
/// Keys that could not be fetched anew are served for this long, and then nothing is believed.
const STALE_FOR: Duration = Duration::from_secs(3600);

/// A source of public keys; cheap to clone.
#[derive(Clone)]
pub struct KeySource(Arc<Source>);

enum Source {
    Fixed(Arc<KeySet>),
    Url { url: Url, http: reqwest::Client, cache: Mutex<Cache>, fetching: tokio::sync::Mutex<()> },
}

#[derive(Default)]
struct Cache {
    keys: Option<(Arc<KeySet>, Instant)>,
    tried_at: Option<Instant>,
}

/// Why keys could not be fetched.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the key set could not be fetched: {0}")]
    Http(#[from] reqwest::Error),
    #[error(transparent)]
    Keys(#[from] trace_contracts::keys::Error),
    #[error("the key set is longer than {MAX_JWKS_BYTES} bytes or not UTF-8")]
    Document,
}

impl KeySource {
    /// These keys, for a service that holds them itself.
    #[must_use]
    pub fn fixed(keys: KeySet) -> Self {
        Self(Arc::new(Source::Fixed(Arc::new(keys))))
    }

    /// The keys of a JWKS address, fetched when first needed.
    #[must_use]
    pub fn jwks_url(url: Url) -> Self {
        Self(Arc::new(Source::Url {
            url,
            http: crate::client::http_client(Duration::from_secs(5)),
            cache: Mutex::default(),
            fetching: tokio::sync::Mutex::default(),
        }))
    }

    /// The keys as far as they are known. Fetches them when they are absent or old.
    pub(crate) async fn keys(&self) -> Result<Arc<KeySet>, Refusal> {
        match &*self.0 {
            Source::Fixed(keys) => Ok(Arc::clone(keys)),
            Source::Url { .. } => {
                if let Some(keys) = self.cached(FRESH_FOR) {
                    return Ok(keys);
                }
                self.refresh().await;
                self.cached(STALE_FOR).ok_or_else(|| {
                    Refusal::new(
                        ErrorCode::Unavailable,
                        "the keys that verify tokens can't be fetched; try again",
                    )
                })
            }
        }
    }

    /// Fetches the keys anew, because a token names one that is not there; rate-limited.
    pub(crate) async fn keys_after_unknown(&self) -> Result<Arc<KeySet>, Refusal> {
        self.refresh().await;
        self.keys().await
    }

    fn cached(&self, max_age: Duration) -> Option<Arc<KeySet>> {
        let Source::Url { cache, .. } = &*self.0 else { return None };
        let cache = cache.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        cache.keys.as_ref().filter(|(_, at)| at.elapsed() < max_age).map(|(keys, _)| Arc::clone(keys))
    }

    async fn refresh(&self) {
        let Source::Url { url, http, cache, fetching } = &*self.0 else { return };
        let _one_at_a_time = fetching.lock().await;
        {
            let mut cache = cache.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if cache.tried_at.is_some_and(|at| at.elapsed() < REFRESH_INTERVAL) {
                return;
            }
            cache.tried_at = Some(Instant::now());
        }
        match fetch(http, url).await {
            Ok(keys) => {
                let mut cache = cache.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                cache.keys = Some((Arc::new(keys), Instant::now()));
            }
            Err(error) => tracing::warn!(%error, %url, "keys stay as they are"),
        }
    }
}

async fn fetch(http: &reqwest::Client, url: &Url) -> Result<KeySet, Error> {
    let response = http.get(url.clone()).send().await?.error_for_status()?;
    let bytes = crate::client::read_capped(response, MAX_JWKS_BYTES).await?.ok_or(Error::Document)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| Error::Document)?;
    Ok(KeySet::from_jwks(text)?)
}
