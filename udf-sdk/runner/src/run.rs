//! One attempt, from the ticket to the last report; or to the moment when it is over for another reason.

use std::io;

use nix::sys::prctl;
use tokio::{
    select,
    signal::unix::{SignalKind, signal},
};
use trace_contracts::LaunchTicket;

use crate::{
    api::{self, Api},
    attempt,
    bounds::Bounds,
    descendants, lambda,
    relay::Relay,
    settings::{self, Places, Settings, Source},
};

/// Why an attempt was not run to a reported end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The settings.
    #[error(transparent)]
    Settings(#[from] settings::Error),
    /// This process can't be set up.
    #[error("the runner can't start: {0}")]
    Start(io::Error),
    /// The dispatcher.
    #[error(transparent)]
    Api(#[from] api::Error),
    /// Lambda's Runtime API does not speak with this program, or no more.
    #[error("Lambda's Runtime API: {0}")]
    RuntimeApi(String),
    /// The ticket is of an attempt that this environment is not for.
    #[error("the ticket is of another attempt than the environment; nothing was run")]
    Misled,
    /// The container is being stopped.
    #[error("stopped from outside: everything of the attempt was killed")]
    Stopped,
}

impl From<nix::Error> for Error {
    fn from(errno: nix::Error) -> Self {
        Self::Start(errno.into())
    }
}

/// Runs one attempt. When this returns, nothing of its code runs any more.
///
/// # Errors
/// See [`Error`].
pub fn run(settings: Settings) -> Result<(), Error> {
    // Nobody of the same user reads this process's memory, nor gains a privilege by starting a program.
    prctl::set_dumpable(false)?;
    prctl::set_no_new_privs()?;
    descendants::adopt()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Start)?;
    let Settings { places, source } = settings;
    let ended = match source {
        Source::Ticket(ticket) => runtime.block_on(attempt(&places, ticket, &Bounds::Container)),
        Source::RuntimeApi(_) => runtime.block_on(lambda::serve(places)),
    };
    descendants::end_all();
    ended
}

/// Runs the attempt of a ticket. What it has started may still run then.
///
/// # Errors
/// See [`Error`].
pub async fn attempt(places: &Places, ticket: LaunchTicket, bounds: &Bounds) -> Result<(), Error> {
    let mut terminated = signal(SignalKind::terminate()).map_err(Error::Start)?;
    answer_to_signals().map_err(Error::Start)?;
    let api = Api::new(places.task_api.clone(), ticket, &places.trust);
    let relay = Relay::default();
    let attempt = async {
        let order = api.redeem().await?;
        if !bounds.are_of(order.attempt) {
            return Err(Error::Misled);
        }
        let living = async {
            let how = attempt::live(places, &api, &order, &relay, bounds).await;
            relay.end(how);
            // What is left to do is the sending's.
            std::future::pending::<()>().await;
        };
        select! {
            // Once the end is reported; or when the attempt is over, which drops what lives and kills it.
            sent = relay.send(&api) => sent.map_err(Error::from),
            () = living => Ok(()),
        }
    };
    select! {
        ended = attempt => ended,
        _ = terminated.recv() => Err(Error::Stopped),
    }
}

/// Signals that this process was perhaps started ignoring, as what a shell starts in the background is: the code would
/// inherit that. What has a handler here is by default there.
fn answer_to_signals() -> io::Result<()> {
    let kinds = [SignalKind::hangup(), SignalKind::interrupt(), SignalKind::quit()];
    kinds.into_iter().try_for_each(|kind| signal(kind).map(drop))
}
