//! All SQL of the dispatcher, and nothing but SQL: a function is one statement, named in its first
//! line so that the database's own statistics name it too. The caller owns the transaction.

pub mod attempts;
pub mod audit;
pub mod blobs;
pub mod checkpoints;
pub mod claims;
pub mod commits;
pub mod dags;
pub mod datasets;
pub mod deliveries;
pub mod delivery_claims;
pub mod due;
pub mod egress;
pub mod fences;
pub mod identities;
pub mod keys;
pub mod launches;
pub mod leases;
pub mod limits;
pub mod logs;
pub mod manifests;
pub mod notify;
pub mod org_limits;
pub mod outbox;
pub mod ready;
pub mod runs;
pub mod runs_read;
pub mod tasks;
pub mod users;
pub mod versions;
pub mod webhooks;
pub mod why;

use trace_contracts::{Name, Sha256};

/// Why a statement did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database refused or went away.
    #[error("the database failed")]
    Sqlx(#[from] sqlx::Error),
    /// A row holds what no statement of ours writes.
    #[error("the database holds {what} that can't be read: {why}")]
    Corrupt {
        /// What was being read.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
}

impl Error {
    /// A row that can't be read.
    pub fn corrupt(what: &'static str, why: impl ToString) -> Self {
        Self::Corrupt { what, why: why.to_string() }
    }

    /// Whether the statement hit a unique key that is taken.
    #[must_use]
    pub fn is_unique_violation(&self) -> bool {
        matches!(self, Self::Sqlx(sqlx::Error::Database(error)) if error.is_unique_violation())
    }
}

/// A statement that must change exactly as many rows as it was given.
fn exactly(what: &'static str, expected: usize, changed: u64) -> Result<(), Error> {
    if u64::try_from(expected) == Ok(changed) {
        return Ok(());
    }
    Err(Error::corrupt(what, format!("{expected} rows should have changed and {changed} did")))
}

fn count(count: i16) -> Result<u32, Error> {
    u32::try_from(count).map_err(|error| Error::corrupt("a count", error))
}

fn name(text: &str) -> Result<Name, Error> {
    text.parse().map_err(|error| Error::corrupt("a name", error))
}

fn digest(bytes: &[u8]) -> Result<Sha256, Error> {
    Sha256::try_from(bytes).map_err(|error| Error::corrupt("a digest", error))
}
