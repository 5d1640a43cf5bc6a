//! What stands between the processes and breaks what passes: an HTTP load balancer between callers and
//! dispatchers, and a relay that understands PostgreSQL's messages between a dispatcher and the server.

mod frames;
mod http;
mod postgres;

pub use http::HttpProxy;
pub use postgres::PostgresProxy;

use tokio::sync::watch;

/// Cuts every connection that is open through the proxies.
#[derive(Debug, Clone)]
pub struct Scissors(watch::Sender<u64>);

impl Default for Scissors {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl Scissors {
    /// Cuts what is open now.
    pub fn cut(&self) {
        self.0.send_modify(|cuts| *cuts += 1);
    }

    /// Ready at the next cut.
    fn next(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut cuts = self.0.subscribe();
        async move {
            if cuts.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}
