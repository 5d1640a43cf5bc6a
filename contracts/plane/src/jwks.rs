//! Where public keys come from.

use std::{
    error::Error as StdError,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use reqwest::Url;
use trace_contracts::{ErrorCode, certificate::Root, keys::KeySet};

use crate::{Refusal, Reply, Trust};

/// A JWKS document is never longer.
const MAX_JWKS_BYTES: usize = 64 * 1024;
/// An unknown key id, which anybody can send, causes at most one fetch in this time. Whoever comes in
/// between waits for the next fetch and is not refused: else a hostile task that keeps sending key ids of
/// nobody would keep a plane from a key that signs since a moment ago.
const REFRESH_INTERVAL: Duration = Duration::from_secs(1);
/// Keys are fetched anew after this time.
const FRESH_FOR: Duration = Duration::from_secs(300);
/// Keys that could not be fetched anew are served for this long, and then nothing is believed.
const STALE_FOR: Duration = Duration::from_secs(3600);

/// What a fetch yields.
pub type Fetching<'a> = Pin<Box<dyn Future<Output = Result<KeySet, BoxError>> + Send + 'a>>;
/// Why keys could not be fetched.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// Fetches the keys of one issuer, wherever it keeps them.
pub trait FetchKeys: Send + Sync {
    /// All keys as they are now.
    fn fetch(&self) -> Fetching<'_>;
}

/// A source of public keys; cheap to clone.
#[derive(Clone)]
pub struct KeySource(Arc<Source>);

enum Source {
    Fixed(Arc<KeySet>),
    Fetched(Fetched),
}

struct Fetched {
    from: Box<dyn FetchKeys>,
    cache: Mutex<Cache>,
    fetching: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Cache {
    keys: Option<(Arc<KeySet>, Instant)>,
    tried_at: Option<Instant>,
}

/// What somebody does who comes too soon after a fetch.
#[derive(Clone, Copy, PartialEq, Eq)]
enum TooSoon {
    /// Waits for the next one.
    Wait,
    /// Makes do with what is there.
    GoOn,
}

/// A JWKS address.
struct JwksUrl {
    url: Url,
    http: reqwest::Client,
    certified: Option<Certified>,
}

/// What has to certify keys: the root of trust, and for which issuer.
#[derive(Debug, Clone)]
pub struct Certified {
    /// The public half of the root of trust.
    pub root: Root,
    /// `iss` of the tokens that the keys sign.
    pub issuer: String,
}

/// Why the root of trust can't be used.
#[derive(Debug, thiserror::Error)]
#[error("`capability_root`, {path}, can't be used: {reason}", path = .path.display())]
pub struct UnusableRoot {
    path: PathBuf,
    reason: String,
}

/// Why a JWKS address gave no keys.
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
        Self::at(url, None, &Trust::default())
    }

    /// The same, where the address has a certificate of an authority that the system does not know; with
    /// `certified`, only keys that are certified.
    #[must_use]
    pub fn jwks_url_trusting(trust: &Trust, url: Url, certified: Option<Certified>) -> Self {
        Self::at(url, certified, trust)
    }

    /// The keys of capabilities: those that a root of trust certifies, whose public half is a PEM file, or all
    /// that are published where there is none.
    ///
    /// # Errors
    /// When the file can't be used.
    pub fn of_capabilities(
        trust: &Trust,
        url: Url,
        issuer: &str,
        root: Option<&Path>,
    ) -> Result<Self, UnusableRoot> {
        let Some(path) = root else { return Ok(Self::jwks_url_trusting(trust, url, None)) };
        let unusable = |reason: String| UnusableRoot { path: path.to_owned(), reason };
        let pem = std::fs::read_to_string(path).map_err(|error| unusable(error.to_string()))?;
        let root = Root::from_pem(&pem).map_err(|error| unusable(error.to_string()))?;
        Ok(Self::jwks_url_trusting(trust, url, Some(Certified { root, issuer: issuer.to_owned() })))
    }

    fn at(url: Url, certified: Option<Certified>, trust: &Trust) -> Self {
        let http = trust.http_client(Duration::from_secs(5));
        Self::fetched(Box::new(JwksUrl { url, http, certified }))
    }

    /// The keys that `from` gives, fetched when first needed.
    #[must_use]
    pub fn fetched(from: Box<dyn FetchKeys>) -> Self {
        let (cache, fetching) = (Mutex::default(), tokio::sync::Mutex::default());
        Self(Arc::new(Source::Fetched(Fetched { from, cache, fetching })))
    }

    /// Takes keys that somebody else has fetched. Fixed keys stay as they are.
    pub fn replace(&self, keys: KeySet) {
        if let Source::Fetched(fetched) = &*self.0 {
            fetched.take(keys);
        }
    }

    /// The keys as far as they are known. Fetches them when they are absent or old.
    pub(crate) async fn keys(&self) -> Reply<Arc<KeySet>> {
        match &*self.0 {
            Source::Fixed(keys) => Ok(Arc::clone(keys)),
            Source::Fetched(fetched) => {
                if let Some(keys) = fetched.cached(FRESH_FOR) {
                    return Ok(keys);
                }
                fetched.refresh(TooSoon::GoOn).await;
                fetched.cached(STALE_FOR).ok_or_else(|| {
                    Refusal::new(
                        ErrorCode::Unavailable,
                        "the keys that verify tokens can't be fetched; try again",
                    )
                })
            }
        }
    }

    /// Fetches the keys anew, because a token names one that is not there; rate-limited.
    pub(crate) async fn keys_after_unknown(&self) -> Reply<Arc<KeySet>> {
        if let Source::Fetched(fetched) = &*self.0 {
            fetched.refresh(TooSoon::Wait).await;
        }
        self.keys().await
    }
}

impl Fetched {
    fn cached(&self, max_age: Duration) -> Option<Arc<KeySet>> {
        let cache = self.cache();
        cache.keys.as_ref().filter(|(_, at)| at.elapsed() < max_age).map(|(keys, _)| Arc::clone(keys))
    }

    fn take(&self, keys: KeySet) {
        self.cache().keys = Some((Arc::new(keys), Instant::now()));
    }

    /// Fetches once for all who ask meanwhile.
    async fn refresh(&self, too_soon: TooSoon) {
        let asked_at = Instant::now();
        let _one_at_a_time = self.fetching.lock().await;
        let tried_at = self.cache().tried_at;
        if let Some(tried_at) = tried_at {
            // A fetch that began after we asked has seen what we want to see.
            if tried_at >= asked_at {
                return;
            }
            let next = tried_at + REFRESH_INTERVAL;
            if Instant::now() < next {
                if too_soon == TooSoon::GoOn {
                    return;
                }
                let _until_then = tokio::time::timeout_at(next.into(), std::future::pending::<()>()).await;
            }
        }
        self.cache().tried_at = Some(Instant::now());
        match self.from.fetch().await {
            Ok(keys) => self.take(keys),
            Err(error) => {
                tracing::warn!(
                    error = &*error as &dyn StdError,
                    "the keys that verify tokens stay as they are"
                );
            }
        }
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FetchKeys for JwksUrl {
    fn fetch(&self) -> Fetching<'_> {
        Box::pin(async { Ok(self.get().await?) })
    }
}

impl JwksUrl {
    async fn get(&self) -> Result<KeySet, Error> {
        let response = self.http.get(self.url.clone()).send().await?.error_for_status()?;
        let bytes = crate::client::read_capped(response, MAX_JWKS_BYTES).await?.ok_or(Error::Document)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| Error::Document)?;
        Ok(match &self.certified {
            Some(Certified { root, issuer }) => KeySet::from_certified_jwks(text, root, issuer)?,
            None => KeySet::from_jwks(text)?,
        })
    }
}
