//! Who makes a request, once that is proven.

use std::sync::Arc;

use s3s::{S3Result, s3_error};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use trace_contracts::AttemptId;
use trace_controls::{Protection, stands};

use super::session::{Ended, Session};

/// A proven caller. Only the access check makes one, and every operation asks for it.
#[derive(Debug, Clone)]
pub(super) enum Caller {
    /// A trusted service with the root keys.
    Platform,
    /// An attempt. It holds one of its session's slots until the last byte of the answer is out.
    Attempt { session: Arc<Session>, _slot: Arc<OwnedSemaphorePermit> },
}

impl Caller {
    /// The attempt, if it is one.
    pub(super) fn attempt(&self) -> Option<AttemptId> {
        match self {
            Self::Platform => None,
            Self::Attempt { session, .. } => Some(session.attempt),
        }
    }

    /// Asked again before anything is changed and while data flows: a session may end meanwhile.
    pub(super) fn alive(&self) -> S3Result<()> {
        match self {
            Self::Platform => Ok(()),
            Self::Attempt { session, .. } => session.alive().map_err(ended),
        }
    }

    /// Cancelled when the caller's attempt is over; never for the platform.
    pub(super) fn revoked(&self) -> CancellationToken {
        match self {
            Self::Platform => CancellationToken::new(),
            Self::Attempt { .. } if !stands(Protection::LivingAttempt) => CancellationToken::new(),
            Self::Attempt { session, .. } => session.revoked().clone(),
        }
    }
}

/// The answer to a session that ended.
pub(super) fn ended(why: Ended) -> s3s::S3Error {
    s3_error!(ExpiredToken, "{why}")
}
