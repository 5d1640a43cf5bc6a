//! Connecting to a permit's addresses, and to nothing else.

use std::net::SocketAddr;

use tokio::{
    net::TcpStream,
    time::{Instant, timeout_at},
};

use crate::policy::{Rule, Vetted};

/// Addresses that are tried, at most.
const MAX_TRIED: usize = 4;

/// A connection to one of the vetted addresses, tried one after the other in the time that is left, shared
/// between them.
///
/// # Errors
/// [`Rule::Unreached`], with nothing of why: closed, filtered and unroutable are one answer.
pub async fn dial(vetted: &Vetted, until: Instant) -> Result<(TcpStream, SocketAddr), Rule> {
    let tried = vetted.addresses().len().min(MAX_TRIED);
    for (place, address) in vetted.addresses().iter().take(tried).enumerate() {
        let left = until.saturating_duration_since(Instant::now());
        // Fewer than five, so it fits.
        let share = left / u32::try_from(tried - place).unwrap_or(1);
        match timeout_at(Instant::now() + share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Latency of small messages counts here; a failure to set the option costs only that.
                let _ = stream.set_nodelay(true);
                return Ok((stream, *address));
            }
            Ok(Err(error)) => tracing::debug!(%address, %error, "a destination was not reached"),
            Err(_) => tracing::debug!(%address, "a destination was not reached in time"),
        }
    }
    Err(Rule::Unreached)
}

/// Waits until then. What fails at once and what fails by its time being up are told at the same moment.
pub(crate) async fn wait_until(moment: Instant) {
    let _time_is_up = timeout_at(moment, std::future::pending::<()>()).await;
}
