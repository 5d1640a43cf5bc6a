//! The launcher of Lambda: each untrusted attempt is an invocation of its own, in an environment of its own.
//!
//! ```text
//! ticket ─► Invoke (ticket as the event, attempt as the tenant) ─► runner redeems it, and reports ─► dispatcher ─► streams, end
//!             └ answers when the function has ended: why, if the runner had no word
//! ```
//!
//! Lambda keeps an environment to one tenant, and a tenant is one attempt: whatever the code does to its
//! environment, nothing comes after it there. See `docs/adr/0023-lambda.md`.

mod api;
mod config;
mod ended;
mod explain;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::FutureExt as _;
use tokio::select;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use trace_contracts::{
    LaunchTicket, Runtime,
    wire::{lambda::Tenant, launch::TicketReply},
};

use self::{
    api::{Invoked, Lambda, NotInvoked},
    ended::Launch,
};
use super::{
    Error, Launched, Launcher, Order, Staging,
    remote::{BUFFER_BYTES, Limits, Rate, Reports, ticket},
};
use crate::{backoff::Retrying, dispatcher::Dispatcher};

pub use config::{Config, Error as ConfigError, Function};

/// Starts attempts as invocations of Lambda.
pub struct LambdaLauncher {
    lambda: Lambda,
    config: Config,
    dispatcher: Dispatcher,
    rate: Arc<Rate>,
}

impl LambdaLauncher {
    /// A launcher for the functions of `config`. Nothing is asked of Lambda before there is something to start.
    #[must_use]
    pub fn new(config: &Config, dispatcher: Dispatcher) -> Self {
        Self {
            lambda: Lambda::new(config),
            rate: Arc::new(Rate::new(config.launches_per_second)),
            config: config.clone(),
            dispatcher,
        }
    }
}

/// One invocation, before it is asked for.
struct Invocation {
    lambda: Lambda,
    rate: Arc<Rate>,
    function: Function,
    tenant: Tenant,
    ticket: LaunchTicket,
    kill: CancellationToken,
}

impl Invocation {
    /// Asks for it, at the rate, and again while Lambda says that it has started nothing, for this time.
    async fn run(self, time: Duration) -> Result<Invoked, NotInvoked> {
        let mut retrying = Retrying::new(time);
        loop {
            select! {
                () = self.rate.turn() => {}
                () = self.kill.cancelled() => return Err(NotInvoked::GivenUp),
            }
            let busy = match self.lambda.invoke(&self.function, &self.tenant, &self.ticket).await {
                Err(NotInvoked::Busy(failure)) => failure,
                other => return other,
            };
            tracing::warn!(failure = %busy, tenant = %self.tenant, "nothing was invoked; trying again");
            select! {
                again = retrying.again() => if !again { return Err(NotInvoked::Busy(busy)) },
                () = self.kill.cancelled() => return Err(NotInvoked::GivenUp),
            }
        }
    }
}

#[async_trait]
impl Launcher for LambdaLauncher {
    fn runtime(&self) -> Runtime {
        Runtime::Lambda
    }

    fn staging(&self) -> Staging {
        Staging::Elsewhere
    }

    async fn launch(&self, order: Order) -> Result<Launched, Error> {
        let no_lease =
            || Error::Machine("Lambda needs a lease: there is no run without a platform".to_owned());
        let fence = order.lease.ok_or_else(no_lease)?;
        let function =
            self.config.function(&order).map_err(|error| Error::Program(error.to_string()))?.clone();
        let tenant = Tenant::new(&self.config.platform, fence.attempt);
        let tenant = tenant.map_err(|error| Error::Machine(error.to_string()))?;
        let TicketReply { ticket, valid_ms, .. } = ticket(&self.dispatcher, fence).await?;
        let time = Duration::from_millis(valid_ms);
        tracing::info!(attempt = %fence.attempt, function = function.name, "a function is invoked");
        let kill = CancellationToken::new();
        let (lambda, rate) = (self.lambda.clone(), Arc::clone(&self.rate));
        let invocation = Invocation { lambda, rate, function, tenant, ticket, kill: kill.clone() };
        let (stdout, inner_stdout) = tokio::io::duplex(BUFFER_BYTES);
        let (stderr, inner_stderr) = tokio::io::duplex(BUFFER_BYTES);
        let launch = Launch {
            reports: Reports::new(self.dispatcher.clone(), fence, inner_stdout, inner_stderr),
            invocation: AbortOnDropHandle::new(tokio::spawn(invocation.run(time / 2))),
            kill: kill.clone(),
            redeem_within: time,
            limits: Limits { timeout: order.timeout, memory: order.resources.memory_bytes },
        };
        Ok(Launched {
            stdout: Box::new(stdout),
            stderr: Box::new(stderr),
            kill: Box::new(move || kill.cancel()),
            ended: launch.ended().boxed(),
        })
    }
}
