//! Whether every object of a JSON text has each key once. Readers differ in which of two they take.

use std::{collections::HashSet, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor},
};

/// What is wrong with a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// A key is there twice.
    Twice,
    /// It is no JSON.
    Malformed(String),
}

/// What the reader says of a key that is there twice; nothing else says it.
const TWICE: &str = "a key is there twice";

/// Looks at all of it.
pub(super) fn check(unverified: &str) -> Result<(), Found> {
    match serde_json::from_str::<Unique>(unverified) {
        Ok(Unique) => Ok(()),
        Err(error) if error.is_data() && error.to_string().starts_with(TWICE) => Err(Found::Twice),
        Err(error) => Err(Found::Malformed(error.to_string())),
    }
}

struct Unique;

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Look)
    }
}

struct Look;

impl<'de> Visitor<'de> for Look {
    type Value = Unique;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Unique, A::Error> {
        let mut keys = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if !keys.insert(key) {
                return Err(de::Error::custom(TWICE));
            }
            map.next_value::<Unique>()?;
        }
        Ok(Unique)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Unique, A::Error> {
        while seq.next_element::<Unique>()?.is_some() {}
        Ok(Unique)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_str<E>(self, _: &str) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_unit<E>(self) -> Result<Unique, E> {
        Ok(Unique)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_there_twice_is_found_wherever_it_is() {
        for good in [r#"{"a":{"a":1},"b":[{"a":1},{"a":1}]}"#, "[]", "1", "null", r#""x""#, "[true, -1, 1.5]"]
        {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for twice in [r#"{"a":1,"a":1}"#, r#"[[{"x":{"a":1,"\u0061":2}}]]"#] {
            assert_eq!(check(twice), Err(Found::Twice), "{twice}");
        }
        for bad in ["", "{", r#"{"a":1}}"#, "[1,]", "NaN"] {
            assert!(matches!(check(bad), Err(Found::Malformed(_))), "{bad}");
        }
    }
}
