//! The built-in operators that a DAG may name.

use trace_contracts::Name;

/// Their names; `worker-wrapper/operators` has the code.
const OPERATORS: [&str; 1] = ["csv_to_parquet"];

/// Every operator that workers offer.
#[must_use]
pub fn offered() -> Vec<Name> {
    // Unwrap safety: the names above are names.
    OPERATORS.iter().map(|name| name.parse().expect("an operator's name is a name")).collect()
}
