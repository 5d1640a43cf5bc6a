//! Which rows belong to the task's partition.

use super::{Error, Result, Settings, settings::PartitionBy, source::Source};

/// The key of a task of a job without partitions.
const WHOLE: &str = "all";

/// Decides row by row.
pub enum Filter {
    /// Every row.
    All,
    /// Rows of one month.
    Month {
        /// The year and its column.
        year: (u32, usize),
        /// The month and its column.
        month: (u32, usize),
    },
    /// Rows whose column has this text.
    Equals {
        /// The column.
        at: usize,
        /// The text.
        key: String,
    },
}

impl Filter {
    /// The filter of the partition `key`.
    pub fn new(settings: &Settings, key: &str, header: &[String]) -> Result<Self> {
        let find = |name: &String| {
            let missing =
                || Error::NoColumn { setting: "partition", name: name.clone(), has: header.join(", ") };
            header.iter().position(|column| column == name).ok_or_else(missing)
        };
        match &settings.partition {
            _ if key == WHOLE => Ok(Self::All),
            None => Err(Error::Unpartitioned(key.to_owned())),
            Some(PartitionBy::Month { year, month }) => {
                let (y, m) = parse_month(key).ok_or_else(|| Error::NotAMonth(key.to_owned()))?;
                Ok(Self::Month { year: (y, find(year)?), month: (m, find(month)?) })
            }
            Some(PartitionBy::Equals(column)) => Ok(Self::Equals { at: find(column)?, key: key.to_owned() }),
        }
    }

    /// Whether the current row belongs to the partition. A row that can't belong to any is an error:
    /// it would be lost without a word.
    pub fn keeps(&self, rows: &Source) -> Result<bool> {
        match self {
            Self::All => Ok(true),
            Self::Month { year, month } => {
                let (y, m) = (number(rows, year.1, "year")?, number(rows, month.1, "month")?);
                Ok((y, m) == (year.0, month.0))
            }
            Self::Equals { at, key } => Ok(rows.field(*at)? == key),
        }
    }
}

fn number(rows: &Source, at: usize, part: &'static str) -> Result<u32> {
    let field = rows.field(at)?;
    let sound = field.parse().ok().filter(|number| part == "year" || (1..=12).contains(number));
    sound.ok_or_else(|| Error::NoPartition {
        line: rows.line(),
        column: rows.header()[at].clone(),
        found: field.chars().take(80).collect(),
        part,
    })
}

/// `2013-01` as its year and month.
fn parse_month(key: &str) -> Option<(u32, u32)> {
    let (year, month) = key.split_once('-')?;
    if year.len() != 4 || month.len() != 2 || !key.bytes().all(|b| b.is_ascii_digit() || b == b'-') {
        return None;
    }
    let (year, month) = (year.parse().ok()?, month.parse().ok()?);
    (1..=12).contains(&month).then_some((year, month))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_have_one_form() {
        assert_eq!(parse_month("2013-01"), Some((2013, 1)));
        for bad in ["2013", "2013-1", "2013-13", "2013-00", "13-01", "2013-+1", "2013-01-01", "all", ""] {
            assert_eq!(parse_month(bad), None, "{bad:?} must be refused");
        }
    }
}
