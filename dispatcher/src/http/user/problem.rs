//! Errors of the user API as problem details.

use trace_contracts::{ErrorCode, Problem};
use trace_plane::Refusal;

use crate::{authority, blobs, bundles, db, deploy, users};

/// A statement that failed, whichever layer says so.
pub(super) fn database(error: impl Into<db::Error>) -> Refusal {
    error.into().into()
}

/// What does not exist, and what another org has.
pub(super) fn not_found(what: &str) -> Refusal {
    Refusal::new(ErrorCode::NotFound, format!("your org has no such {what}"))
}

impl From<users::Error> for Refusal {
    fn from(error: users::Error) -> Self {
        match error {
            users::Error::Db(error) => database(error),
            refused => Self::new(ErrorCode::Forbidden, refused.to_string()),
        }
    }
}

impl From<authority::keys::Error> for Refusal {
    fn from(error: authority::keys::Error) -> Self {
        use authority::keys::Error as E;
        match error {
            E::Key(error) => Self::from(error),
            E::Unknown => not_found("key"),
            E::TooMany => Self::new(ErrorCode::Conflict, error.to_string()),
        }
    }
}

impl From<authority::egress::Error> for Refusal {
    fn from(error: authority::egress::Error) -> Self {
        use authority::egress::Error as E;
        match error {
            E::Db(error) => database(error),
            E::TooMany => Self::new(ErrorCode::LimitExceeded, error.to_string()),
        }
    }
}

impl From<deploy::Error> for Refusal {
    fn from(error: deploy::Error) -> Self {
        let detail = format!("{error}; nothing was stored");
        match error {
            deploy::Error::Db(error) => database(error),
            deploy::Error::Invalid(errors) => {
                Problem::new(ErrorCode::InvalidDag, detail).with_errors(errors).into()
            }
        }
    }
}

impl From<bundles::Error> for Refusal {
    fn from(error: bundles::Error) -> Self {
        use bundles::Error as E;
        let code = match error {
            E::Blob(error) => return error.into(),
            E::Crashed(_) => return Self::internal(&error),
            E::Busy => ErrorCode::TooManyRequests,
            E::Slow => ErrorCode::TimedOut,
        };
        Self::new(code, error.to_string())
    }
}

impl From<blobs::Error> for Refusal {
    fn from(error: blobs::Error) -> Self {
        use blobs::Error as E;
        let code = match &error {
            E::Spool(_) => return Self::internal(&error),
            E::TooLarge => ErrorCode::PayloadTooLarge,
            E::WrongHash { .. } | E::Interrupted => ErrorCode::BadRequest,
            E::Busy => ErrorCode::TooManyRequests,
            E::Store(cause) => {
                tracing::error!(error = %cause, "the object store failed");
                ErrorCode::Unavailable
            }
        };
        Self::new(code, error.to_string())
    }
}
