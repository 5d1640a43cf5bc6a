//! The types that a column can have.

use std::{fmt, str::FromStr, sync::Arc};

use arrow::datatypes::{DataType, Field, TimeUnit};
use serde::{Deserialize, Deserializer, de};

/// The type of a column; every column may hold nulls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnType {
    /// `true` and `false`.
    Bool,
    /// A whole number of 64 bits.
    Int64,
    /// A floating-point number of 64 bits.
    Float64,
    /// A text.
    Utf8,
    /// A day, written `2013-01-31`.
    Date,
    /// A time without a zone in microseconds, written `2013-01-31T10:00:00`.
    Timestamp,
    /// An instant in microseconds, written `2013-01-31T10:00:00Z` or with another offset.
    TimestampTz,
    /// A decimal number of `precision` digits, `scale` of them after the point.
    Decimal {
        /// Digits in all, from 1 to 38.
        precision: u8,
        /// Digits after the point, at most `precision`.
        scale: u8,
    },
}

/// A column as a header or a schema names it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnSpec {
    /// Its name, unique in the table.
    pub name: String,
    /// Its type; found out from the values when absent.
    #[serde(default, rename = "type")]
    pub column_type: Option<ColumnType>,
}

/// Why a text is not a type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a column type: use bool, int64, float64, utf8, date, timestamp, timestamptz or decimal(P,S)"
)]
pub struct InvalidType(String);

impl ColumnType {
    /// The type in the file.
    #[must_use]
    pub fn arrow(self) -> DataType {
        match self {
            Self::Bool => DataType::Boolean,
            Self::Int64 => DataType::Int64,
            Self::Float64 => DataType::Float64,
            Self::Utf8 => DataType::Utf8,
            Self::Date => DataType::Date32,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            // An offset and not a name: readers without a time zone database know it too.
            Self::TimestampTz => DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from("+00:00"))),
            // The cast is exact: a scale is at most 38.
            Self::Decimal { precision, scale } => DataType::Decimal128(precision, scale as i8),
        }
    }

    /// The column of this type in the file's schema.
    #[must_use]
    pub fn field(self, name: &str) -> Field {
        Field::new(name, self.arrow(), true)
    }
}

impl FromStr for ColumnType {
    type Err = InvalidType;

    fn from_str(unverified: &str) -> Result<Self, InvalidType> {
        Ok(match unverified {
            "bool" => Self::Bool,
            "int64" => Self::Int64,
            "float64" => Self::Float64,
            "utf8" => Self::Utf8,
            "date" => Self::Date,
            "timestamp" => Self::Timestamp,
            "timestamptz" => Self::TimestampTz,
            other => decimal(other).ok_or_else(|| InvalidType(other.chars().take(40).collect()))?,
        })
    }
}

/// `decimal(P,S)` with sound numbers.
fn decimal(unverified: &str) -> Option<ColumnType> {
    let (precision, scale) = unverified.strip_prefix("decimal(")?.strip_suffix(')')?.split_once(',')?;
    let (precision, scale): (u8, u8) = (precision.trim().parse().ok()?, scale.trim().parse().ok()?);
    ((1..=38).contains(&precision) && scale <= precision).then_some(ColumnType::Decimal { precision, scale })
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bool => "bool",
            Self::Int64 => "int64",
            Self::Float64 => "float64",
            Self::Utf8 => "utf8",
            Self::Date => "date",
            Self::Timestamp => "timestamp",
            Self::TimestampTz => "timestamptz",
            Self::Decimal { precision, scale } => return write!(f, "decimal({precision},{scale})"),
        })
    }
}

impl<'de> Deserialize<'de> for ColumnType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_written_as_they_are_read() {
        for text in [
            "bool",
            "int64",
            "float64",
            "utf8",
            "date",
            "timestamp",
            "timestamptz",
            "decimal(38,10)",
            "decimal(1,0)",
        ] {
            assert_eq!(text.parse::<ColumnType>().unwrap().to_string(), text);
        }
        for bad in
            ["", "int", "Int64", "decimal", "decimal(0,0)", "decimal(39,1)", "decimal(5,6)", "decimal(5)"]
        {
            assert!(bad.parse::<ColumnType>().is_err(), "{bad:?} must be refused");
        }
    }
}
