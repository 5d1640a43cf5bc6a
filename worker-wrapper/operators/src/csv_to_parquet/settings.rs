//! The job's `with:`.
//!
//! ```yaml
//! with:
//!   null: NA                                # this text is a missing value, as an empty field always is
//!   columns: { flight: utf8 }               # types that are not to be found out from the values
//!   partition: { year: year, month: month } # which columns say what month a row is of
//! ```

use std::collections::BTreeMap;

use serde::Deserialize;
use trace_udf_native::ColumnType;

use super::{Error, Result};

/// Settings after parsing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Types by column; the others' are found out.
    pub columns: BTreeMap<String, ColumnType>,
    /// Which rows a partition has; needed when the job has partitions.
    pub partition: Option<PartitionBy>,
    /// A text that stands for a missing value.
    null: Option<String>,
    /// Between fields.
    pub delimiter: u8,
}

/// What makes a row one of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartitionBy {
    /// The year and month in these columns, for partitions such as `2013-01`.
    Month {
        /// The year's column.
        year: String,
        /// The month's column.
        month: String,
    },
    /// A column whose text is the partition's key.
    Equals(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    columns: BTreeMap<String, ColumnType>,
    partition: Option<WrittenPartition>,
    null: Option<String>,
    #[serde(default = "comma")]
    delimiter: char,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenPartition {
    year: Option<String>,
    month: Option<String>,
    equals: Option<String>,
}

const fn comma() -> char {
    ','
}

impl Settings {
    /// Reads the settings from JSON.
    ///
    /// # Errors
    /// Names the field that is unknown or wrong.
    pub fn parse(unverified: &str) -> Result<Self> {
        let written: Written =
            serde_json::from_str(unverified).map_err(|error| Error::Settings(error.to_string()))?;
        let delimiter = u8::try_from(written.delimiter)
            .ok()
            .filter(|byte| byte.is_ascii() && !b"\"\r\n".contains(byte))
            .ok_or_else(|| Error::Settings("delimiter: use one ASCII character, such as \";\"".to_owned()))?;
        let partition = written.partition.map(PartitionBy::try_from).transpose()?;
        Ok(Self { columns: written.columns, partition, null: written.null, delimiter })
    }

    /// Whether a field stands for a missing value.
    #[must_use]
    pub fn is_null(&self, field: &str) -> bool {
        field.is_empty() || self.null.as_deref() == Some(field)
    }
}

impl TryFrom<WrittenPartition> for PartitionBy {
    type Error = Error;

    fn try_from(written: WrittenPartition) -> Result<Self> {
        match written {
            WrittenPartition { year: Some(year), month: Some(month), equals: None } => {
                Ok(Self::Month { year, month })
            }
            WrittenPartition { year: None, month: None, equals: Some(column) } => Ok(Self::Equals(column)),
            _ => Err(Error::Settings(
                "partition: give either `year` and `month`, or `equals`, each with a column".to_owned(),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_strict() {
        let full = r#"{"null":"NA","columns":{"flight":"utf8"},"partition":{"year":"y","month":"m"},"delimiter":";"}"#;
        let settings = Settings::parse(full).unwrap();
        assert_eq!(settings.columns["flight"], ColumnType::Utf8);
        assert_eq!(settings.delimiter, b';');
        assert!(settings.is_null("NA") && settings.is_null("") && !settings.is_null("N"));
        assert_eq!(Settings::parse("{}").unwrap().partition, None);

        let said: Vec<_> = [
            "[]",
            r#"{"columsn":{}}"#,
            r#"{"columns":{"a":"integer"}}"#,
            r#"{"partition":{"year":"y"}}"#,
            r#"{"partition":{"year":"y","month":"m","equals":"c"}}"#,
            r#"{"partition":{"day":"d"}}"#,
            r#"{"delimiter":"\n"}"#,
            r#"{"delimiter":"é"}"#,
        ]
        .map(|wrong| Settings::parse(wrong).unwrap_err().to_string())
        .to_vec();
        insta::assert_snapshot!(said.join("\n"));
    }
}
