//! Sizes, durations, cores and counts, each with its unit and its bounds.

use schemars::{Schema, json_schema};

use super::{bounds::PRIORITY, decode::Leaf, findings::shown, tree::Value};

/// Bytes, written as `512MiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes(pub u64);

/// Milliseconds, written as `60s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Millis(pub u64);

/// Thousandths of a core, written as `1` or `0.5`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CpuMillis(pub u32);

/// A whole number from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count(pub u32);

/// A priority: a whole number, which may be negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Priority(pub i16);

const SIZE_UNITS: [(&str, u64); 9] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("B", 1),
];
const TIME_UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];

/// A whole number and a unit, without anything between or around them.
fn quantity(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    if number.is_empty() || number.len() > 15 {
        return None;
    }
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

fn described(value: &Value) -> String {
    match value {
        Value::Text(text) => format!("`{}`", shown(text)),
        Value::Int(number) => format!("`{number}` without a unit"),
        other => other.kind().to_owned(),
    }
}

impl Leaf for Bytes {
    fn read(value: Value) -> Result<Self, String> {
        let bytes = if let Value::Text(text) = &value { quantity(text, &SIZE_UNITS) } else { None };
        bytes.map(Self).ok_or_else(|| {
            format!(
                "{} is not a size: write a whole number and B, KiB, MiB, GiB or TiB, such as `512MiB`",
                described(&value)
            )
        })
    }

    fn describe() -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9]{1,15}([KMGT]iB|[kMGT]B|B)$" })
    }
}

impl Leaf for Millis {
    fn read(value: Value) -> Result<Self, String> {
        let millis = if let Value::Text(text) = &value { quantity(text, &TIME_UNITS) } else { None };
        millis.map(Self).ok_or_else(|| {
            format!(
                "{} is not a duration: write a whole number and ms, s, m or h, such as `60s`",
                described(&value)
            )
        })
    }

    fn describe() -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9]{1,15}(ms|s|m|h)$" })
    }
}

impl Leaf for CpuMillis {
    fn read(value: Value) -> Result<Self, String> {
        let cores = match value {
            Value::Int(cores @ 0..=1_000) => Some(cores as f64),
            Value::Float(cores) if (0.0..=1_000.0).contains(&cores) => Some(cores),
            _ => None,
        };
        cores.map(|cores| Self((cores * 1000.0).round() as u32)).ok_or_else(|| {
            format!("expected a number of cores, such as `1` or `0.5`, found {}", value.kind())
        })
    }

    fn describe() -> Schema {
        json_schema!({ "type": "number", "minimum": 0, "maximum": 1000 })
    }
}

impl Leaf for Count {
    fn read(value: Value) -> Result<Self, String> {
        match value {
            Value::Int(number) => u32::try_from(number)
                .map(Self)
                .map_err(|_| format!("`{number}` is out of bounds: use a number from 0 up")),
            other => Err(format!("expected a whole number, found {}", other.kind())),
        }
    }

    fn describe() -> Schema {
        json_schema!({ "type": "integer", "minimum": 0, "maximum": u32::MAX })
    }
}

impl Leaf for Priority {
    fn read(value: Value) -> Result<Self, String> {
        let (least, most) = PRIORITY;
        match value {
            Value::Int(number) => i16::try_from(number)
                .ok()
                .filter(|number| (least..=most).contains(number))
                .map(Self)
                .ok_or_else(|| format!("{number} is out of bounds: use {least} to {most}")),
            other => Err(format!("expected a whole number from {least} to {most}, found {}", other.kind())),
        }
    }

    fn describe() -> Schema {
        json_schema!({ "type": "integer", "minimum": PRIORITY.0, "maximum": PRIORITY.1 })
    }
}

/// Bytes as a person writes them.
#[must_use]
pub fn shown_bytes(bytes: u64) -> String {
    SIZE_UNITS[..4]
        .iter()
        .rev()
        .find(|(_, factor)| bytes >= *factor && bytes.is_multiple_of(*factor))
        .map_or_else(|| format!("{bytes}B"), |(unit, factor)| format!("{}{unit}", bytes / factor))
}

/// Milliseconds as a person writes them.
#[must_use]
pub fn shown_millis(millis: u64) -> String {
    TIME_UNITS
        .iter()
        .rev()
        .find(|(_, factor)| millis >= *factor && millis.is_multiple_of(*factor))
        .map_or_else(|| format!("{millis}ms"), |(unit, factor)| format!("{}{unit}", millis / factor))
}

/// `1 task`, `2 tasks`.
#[must_use]
pub fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Option<u64> {
        Bytes::read(Value::Text(text.to_owned())).ok().map(|bytes| bytes.0)
    }

    fn millis(text: &str) -> Option<u64> {
        Millis::read(Value::Text(text.to_owned())).ok().map(|millis| millis.0)
    }

    #[test]
    fn quantities_have_a_number_and_a_known_unit() {
        assert_eq!(bytes("512MiB"), Some(512 << 20));
        assert_eq!(bytes("5MB"), Some(5_000_000));
        assert_eq!(millis("60s"), Some(60_000));
        assert_eq!(millis("1500ms"), Some(1_500));
        for bad in ["", "MiB", "512", "512 MiB", "512mib", "-1MiB", "1.5GiB", "999999999999999TiB", "1e3B"] {
            assert_eq!(bytes(bad), None, "{bad:?} must be refused");
        }
        for bad in ["", "60", "60 s", "60sec", "-1s", "1h30m"] {
            assert_eq!(millis(bad), None, "{bad:?} must be refused");
        }
    }

    #[test]
    fn quantities_are_shown_as_they_are_written() {
        for text in ["1KiB", "512MiB", "3GiB", "17B"] {
            assert_eq!(shown_bytes(bytes(text).unwrap()), text);
        }
        for text in ["60s", "1500ms", "24h"] {
            assert_eq!(bytes(text), None);
        }
        assert_eq!(shown_millis(60_000), "1m");
        assert_eq!(shown_millis(1_500), "1500ms");
    }
}
