//! Whether two systems answered the same.

use anyhow::{Context, ensure};
use serde_json::Value;

/// Averages are doubles in one system and decimals of six places in the other.
const LAST_PLACE: f64 = 1e-6;
/// What a double can't hold of a long decimal.
const RELATIVE: f64 = 1e-12;

/// Fails at the first value in which the rows differ.
pub fn same(query: &str, ours: &[Vec<Value>], theirs: &[Vec<Value>]) -> anyhow::Result<()> {
    ensure!(!ours.is_empty(), "{query} has no rows");
    ensure!(ours.len() == theirs.len(), "{query}: {} rows and {}", ours.len(), theirs.len());
    for (row, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
        ensure!(ours.len() == theirs.len(), "{query}: row {row} differs in its columns");
        for (one, other) in ours.iter().zip(theirs) {
            ensure!(equal(one, other), "{query}: row {row}: {one} and {other}");
        }
    }
    Ok(())
}

/// The rows of a result in the service's JSON form.
pub fn rows(body: &[u8]) -> anyhow::Result<Vec<Vec<Value>>> {
    let result: trace_contracts::wire::task::QueryResult =
        serde_json::from_slice(body).with_context(|| String::from_utf8_lossy(body).into_owned())?;
    Ok(result.rows)
}

fn equal(one: &Value, other: &Value) -> bool {
    match (number(one), number(other)) {
        (Some(one), Some(other)) => (one - other).abs() <= LAST_PLACE + RELATIVE * one.abs().max(other.abs()),
        (None, None) => one == other,
        _ => false,
    }
}

/// Numbers, and texts that hold one: decimals travel as texts.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_compared_and_not_their_forms() {
        let same = |one, other| equal(&one, &other);
        assert!(same(json!("37734107.00"), json!(37_734_107)));
        assert!(same(json!("25.522006"), json!(25.522_005_853_257_337)));
        assert!(same(json!("1996-03-13"), json!("1996-03-13")));
        assert!(!same(json!("37734107.00"), json!(37_734_207)));
        assert!(same(json!("0.049985"), json!(0.049_985_295_838)));
        assert!(!same(json!("0.049985"), json!(0.049_995)));
        assert!(!same(json!("MAIL"), json!("SHIP")));
        assert!(!same(json!(null), json!(0)));
    }

    #[test]
    fn rows_that_are_missing_are_a_difference() {
        let row = vec![vec![json!(1)]];
        assert!(super::same("q", &row, &row).is_ok());
        assert!(super::same("q", &row, &[]).is_err());
        assert!(super::same("q", &[], &[]).is_err(), "two empty answers prove nothing");
    }
}
