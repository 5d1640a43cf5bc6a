//! What runs attempts.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What runs attempts. A worker has one launcher, and so one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Runtime {
    /// The process sandbox of a worker's machine.
    Process,
    /// A container of ECS for each.
    EcsUdf,
    /// An environment of Lambda for each.
    Lambda,
}

impl Runtime {
    /// Each of them.
    pub const ALL: [Self; 3] = [Self::Process, Self::EcsUdf, Self::Lambda];

    /// Its name, everywhere.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::EcsUdf => "ecs_udf",
            Self::Lambda => "lambda",
        }
    }
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_has_one_name() {
        for runtime in Runtime::ALL {
            assert_eq!(serde_json::to_value(runtime).unwrap(), runtime.as_str());
        }
    }
}
