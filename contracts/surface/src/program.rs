//! What is started for a task.

use trace_contracts::{
    Name,
    wire::worker::{Code, Language},
};

/// What to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// `main.py` of the bundle.
    Python,
    /// `main` of the bundle.
    Native,
    /// A built-in operator.
    Operator(Name),
}

impl Program {
    /// The program of some code.
    #[must_use]
    pub fn of(code: &Code) -> Self {
        match code {
            Code::Udf { language: Language::Python, .. } => Self::Python,
            Code::Udf { language: Language::Rust, .. } => Self::Native,
            Code::Operator { operator, .. } => Self::Operator(operator.clone()),
        }
    }

    /// The executable inside; `None` for the interpreter, which is where it was found.
    #[must_use]
    pub const fn executable(&self) -> Option<&'static str> {
        match self {
            Self::Python => None,
            Self::Native => Some("/task/bundle/main"),
            Self::Operator(_) => Some("/trace/bin/trace-operator"),
        }
    }

    /// What the program, or the interpreter, is given.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        match self {
            Self::Python => vec!["main.py".to_owned()],
            Self::Native => Vec::new(),
            Self::Operator(name) => vec![name.to_string()],
        }
    }
}
