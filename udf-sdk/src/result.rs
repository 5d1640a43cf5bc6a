//! The rows of a query.

use serde::{
    Deserialize,
    de::{DeserializeOwned, Error as _, value::MapDeserializer},
};
use serde_json::Value;

use crate::{Error, Plane, Result};

/// A query's answer, as it comes.
#[derive(Deserialize)]
struct QueryResult {
    columns: Vec<Column>,
    rows: Vec<Vec<Value>>,
}

#[derive(Deserialize)]
struct Column {
    name: String,
    #[serde(rename = "type")]
    data_type: String,
}

/// Reads the answer's rows into the author's type, field by column name.
pub fn rows<T: DeserializeOwned>(body: &[u8]) -> Result<Vec<T>> {
    let QueryResult { columns, rows } = serde_json::from_slice(body)
        .map_err(|error| Error::Unreachable { plane: Plane::Query, detail: error.to_string() })?;
    (1..)
        .zip(rows)
        .map(|(row, values)| read(&columns, values).map_err(|source| Error::Row { row, source }))
        .collect()
}

fn read<T: DeserializeOwned>(columns: &[Column], values: Vec<Value>) -> Result<T, serde_json::Error> {
    if columns.len() != values.len() {
        return Err(serde_json::Error::custom(format!(
            "{} values for {} columns",
            values.len(),
            columns.len()
        )));
    }
    let cells =
        columns.iter().zip(values).map(|(column, value)| (column.name.as_str(), column.number(value)));
    T::deserialize(MapDeserializer::new(cells))
}

impl Column {
    /// A whole number that came as text, because not every reader has 64 bits, as the number it is.
    fn number(&self, value: Value) -> Value {
        match value {
            Value::String(text) if self.data_type.starts_with("Int") => {
                text.parse::<i64>().map_or(Value::String(text), Value::from)
            }
            Value::String(text) if self.data_type.starts_with("UInt") => {
                text.parse::<u64>().map_or(Value::String(text), Value::from)
            }
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Row;

    const BODY: &str = r#"{"columns":[{"name":"origin","type":"Utf8"},{"name":"n","type":"Int64"}],
        "rows":[["JFK",1],["9",null],[null,"9007199254740993"]]}"#;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Typed {
        origin: Option<String>,
        n: Option<i64>,
    }

    #[test]
    fn rows_are_read_by_name() {
        let typed: Vec<Typed> = rows(BODY.as_bytes()).unwrap();
        let row = |origin: Option<&str>, n| Typed { origin: origin.map(str::to_owned), n };
        let expected =
            [row(Some("JFK"), Some(1)), row(Some("9"), None), row(None, Some(9_007_199_254_740_993))];
        assert_eq!(typed, expected);

        let dynamic: Vec<Row> = rows(BODY.as_bytes()).unwrap();
        assert_eq!((&dynamic[0]["origin"], &dynamic[0]["n"]), (&Value::from("JFK"), &Value::from(1)));
    }

    #[test]
    fn a_row_that_does_not_fit_is_named() {
        #[derive(Debug, Deserialize)]
        #[expect(dead_code, reason = "it never gets a value")]
        struct Strict {
            n: i64,
        }
        let error = rows::<Strict>(BODY.as_bytes()).unwrap_err();
        assert!(error.to_string().starts_with("row 2 of the result does not fit"), "{error}");
        assert!(rows::<Row>(br#"{"columns":[],"rows":[[1]]}"#).is_err());
        assert!(rows::<Row>(b"[]").is_err());
    }
}
