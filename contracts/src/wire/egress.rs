//! `/v1/egress`: what the DAGs of an org may reach outside the platform.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{EgressRuleId, Name, UserId, pattern::DestinationPattern};

/// Rules that an org has at most.
pub const MAX_RULES: u32 = 1_000;

/// What a rule does. A destination may be reached if a rule allows it and none denies it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EgressEffect {
    /// Lets DAGs reach what they declare.
    Allow,
    /// Keeps them from it, whatever else allows it.
    Deny,
}

impl EgressEffect {
    /// The name used in the database and the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

impl fmt::Display for EgressEffect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// `POST /v1/egress`: a rule to have from now on. One that is there already stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EgressRuleRequest {
    /// What it does.
    pub effect: EgressEffect,
    /// To what.
    pub to: DestinationPattern,
    /// For this DAG alone, which need not be deployed yet; for every DAG of the org when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dag: Option<Name>,
}

/// A rule that is in force (`GET /v1/egress`, in the order of their numbers).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EgressRuleInfo {
    /// The rule.
    pub rule: EgressRuleId,
    /// What it does.
    pub effect: EgressEffect,
    /// To what.
    pub to: DestinationPattern,
    /// For this DAG alone; for every DAG of the org when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dag: Option<Name>,
    /// Who set it.
    pub set_by: UserId,
    /// When.
    pub set_at: DateTime<Utc>,
}

/// The answer to `POST /v1/egress` and `DELETE /v1/egress/{rule}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EgressChange {
    /// The rule that was set or removed.
    pub rule: EgressRuleInfo,
    /// Attempts that might have reached what they may not reach any more, and were taken back. Their tasks
    /// run again.
    pub attempts_ended: u64,
}
