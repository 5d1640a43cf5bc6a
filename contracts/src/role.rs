//! The one set of roles.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// What a user may do in their org. Which role may do what is decided in one function of the
/// dispatcher; roles have no order, because an auditor is not a smaller admin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads runs, tasks, logs and the datasets granted to readers.
    Reader,
    /// Also deploys and triggers DAGs.
    Writer,
    /// Also cancels, retries and works the dead-letter list.
    Operator,
    /// Everything in the org, including grants.
    Admin,
    /// Reads the audit log, and nothing else that holds data.
    Auditor,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Reader, Self::Writer, Self::Operator, Self::Admin, Self::Auditor];

    /// The name used in YAML, tokens, the database and the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Writer => "writer",
            Self::Operator => "operator",
            Self::Admin => "admin",
            Self::Auditor => "auditor",
        }
    }
}

/// Why a text is not a role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a role: use reader, writer, operator, admin or auditor")]
pub struct InvalidRole(String);

impl FromStr for Role {
    type Err = InvalidRole;

    fn from_str(unverified: &str) -> Result<Self, InvalidRole> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == unverified)
            .ok_or_else(|| InvalidRole(unverified.chars().take(40).collect()))
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
