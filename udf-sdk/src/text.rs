//! Rows as CSV (RFC 4180) or JSON.

use std::{
    fmt,
    io::{self, Write},
};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, Visitor},
};
use serde_json::Value;

/// Why a row was not written.
#[derive(Debug, thiserror::Error)]
pub enum RowError {
    #[error("{0}")]
    Shape(String),
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Writes rows as CSV: a header with the first row's fields, a missing value as an empty field, an
/// empty text as `""`.
pub struct CsvWriter<W> {
    to: W,
    names: Vec<String>,
}

impl<W: Write> CsvWriter<W> {
    pub const fn new(to: W) -> Self {
        Self { to, names: Vec::new() }
    }

    pub fn row(&mut self, row: &impl Serialize) -> Result<(), RowError> {
        let Cells(cells) = serde_json::from_slice(&serde_json::to_vec(row)?)?;
        if self.names.is_empty() {
            self.names = cells.iter().map(|(name, _)| name.clone()).collect();
            let header: Vec<_> = self.names.iter().map(|name| quoted(name)).collect();
            writeln!(self.to, "{}", header.join(","))?;
        }
        if !cells.iter().map(|(name, _)| name).eq(&self.names) {
            return Err(RowError::Shape("its fields are not those of the first row".to_owned()));
        }
        let fields: Result<Vec<_>, _> = cells.iter().map(|(name, value)| field(name, value)).collect();
        Ok(writeln!(self.to, "{}", fields?.join(","))?)
    }

    pub fn finish(mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Writes rows as one JSON array with a row on each line.
pub struct JsonWriter<W> {
    to: W,
    before: &'static str,
}

impl<W: Write> JsonWriter<W> {
    pub const fn new(to: W) -> Self {
        Self { to, before: "[\n" }
    }

    pub fn row(&mut self, row: &impl Serialize) -> Result<(), RowError> {
        let text = serde_json::to_vec(row)?;
        self.to.write_all(self.before.as_bytes())?;
        self.before = ",\n";
        Ok(self.to.write_all(&text)?)
    }

    pub fn finish(mut self) -> io::Result<()> {
        self.to.write_all(if self.before == "[\n" { b"[]\n" } else { b"\n]\n" })?;
        self.to.flush()
    }
}

fn field(name: &str, value: &Value) -> Result<String, RowError> {
    match value {
        Value::Null => Ok(String::new()),
        Value::String(text) => Ok(quoted(text)),
        Value::Bool(value) => Ok(value.to_string()),
        Value::Number(value) => Ok(value.to_string()),
        Value::Array(_) | Value::Object(_) => Err(RowError::Shape(format!(
            "the field `{name}` is a list or a struct, which CSV has no form for"
        ))),
    }
}

fn quoted(text: &str) -> String {
    if text.is_empty() || text.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

/// A row's fields in the order in which the author wrote them.
struct Cells(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Cells {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(CellsVisitor).map(Self)
    }
}

struct CellsVisitor;

impl<'de> Visitor<'de> for CellsVisitor {
    type Value = Vec<(String, Value)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a struct or a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut cells = Vec::new();
        while let Some(cell) = map.next_entry()? {
            cells.push(cell);
        }
        Ok(cells)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Row(#[serde(skip)] (), #[serde(skip)] ());

    #[derive(Serialize)]
    struct Delay<'a> {
        origin: &'a str,
        delay: Option<f64>,
        count: u32,
    }

    #[test]
    fn csv_keeps_order_and_quotes() {
        let mut text = Vec::new();
        let mut csv = CsvWriter::new(&mut text);
        csv.row(&Delay { origin: "J,\"K\"", delay: Some(1.5), count: 1 }).unwrap();
        csv.row(&Delay { origin: "", delay: None, count: 2 }).unwrap();
        csv.finish().unwrap();
        let expected = "origin,delay,count\n\"J,\"\"K\"\"\",1.5,1\n\"\",,2\n";
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }

    #[test]
    fn csv_refuses_what_has_no_columns() {
        let mut csv = CsvWriter::new(Vec::new());
        assert!(csv.row(&Row((), ())).is_err());
        csv.row(&serde_json::json!({"a": 1})).unwrap();
        assert!(csv.row(&serde_json::json!({"b": 1})).is_err());
        assert!(csv.row(&serde_json::json!({"a": [1]})).is_err());
    }

    #[test]
    fn json_is_one_document() {
        for rows in 0..3 {
            let mut text = Vec::new();
            let mut json = JsonWriter::new(&mut text);
            for n in 0..rows {
                json.row(&serde_json::json!({"n": n})).unwrap();
            }
            json.finish().unwrap();
            let read: Vec<Value> = serde_json::from_slice(&text).unwrap();
            assert_eq!(read.len(), rows);
        }
    }
}
