//! One column under construction.

use arrow::{
    array::{
        ArrayRef, BooleanBuilder, Date32Builder, Decimal128Builder, Float64Builder, Int64Builder,
        StringBuilder, TimestampMicrosecondBuilder, timezone::Tz,
    },
    compute::kernels::cast_utils::{Parser, parse_decimal, string_to_datetime},
    datatypes::{Date32Type, Decimal128Type, Field},
};

use crate::ColumnType;

/// Values of one column that are not written yet.
pub struct Column {
    name: String,
    column_type: ColumnType,
    values: Values,
}

enum Values {
    Bool(BooleanBuilder),
    Int64(Int64Builder),
    Float64(Float64Builder),
    Utf8(StringBuilder),
    Date(Date32Builder),
    Timestamp(TimestampMicrosecondBuilder),
    Decimal(Decimal128Builder, u8, i8),
}

/// A value does not fit its column's type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found} is not {expected}{}", how_to_write(*expected))]
pub struct Mismatch {
    /// What the value is, shortened.
    pub found: String,
    /// What the column holds.
    pub expected: ColumnType,
}

/// The form that a text has to have for a type that is written as text.
const fn how_to_write(expected: ColumnType) -> &'static str {
    match expected {
        ColumnType::Date => " (write 2013-01-31)",
        ColumnType::Timestamp => " (write 2013-01-31T10:00:00)",
        ColumnType::TimestampTz => " (write 2013-01-31T10:00:00Z)",
        _ => "",
    }
}

impl Column {
    /// An empty column.
    #[must_use]
    pub fn new(name: String, column_type: ColumnType) -> Self {
        let values = match column_type {
            ColumnType::Bool => Values::Bool(BooleanBuilder::new()),
            ColumnType::Int64 => Values::Int64(Int64Builder::new()),
            ColumnType::Float64 => Values::Float64(Float64Builder::new()),
            ColumnType::Utf8 => Values::Utf8(StringBuilder::new()),
            ColumnType::Date => Values::Date(Date32Builder::new()),
            ColumnType::Timestamp | ColumnType::TimestampTz => {
                Values::Timestamp(TimestampMicrosecondBuilder::new().with_data_type(column_type.arrow()))
            }
            ColumnType::Decimal { precision, scale } => Values::Decimal(
                Decimal128Builder::new().with_data_type(column_type.arrow()),
                precision,
                scale as i8,
            ),
        };
        Self { name, column_type, values }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its type.
    #[must_use]
    pub const fn column_type(&self) -> ColumnType {
        self.column_type
    }

    /// Its place in the file's schema.
    #[must_use]
    pub fn field(&self) -> Field {
        self.column_type.field(&self.name)
    }

    /// Adds a missing value.
    pub fn push_null(&mut self) {
        match &mut self.values {
            Values::Bool(values) => values.append_null(),
            Values::Int64(values) => values.append_null(),
            Values::Float64(values) => values.append_null(),
            Values::Utf8(values) => values.append_null(),
            Values::Date(values) => values.append_null(),
            Values::Timestamp(values) => values.append_null(),
            Values::Decimal(values, ..) => values.append_null(),
        }
    }

    /// Adds a truth value.
    ///
    /// # Errors
    /// When the column holds something else.
    pub fn push_bool(&mut self, value: bool) -> Result<(), Mismatch> {
        match &mut self.values {
            Values::Bool(values) => values.append_value(value),
            _ => return Err(self.mismatch(value)),
        }
        Ok(())
    }

    /// Adds a whole number.
    ///
    /// # Errors
    /// When the column does not hold numbers.
    pub fn push_int(&mut self, value: i64) -> Result<(), Mismatch> {
        match &mut self.values {
            Values::Int64(values) => values.append_value(value),
            Values::Float64(values) => values.append_value(value as f64),
            Values::Decimal(..) => return self.push_text(&value.to_string()),
            _ => return Err(self.mismatch(value)),
        }
        Ok(())
    }

    /// Adds a floating-point number.
    ///
    /// # Errors
    /// When the column does not hold them.
    pub fn push_float(&mut self, value: f64) -> Result<(), Mismatch> {
        match &mut self.values {
            Values::Float64(values) => values.append_value(value),
            _ => return Err(self.mismatch(value)),
        }
        Ok(())
    }

    /// Adds what a text says, read as the column's type.
    ///
    /// # Errors
    /// When it is not a value of that type.
    pub fn push_text(&mut self, text: &str) -> Result<(), Mismatch> {
        let fits = match &mut self.values {
            Values::Utf8(values) => {
                values.append_value(text);
                Some(())
            }
            Values::Bool(values) => parse_bool(text).map(|value| values.append_value(value)),
            Values::Int64(values) => text.parse().ok().map(|value| values.append_value(value)),
            Values::Float64(values) => text.parse().ok().map(|value| values.append_value(value)),
            Values::Date(values) => Date32Type::parse(text).map(|value| values.append_value(value)),
            Values::Timestamp(values) => parse_micros(text).map(|value| values.append_value(value)),
            Values::Decimal(values, precision, scale) => {
                exact_decimal(text, *precision, *scale).map(|value| values.append_value(value))
            }
        };
        fits.ok_or_else(|| self.mismatch(format_args!("`{}`", text.chars().take(80).collect::<String>())))
    }

    /// Hands out what was added and starts over.
    pub fn take(&mut self) -> ArrayRef {
        use std::sync::Arc;
        match &mut self.values {
            Values::Bool(values) => Arc::new(values.finish()),
            Values::Int64(values) => Arc::new(values.finish()),
            Values::Float64(values) => Arc::new(values.finish()),
            Values::Utf8(values) => Arc::new(values.finish()),
            Values::Date(values) => Arc::new(values.finish()),
            Values::Timestamp(values) => Arc::new(values.finish()),
            Values::Decimal(values, ..) => Arc::new(values.finish()),
        }
    }

    /// That something is not of this column's type.
    pub(crate) fn mismatch(&self, found: impl ToString) -> Mismatch {
        Mismatch { found: found.to_string(), expected: self.column_type }
    }
}

impl ColumnType {
    /// Whether a text is a value of this type.
    #[must_use]
    pub fn reads(self, text: &str) -> bool {
        match self {
            Self::Utf8 => true,
            Self::Bool => parse_bool(text).is_some(),
            Self::Int64 => text.parse::<i64>().is_ok(),
            Self::Float64 => text.parse::<f64>().is_ok(),
            Self::Date => Date32Type::parse(text).is_some(),
            Self::Timestamp | Self::TimestampTz => parse_micros(text).is_some(),
            Self::Decimal { precision, scale } => exact_decimal(text, precision, scale as i8).is_some(),
        }
    }
}

fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "true" | "TRUE" | "True" => Some(true),
        "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// A decimal number as its digits without the point; `None` where that would lose some.
fn exact_decimal(text: &str, precision: u8, scale: i8) -> Option<i128> {
    let fraction = text.split_once('.').map_or("", |(_, fraction)| fraction.trim_end_matches('0'));
    let exact = fraction.len() <= usize::from(scale.unsigned_abs()) && !text.contains(['e', 'E']);
    exact.then(|| parse_decimal::<Decimal128Type>(text, precision, scale).ok()).flatten()
}

/// Microseconds since 1970. A text without an offset is taken as UTC, one with another is moved to it.
fn parse_micros(text: &str) -> Option<i64> {
    let utc: Tz = "+00:00".parse().ok()?;
    string_to_datetime(&utc, text).ok().map(|time| time.timestamp_micros())
}

#[cfg(test)]
mod tests {
    use arrow::array::Array;

    use super::*;

    fn accepts(column_type: &str, text: &str) -> bool {
        Column::new("c".to_owned(), column_type.parse().unwrap()).push_text(text).is_ok()
    }

    #[test]
    fn texts_are_read_as_the_columns_type() {
        for (column_type, good, bad) in [
            ("bool", "true", "yes"),
            ("int64", "-7", "7.5"),
            ("float64", "1e3", "one"),
            ("date", "2013-01-31", "2013-02-31"),
            ("timestamp", "2013-01-31T10:00:00.123456", "10:00"),
            ("timestamptz", "2013-01-31T10:00:00+02:00", "yesterday"),
            ("decimal(5,2)", "-123.45", "1234567"),
            ("decimal(5,2)", "1.500", "1.005"),
        ] {
            assert!(accepts(column_type, good), "{good} is {column_type}");
            assert!(!accepts(column_type, bad), "{bad} is not {column_type}");
            let parsed: ColumnType = column_type.parse().unwrap();
            assert!(parsed.reads(good) && !parsed.reads(bad), "{column_type}");
        }
    }

    #[test]
    fn an_offset_moves_an_instant_to_utc() {
        assert_eq!(parse_micros("1970-01-01T02:00:00+02:00"), Some(0));
        assert_eq!(parse_micros("1970-01-01T00:00:01Z"), Some(1_000_000));
    }

    #[test]
    fn numbers_widen_but_never_narrow() {
        let mut floats = Column::new("f".to_owned(), ColumnType::Float64);
        assert!(floats.push_int(2).is_ok());
        let mut ints = Column::new("i".to_owned(), ColumnType::Int64);
        let mismatch = ints.push_float(2.5).unwrap_err();
        assert_eq!(mismatch.to_string(), "2.5 is not int64");
        ints.push_null();
        assert_eq!((floats.take().len(), ints.take().null_count()), (1, 1));
    }
}
