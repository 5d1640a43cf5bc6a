//! Between the launcher of Lambda and the runner that Lambda starts: what an invocation carries, and what both
//! agree on without a word.
//!
//! What an invocation carries is readable to whoever may see it, so it is a launch ticket and nothing else. Whose
//! environment it runs in is said beside it, as the tenant: see `docs/adr/0023-lambda.md`.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{AttemptId, LaunchTicket};

/// The event of an invocation.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Invitation {
    /// For the runner, and nobody else.
    pub ticket: LaunchTicket,
}

/// The tenant of an invocation, `PLATFORM/ATTEMPT`, such as `dev/a40`. Lambda keeps an environment to one tenant
/// for as long as the environment lives, and the number of an attempt is never used again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    platform: String,
    attempt: AttemptId,
}

/// What is no tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TenantError {
    /// The platform's name.
    #[error("the platform's name is 1 to 64 letters, digits, `-`, `_` and `.`")]
    Platform,
    /// Another form.
    #[error("a tenant is PLATFORM/ATTEMPT, such as dev/a40")]
    Form,
}

/// The longest name of a platform; Lambda takes 256 characters in all.
const PLATFORM_CHARS: usize = 64;

impl Tenant {
    /// The tenant of an attempt.
    ///
    /// # Errors
    /// When Lambda would not take the platform's name.
    pub fn new(platform: &str, attempt: AttemptId) -> Result<Self, TenantError> {
        let plain = |c: u8| c.is_ascii_alphanumeric() || b"-_.".contains(&c);
        if platform.is_empty() || platform.len() > PLATFORM_CHARS || !platform.bytes().all(plain) {
            return Err(TenantError::Platform);
        }
        Ok(Self { platform: platform.to_owned(), attempt })
    }

    /// What Lambda says whose the environment is.
    ///
    /// # Errors
    /// When that is no attempt of any platform.
    pub fn parse(unverified: &str) -> Result<Self, TenantError> {
        let (platform, attempt) = unverified.split_once('/').ok_or(TenantError::Form)?;
        Self::new(platform, attempt.parse().map_err(|_| TenantError::Form)?)
    }

    /// The one attempt that its environments serve.
    #[must_use]
    pub const fn attempt(&self) -> AttemptId {
        self.attempt
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.platform, self.attempt)
    }
}

/// Of the time that an invocation has, what the code may take: the rest is for reporting and for bringing its
/// outputs away. The launcher starts no job that needs more.
#[must_use]
pub fn time_for_code(invocation: Duration) -> Duration {
    invocation * 4 / 5
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_is_one_attempt_of_one_platform() {
        let tenant = Tenant::new("dev", AttemptId::from_db(40)).unwrap();
        assert_eq!(tenant.to_string(), "dev/a40");
        assert_eq!(Tenant::parse("dev/a40"), Ok(tenant));
        for bad in ["", "a40", "dev/", "dev/40", "dev/a40/x", "/a40", "de v/a40", "dev/a40 "] {
            assert!(Tenant::parse(bad).is_err(), "{bad}");
        }
        assert!(Tenant::new(&"x".repeat(65), AttemptId::from_db(1)).is_err());
    }

    #[test]
    fn an_invitation_is_a_ticket_and_nothing_else() {
        let ticket = LaunchTicket::random();
        let event = serde_json::json!({ "ticket": ticket.expose() });
        assert_eq!(serde_json::to_value(Invitation { ticket: ticket.clone() }).unwrap(), event);
        let more = serde_json::json!({ "ticket": ticket.expose(), "task_api": "http://elsewhere/" });
        assert!(serde_json::from_value::<Invitation>(more).is_err());
    }
}
