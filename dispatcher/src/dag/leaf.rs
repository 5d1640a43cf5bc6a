//! The single values of a DAG: names, sizes, durations, months. Each says in one place how it is
//! read and how the JSON Schema describes it.

use schemars::{Schema, json_schema};
use trace_contracts::{
    Name, PartitionKey, Runtime,
    destination::{Destination, InvalidDestination},
    grant::FilterValue,
    wire::{webhook::DeliveryEvent, worker::Language},
};

use super::{
    decode::Leaf,
    findings::shown,
    spec::Period,
    tree::{Entry, Value},
};

fn text(value: Value, what: &str) -> Result<String, String> {
    match value {
        Value::Text(text) => Ok(text),
        Value::Null => Err(format!("expected {what}, found nothing")),
        Value::List(_) | Value::Map(_) => Err(format!("expected {what}, found {}", value.kind())),
        _ => Err(format!("expected {what}, found {}: put it in quotes", value.kind())),
    }
}

impl Leaf for Name {
    fn read(value: Value) -> Result<Self, String> {
        text(value, "a name")?.parse().map_err(|error: trace_contracts::name::InvalidName| error.to_string())
    }

    fn describe() -> Schema {
        json_schema!({ "type": "string", "pattern": "^[a-z][a-z0-9_]{0,62}$" })
    }
}

impl Leaf for PartitionKey {
    fn read(value: Value) -> Result<Self, String> {
        text(value, "a partition key")?
            .parse()
            .map_err(|error: trace_contracts::name::InvalidName| error.to_string())
    }

    fn describe() -> Schema {
        json_schema!({ "type": "string", "pattern": "^[A-Za-z0-9_=-][A-Za-z0-9_=.-]{0,63}$" })
    }
}

impl Leaf for Language {
    fn read(value: Value) -> Result<Self, String> {
        match text(value, "`python` or `rust`")?.as_str() {
            "python" => Ok(Self::Python),
            "rust" => Ok(Self::Rust),
            other => Err(format!("`{}` is not a language here: use `python` or `rust`", shown(other))),
        }
    }

    fn describe() -> Schema {
        json_schema!({ "enum": ["python", "rust"] })
    }
}

impl Leaf for Period {
    fn read(value: Value) -> Result<Self, String> {
        let text = text(value, "`second`, `minute` or `hour`")?;
        Self::ALL.into_iter().find(|period| period.as_str() == text).ok_or_else(|| {
            format!("`{}` is not a time to count in: use `second`, `minute` or `hour`", shown(&text))
        })
    }

    fn describe() -> Schema {
        json_schema!({ "enum": Self::ALL.map(Self::as_str) })
    }
}

impl Leaf for DeliveryEvent {
    fn read(value: Value) -> Result<Self, String> {
        let all = || Self::ALL.map(|event| format!("`{event}`")).join(", ");
        let text = text(value, "an event")?;
        let found = Self::ALL.into_iter().find(|event| event.as_str() == text);
        found.ok_or_else(|| format!("`{}` is not an event that is told: use one of {}", shown(&text), all()))
    }

    fn describe() -> Schema {
        json_schema!({ "enum": Self::ALL.map(Self::as_str) })
    }
}

/// A text that has only one value that is right, such as `by: month`.
macro_rules! keyword {
    ($(#[$doc:meta])* $name:ident, $word:literal, $otherwise:literal;) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        pub struct $name;

        impl Leaf for $name {
            fn read(value: Value) -> Result<Self, String> {
                let text = text(value, concat!("`", $word, "`"))?;
                if text == $word {
                    return Ok(Self);
                }
                Err(format!(concat!("`{}` ", $otherwise), shown(&text)))
            }

            fn describe() -> Schema {
                json_schema!({ "const": $word })
            }
        }
    };
}

keyword! {
    /// `by: month`.
    ByMonth, "month", "is not a unit of partitions: use `month`, or write them out as `list: [...]`";
}
keyword! {
    /// `partitions: all` of an input.
    AllPartitions, "all", "is not possible here: use `all`, or leave it out to read the task's own partition";
}
impl Leaf for Runtime {
    fn read(value: Value) -> Result<Self, String> {
        let text = text(value, "`process`, `ecs_udf` or `lambda`")?;
        Self::ALL.into_iter().find(|runtime| runtime.as_str() == text).ok_or_else(|| {
            format!(
                "`{}` is not a runtime: use `process`, `ecs_udf` or `lambda`, or leave `runtime` out",
                shown(&text)
            )
        })
    }

    fn describe() -> Schema {
        json_schema!({ "enum": Self::ALL.map(Self::as_str) })
    }
}

/// A month, such as `2013-01`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month {
    /// Months since year 0.
    number: u32,
}

impl Month {
    /// Every month from this one to `last`, both included.
    pub fn through(self, last: Self) -> impl ExactSizeIterator<Item = Self> {
        let count = (last.number + 1).saturating_sub(self.number);
        (0..count as usize).map(move |step| Self { number: self.number + step as u32 })
    }

    /// The partition of the month.
    #[must_use]
    pub fn partition(self) -> PartitionKey {
        let text = format!("{:04}-{:02}", self.number / 12, self.number % 12 + 1);
        // Unwrap safety: four digits, a dash and two digits are a partition key.
        text.parse().expect("a month is a partition key")
    }
}

impl Leaf for Month {
    fn read(value: Value) -> Result<Self, String> {
        let text = text(value, "a month such as `2013-01`")?;
        let wrong = || format!("`{}` is not a month: write it as `2013-01`", shown(&text));
        let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        let (year, month) = text.split_once('-').ok_or_else(wrong)?;
        if year.len() != 4 || month.len() != 2 || !digits(year) || !digits(month) {
            return Err(wrong());
        }
        let (Ok(year), Ok(month @ 1..=12)) = (year.parse::<u32>(), month.parse::<u32>()) else {
            return Err(wrong());
        };
        Ok(Self { number: year * 12 + month - 1 })
    }

    fn describe() -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9]{4}-(0[1-9]|1[0-2])$" })
    }
}

/// The path of a file or folder, relative to the DAG's own file. It is a key into what the client
/// uploaded; no service ever opens it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RelativePath(pub String);

impl Leaf for RelativePath {
    fn read(value: Value) -> Result<Self, String> {
        let text = text(value, "a path relative to this file")?;
        let plain = |segment: &str| !matches!(segment, "" | "." | "..") && !segment.contains(['\\', ':']);
        if text.len() > 512 || text.chars().any(char::is_control) || !text.split('/').all(plain) {
            return Err(format!(
                "`{}` is not a path below this file's folder: use `data/file.csv`, without `/` in front, `.` or `..`",
                shown(&text)
            ));
        }
        Ok(Self(text))
    }

    fn describe() -> Schema {
        json_schema!({ "type": "string", "minLength": 1, "maxLength": 512 })
    }
}

/// The name of a column, as it stands in the data.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ColumnName(pub String);

impl Leaf for ColumnName {
    fn read(value: Value) -> Result<Self, String> {
        let text = text(value, "a column's name")?;
        if text.is_empty() || text.len() > 128 || text.chars().any(char::is_control) {
            return Err("a column's name has 1 to 128 bytes and no control characters".to_owned());
        }
        Ok(Self(text))
    }

    fn describe() -> Schema {
        json_schema!({ "type": "string", "minLength": 1, "maxLength": 128 })
    }
}

impl Leaf for FilterValue {
    fn read(value: Value) -> Result<Self, String> {
        match value {
            Value::Bool(value) => Ok(Self::Bool(value)),
            Value::Int(value) => Ok(Self::Int(value)),
            Value::Text(text) if text.len() <= 256 && !text.contains('\0') => Ok(Self::Text(text)),
            Value::Text(_) => Err("a value to compare with has at most 256 bytes and no NUL".to_owned()),
            other => Err(format!("expected a text, a whole number, true or false, found {}", other.kind())),
        }
    }

    fn describe() -> Schema {
        json_schema!({ "type": ["string", "integer", "boolean"] })
    }
}

impl Leaf for Destination {
    /// The text itself stays out of the message: somebody may have put a password into it.
    fn read(value: Value) -> Result<Self, String> {
        text(value, "a destination such as `api.example.com:443`")?
            .parse()
            .map_err(|error: InvalidDestination| format!("this is no destination: {error}"))
    }

    fn describe() -> Schema {
        json_schema!({ "type": "string", "pattern": "^[A-Za-z0-9.:\\[\\]-]{1,255}:[1-9][0-9]{0,4}$" })
    }
}

/// Any value that JSON has too: a parameter's default, a setting of an operator.
#[derive(Debug, Clone)]
pub struct Json(pub serde_json::Value);

impl Leaf for Json {
    fn read(value: Value) -> Result<Self, String> {
        json(value).map(Self)
    }

    fn describe() -> Schema {
        Schema::default()
    }
}

fn json(value: Value) -> Result<serde_json::Value, String> {
    Ok(match value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => value.into(),
        Value::Int(value) => value.into(),
        Value::Float(value) => value.into(),
        Value::Text(text) if text.contains('\0') => {
            return Err("a text can't hold a NUL character".to_owned());
        }
        Value::Text(text) => text.into(),
        Value::List(items) => items.into_iter().map(|item| json(item.value)).collect::<Result<_, _>>()?,
        Value::Map(entries) => {
            let mut map = serde_json::Map::new();
            for Entry { key, value } in entries {
                let line = key.at.line;
                let key =
                    text(key.value, "a text as the key").map_err(|why| format!("{why} (line {line})"))?;
                if key.contains('\0') {
                    return Err(format!("a key can't hold a NUL character (line {line})"));
                }
                if map.insert(key.clone(), json(value.value)?).is_some() {
                    return Err(format!("`{}` is there twice (line {line})", shown(&key)));
                }
            }
            map.into()
        }
    })
}
