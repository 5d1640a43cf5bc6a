//! Webhooks: events that are told to receivers outside.
//!
//! ```text
//! event ─► notice (a row for each webhook that the DAG names, in the event's own transaction)
//!       ─► claim (rules asked again, body signed) ─► egress gateway ─► report ─► outcome ─► again, or ended
//! ```
//! The gateway is given what it sends and nothing more: no key, and nothing that is not due. What a receiver's
//! answer means is decided here.

pub mod check;
pub mod claim;
pub mod message;
pub mod notice;
pub mod outcome;
pub mod registry;
pub mod report;
pub mod seal;
pub mod settings;
pub mod sign;

pub use settings::Settings;

use crate::{db, keys};

/// Why something about webhooks was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database failed.
    #[error(transparent)]
    Db(#[from] db::Error),
    /// The sealing key can't be read.
    #[error(transparent)]
    Key(#[from] keys::Error),
    /// Something can't be sealed or unsealed.
    #[error(transparent)]
    Seal(#[from] seal::Error),
    /// The org has no such webhook.
    #[error("your org has no such webhook: `trace webhooks list` shows those that there are")]
    NotFound,
    /// The name is taken.
    #[error("your org has a webhook of this name already: choose another name, or remove that one first")]
    Taken,
    /// The org has as many as it may have.
    #[error("your org has as many webhooks as it may have: remove some (`trace webhooks list`)")]
    TooMany,
    /// This dispatcher could not read what others have sealed, nor they what it would seal.
    #[error(
        "this dispatcher has another sealing key than the one that the platform's webhooks were sealed with: \
         the platform's operator has to give all dispatchers the same file in `webhooks.sealing_key`"
    )]
    AnotherKey,
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Db(error.into())
    }
}
