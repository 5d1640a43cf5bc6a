//! Types that the author gives to columns.

use serde::Serialize;

/// The type of an output's column; every column may hold nulls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// `true` and `false`.
    Bool,
    /// A whole number.
    Int64,
    /// A floating-point number.
    Float64,
    /// A text.
    Utf8,
    /// A day, from a text such as `2013-01-31`.
    Date,
    /// A time without a zone, from a text such as `2013-01-31T10:00:00`.
    Timestamp,
    /// An instant, from a text such as `2013-01-31T10:00:00Z`.
    TimestampTz,
    /// A decimal number of `precision` digits, `scale` of them after the point; from a text.
    Decimal {
        /// Digits in all, from 1 to 38.
        precision: u8,
        /// Digits after the point.
        scale: u8,
    },
}

/// The columns of an output, as far as they are declared. Rows may have more: those come after the
/// declared ones, and their types follow the values.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Schema {
    columns: Vec<Column>,
}

#[derive(Debug, Clone, Serialize)]
struct Column {
    name: String,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    column_type: Option<String>,
}

impl Schema {
    /// Nothing declared.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a column of this type.
    #[must_use]
    pub fn column(mut self, name: &str, column_type: Type) -> Self {
        let written = match column_type {
            Type::Bool => "bool".to_owned(),
            Type::Int64 => "int64".to_owned(),
            Type::Float64 => "float64".to_owned(),
            Type::Utf8 => "utf8".to_owned(),
            Type::Date => "date".to_owned(),
            Type::Timestamp => "timestamp".to_owned(),
            Type::TimestampTz => "timestamptz".to_owned(),
            Type::Decimal { precision, scale } => format!("decimal({precision},{scale})"),
        };
        self.columns.push(Column { name: name.to_owned(), column_type: Some(written) });
        self
    }
}
