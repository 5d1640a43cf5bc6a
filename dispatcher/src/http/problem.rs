//! The one place where an error of this crate becomes an HTTP answer.

use trace_contracts::ErrorCode;
use trace_plane::Refusal;

use crate::{batcher::Unanswered, credentials, db, keys, mint, outputs, task};

impl From<db::Error> for Refusal {
    fn from(error: db::Error) -> Self {
        Self::from(&error)
    }
}

impl From<&db::Error> for Refusal {
    fn from(error: &db::Error) -> Self {
        match error {
            db::Error::Sqlx(cause) if is_away(cause) => {
                tracing::warn!(error = cause as &dyn std::error::Error, "the database is away");
                Self::new(ErrorCode::Unavailable, "the database can't be reached right now; try again")
            }
            db::Error::Sqlx(cause) => Self::internal(cause),
            db::Error::Corrupt { .. } => Self::internal(error),
        }
    }
}

/// Whether trying again may help: no connection, or a transaction that the database gave up.
fn is_away(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Tls(_) => {
            true
        }
        // Connection failures (08), rolled back by the database (40), out of resources (53), operator
        // intervention and time limits (57), and the limit on idle transactions (25P03).
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            ["08", "40", "53", "57"].iter().any(|class| code.starts_with(class)) || code == "25P03"
        }),
        _ => false,
    }
}

impl From<task::Error> for Refusal {
    fn from(error: task::Error) -> Self {
        Self::from(&error)
    }
}

impl From<&task::Error> for Refusal {
    fn from(error: &task::Error) -> Self {
        let code = match error {
            task::Error::Db(error) => return Self::from(error),
            task::Error::Key(error) => return Self::from(error),
            task::Error::Plan(_) | task::Error::Manifest(_) => return Self::internal(error),
            task::Error::NoRoom(full) => return no_room(full),
            task::Error::NotFound(_) => ErrorCode::NotFound,
            task::Error::Suspended => ErrorCode::Forbidden,
            task::Error::UnknownDataset(_)
            | task::Error::EmptyDataset(_)
            | task::Error::RunEnded(_)
            | task::Error::NotDead => ErrorCode::Conflict,
        };
        Self::new(code, error.to_string())
    }
}

fn no_room(full: &task::back_pressure::NoRoom) -> Refusal {
    match full.retry_after() {
        Some(seconds) => Refusal::new(ErrorCode::TooManyRequests, full.to_string()).with_retry_after(seconds),
        None => Refusal::new(ErrorCode::LimitExceeded, full.to_string()),
    }
}

impl From<Unanswered> for Refusal {
    fn from(error: Unanswered) -> Self {
        Self::new(ErrorCode::Unavailable, format!("{error}; try again"))
    }
}

impl From<mint::Error> for Refusal {
    fn from(error: mint::Error) -> Self {
        match &error {
            mint::Error::TooLong(_) => Self::new(ErrorCode::LimitExceeded, error.to_string()),
            mint::Error::TimeUp => Self::new(ErrorCode::Revoked, error.to_string()),
            mint::Error::Sign(cause) => Self::internal(cause),
        }
    }
}

impl From<&keys::Error> for Refusal {
    fn from(error: &keys::Error) -> Self {
        if let keys::Error::Db(error) = error {
            return Self::from(error);
        }
        tracing::error!(error = error as &dyn std::error::Error, "no key to sign with");
        Self::new(
            ErrorCode::Unavailable,
            "this dispatcher has no key to sign with right now; its log says why",
        )
    }
}

impl From<keys::Error> for Refusal {
    fn from(error: keys::Error) -> Self {
        Self::from(&error)
    }
}

impl From<credentials::policy::Error> for Refusal {
    fn from(error: credentials::policy::Error) -> Self {
        Self::internal(&error)
    }
}

impl From<credentials::addresses::Error> for Refusal {
    fn from(error: credentials::addresses::Error) -> Self {
        use credentials::addresses::Error;
        match error {
            Error::TooMany(_) => Self::new(ErrorCode::LimitExceeded, error.to_string()),
            Error::Expiring => Self::new(ErrorCode::TokenExpired, error.to_string()),
            Error::Object(_) | Error::Sign(_) => Self::internal(&error),
        }
    }
}

impl From<credentials::Error> for Refusal {
    fn from(error: credentials::Error) -> Self {
        use credentials::Error;
        match error {
            Error::NotOffered => Self::new(ErrorCode::Forbidden, error.to_string()),
            Error::Unavailable(_) | Error::Throttled(_) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "no session was minted");
                let detail = "the object store gives no sessions right now; try again";
                Self::new(ErrorCode::Unavailable, detail)
            }
            // The log says what to do; a task is told nothing of how the installation is set up.
            Error::PolicyTooLarge { .. } | Error::Setup(_) => Self::internal(&error),
        }
    }
}

impl From<outputs::Error> for Refusal {
    fn from(error: outputs::Error) -> Self {
        tracing::warn!(error = &error as &dyn std::error::Error, "outputs can't be listed");
        Self::new(ErrorCode::Unavailable, "the object store can't be asked right now; try again")
    }
}
