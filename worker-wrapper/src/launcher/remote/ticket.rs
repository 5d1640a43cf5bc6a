//! The ticket of a launch.

use trace_contracts::wire::{launch::TicketReply, worker::Fence};

use crate::{
    backoff::{DISPATCHER_AWAY, Retrying},
    dispatcher::Dispatcher,
    launcher::Error,
};

/// Asks for the ticket of an attempt, and again while the dispatcher is away.
pub(in crate::launcher) async fn ticket(dispatcher: &Dispatcher, fence: Fence) -> Result<TicketReply, Error> {
    let mut retrying = Retrying::new(DISPATCHER_AWAY);
    loop {
        match dispatcher.ticket(fence).await {
            Ok(reply) => return Ok(reply),
            Err(error) if error.is_passing() && retrying.again().await => {}
            Err(error) => return Err(Error::Machine(format!("asking for a launch ticket: {error}"))),
        }
    }
}
