//! One JSON line: an object of scalars, read in the order in which it is written.

use std::{borrow::Cow, fmt};

use serde::{
    Deserializer,
    de::{self, DeserializeSeed, MapAccess, Visitor},
};

/// A value that fits in a cell.
#[derive(Debug, PartialEq)]
pub enum Scalar<'a> {
    /// Missing.
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A floating-point number.
    Float(f64),
    /// A text, or anything that is written as one.
    Text(Cow<'a, str>),
}

/// Calls `cell` for each name and value of the object in `line`.
///
/// # Errors
/// When the line is not an object of scalars, or `cell` refuses one; its refusal comes back as it was.
pub fn read<'a, E>(
    line: &'a [u8],
    cell: impl FnMut(Cow<'a, str>, Scalar<'a>) -> Result<(), E>,
) -> Result<Result<(), E>, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(line);
    let outcome = deserializer.deserialize_map(Cells(cell))?;
    deserializer.end()?;
    Ok(outcome)
}

struct Cells<F>(F);

impl<'de, E, F: FnMut(Cow<'de, str>, Scalar<'de>) -> Result<(), E>> Visitor<'de> for Cells<F> {
    type Value = Result<(), E>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object such as {\"origin\":\"JFK\",\"delay\":12.5}")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut outcome = Ok(());
        while let Some(name) = map.next_key_seed(Text)? {
            let value = map.next_value_seed(Cell)?;
            // The rest of the line is still read, because a deserializer wants its whole input.
            if outcome.is_ok() {
                outcome = (self.0)(name, value);
            }
        }
        Ok(outcome)
    }
}

struct Text;

impl<'de> DeserializeSeed<'de> for Text {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Text {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a column's name")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

struct Cell;

impl<'de> DeserializeSeed<'de> for Cell {
    type Value = Scalar<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Cell {
    type Value = Scalar<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a number, text, true, false or null (a list or an object goes into a column as JSON text)",
        )
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Scalar::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Scalar::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Scalar::Int(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Self::Value, E> {
        i64::try_from(value)
            .map(Scalar::Int)
            .map_err(|_| E::custom(format!("{value} does not fit int64: write it as text, or as a decimal")))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Scalar::Float(value))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Owned(text.to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(line: &str) -> Result<Vec<(String, String)>, String> {
        let mut cells = Vec::new();
        let outcome = read(line.as_bytes(), |name, value| {
            cells.push((name.into_owned(), format!("{value:?}")));
            if cells.len() > 3 { Err("too many".to_owned()) } else { Ok(()) }
        });
        outcome.map_err(|error| error.to_string())?.map(|()| cells)
    }

    #[test]
    fn cells_come_in_order() {
        let read = cells(r#"{"b":1,"a":"x\ny","c":null}"#).unwrap();
        let expected = [("b", "Int(1)"), ("a", "Text(\"x\\ny\")"), ("c", "Null")];
        assert_eq!(read, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn what_is_no_row_is_refused() {
        assert_eq!(cells(r#"{"a":1,"b":1,"c":1,"d":1,"e":1}"#).unwrap_err(), "too many");
        for bad in
            ["", "[1]", "7", r#"{"a":[1]}"#, r#"{"a":{}}"#, r#"{"a":1"#, r#"{"a":1} x"#, "{\"a\":\"\u{1}\"}"]
        {
            assert!(cells(bad).is_err(), "{bad} must be refused");
        }
        assert!(cells(r#"{"a":18446744073709551615}"#).unwrap_err().contains("decimal"));
    }
}
