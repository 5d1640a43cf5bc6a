//! What the tests against LocalStack stand on: the emulator itself, which `scripts/localstack.sh` starts; a proxy
//! in front of it that does what networks and services do on bad days; and a dispatcher whose adapters are those
//! of AWS, with the caller as its worker.

mod container;
mod emulator;
mod hand;
mod lambda;
mod moto;
mod platform;
mod proxy;
mod queue;
mod worker;
mod wrapper;

use std::time::Duration;

pub use self::{
    container::{Container, Image, Writable},
    emulator::{Emulator, PATIENCE, REGION},
    hand::Hand,
    lambda::{Answer, Lambda, Seen, Tenancy},
    moto::{Agent, Moto},
    platform::{CAPABILITY_ISSUER, Options, Platform, after, job},
    proxy::{Fault, Proxy},
    queue::Queue,
    worker::{Given, Worker},
    wrapper::Wrapper,
};

/// Longer than anything here takes.
pub const LONG: Duration = Duration::from_secs(90);

/// Looks until `look` finds something.
///
/// # Errors
/// When there is nothing for longer than anything takes.
pub async fn until<T>(
    what: &str,
    mut look: impl AsyncFnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let mut looks = tokio::time::interval(Duration::from_millis(50));
    let found = async {
        loop {
            looks.tick().await;
            if let Some(found) = look().await? {
                return anyhow::Ok(found);
            }
        }
    };
    match tokio::time::timeout(LONG, found).await {
        Ok(found) => found,
        Err(_) => anyhow::bail!("{what}: not within {LONG:?}"),
    }
}
