//! What every HTTP service of Trace shares: refusals as problem details, bounded bodies, token
//! verification with cached keys, the liveness of attempts, and the client of the dispatcher's
//! routes for planes.

pub mod auth;
pub mod backoff;
pub mod body;
pub mod client;
pub mod jwks;
pub mod listener;
pub mod liveness;
pub mod outgoing;
pub mod readiness;
pub mod refusal;
pub mod serve;
pub mod signals;
pub mod stream;
pub mod telemetry;
pub mod tls;

pub use auth::{Verifier, bearer};
pub use backoff::Backoff;
pub use body::Body;
pub use client::PlaneClient;
pub use jwks::{Certified, FetchKeys, KeySource, UnusableRoot};
pub use listener::{Door, Listener, Transport};
pub use liveness::{Hold, Live, Liveness};
pub use outgoing::PlainHttp;
pub use refusal::{Refusal, Reply};
pub use serve::serve;
pub use signals::stop_on_signal;
pub use stream::Stream;
pub use tls::Trust;
