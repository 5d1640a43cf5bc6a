//! The pair that new connections are shown. It changes with its files, without a restart; connections that are
//! open go on with the one that they were shown.

use std::{
    fmt, io,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use tokio::{net::TcpStream, task::spawn_blocking, time::MissedTickBehavior};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        server::{ClientHello, ResolvesServerCert},
        sign::CertifiedKey,
    },
    server::TlsStream,
};
use tokio_util::task::AbortOnDropHandle;
use trace_contracts::Sha256;

use super::{
    pair::{Error, Files},
    server_config,
};

/// How often the files are looked at. They are read and compared, not asked for their times: those are coarse,
/// and a link that leads to another folder tells nothing by them.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Accepts TLS with a pair that follows its files; clones share it.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    _following: Arc<AbortOnDropHandle<()>>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// Reads the pair, and reads it again every five seconds from now on.
    ///
    /// # Errors
    /// When the files hold no pair. Later they may: then the pair before stays, and the log says so.
    pub fn open(files: Files) -> Result<Self, Error> {
        Self::looking_every(files, LOOK_EVERY)
    }

    /// The same, looking at the files at another interval.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn looking_every(files: Files, interval: Duration) -> Result<Self, Error> {
        let content = files.read()?;
        let shown = Arc::new(Shown(RwLock::new(content.certified(&files)?)));
        let follower = Follower { files, shown: Arc::clone(&shown), seen: Seen::Content(content.digests()) };
        Ok(Self {
            acceptor: TlsAcceptor::from(server_config(shown)),
            _following: Arc::new(AbortOnDropHandle::new(tokio::spawn(follower.follow(interval)))),
        })
    }

    /// The handshake. How long it may take is for the caller to say.
    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        self.acceptor.accept(stream).await
    }
}

/// What rustls asks at each handshake.
#[derive(Debug)]
struct Shown(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _client: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// What the files held when they were last looked at, so that nothing is said or done twice about it.
#[derive(PartialEq, Eq)]
enum Seen {
    Content([Sha256; 2]),
    Unreadable(Error),
}

struct Follower {
    files: Files,
    shown: Arc<Shown>,
    seen: Seen,
}

impl Follower {
    async fn follow(self, interval: Duration) {
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut follower = self;
        loop {
            ticks.tick().await;
            // The folder may be one of another machine, which does not answer at once.
            follower = match spawn_blocking(move || follower.looked()).await {
                Ok(follower) => follower,
                Err(error) => {
                    tracing::error!(%error, "certificates are not followed any more: restart this service");
                    return;
                }
            };
        }
    }

    fn looked(mut self) -> Self {
        match self.changed() {
            Ok(None) => {}
            Ok(Some(pair)) => {
                *self.shown.0.write().unwrap_or_else(PoisonError::into_inner) = pair;
                tracing::info!(certificate = %self.files.certificate.display(), "a new certificate is shown from now on");
            }
            Err(error) => {
                tracing::error!(%error, "the new certificate can't be used: the one before stays until the files are put right");
            }
        }
        self
    }

    /// A pair that was not there before.
    fn changed(&mut self) -> Result<Option<Arc<CertifiedKey>>, Error> {
        let content = self.files.read();
        let seen = match &content {
            Ok(content) => Seen::Content(content.digests()),
            Err(error) => Seen::Unreadable(error.clone()),
        };
        if seen == self.seen {
            return Ok(None);
        }
        self.seen = seen;
        content?.certified(&self.files).map(Some)
    }
}
