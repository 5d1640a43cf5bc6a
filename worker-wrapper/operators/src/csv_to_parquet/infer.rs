//! Types that the texts of a whole file show.

use trace_udf_native::ColumnType;

use super::{Result, Settings, source::Source};

/// The type of each column, from every row; text when all are missing.
pub fn types(mut rows: Source, settings: &Settings) -> Result<Vec<ColumnType>> {
    let mut shown: Vec<Option<ColumnType>> = vec![None; rows.header().len()];
    while rows.advance()? {
        for (at, shown) in shown.iter_mut().enumerate() {
            // Nothing leads back from text.
            if *shown == Some(ColumnType::Utf8) {
                continue;
            }
            let field = rows.field(at)?;
            if !settings.is_null(field) {
                *shown = Some(both(*shown, field));
            }
        }
    }
    Ok(shown.into_iter().map(|shown| shown.unwrap_or(ColumnType::Utf8)).collect())
}

/// The type that holds a text and what was there before.
fn both(before: Option<ColumnType>, text: &str) -> ColumnType {
    let new = type_of(text);
    match before {
        None => new,
        Some(before) if before == new => new,
        Some(ColumnType::Int64 | ColumnType::Float64)
            if matches!(new, ColumnType::Int64 | ColumnType::Float64) =>
        {
            ColumnType::Float64
        }
        Some(_) => ColumnType::Utf8,
    }
}

/// The narrowest type of a text. What loses something as a number (`007`, twenty digits) stays text.
fn type_of(text: &str) -> ColumnType {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let padded = digits.len() > 1 && digits.starts_with('0') && digits.as_bytes()[1].is_ascii_digit();
    if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
        let fits = !padded && text.parse::<i64>().is_ok();
        return if fits { ColumnType::Int64 } else { ColumnType::Utf8 };
    }
    match text {
        "true" | "false" | "TRUE" | "FALSE" | "True" | "False" => ColumnType::Bool,
        _ if !padded && is_float(text) => ColumnType::Float64,
        _ => time_type(text),
    }
}

/// Whether it is a number with digits, and not `nan` or `inf`.
fn is_float(text: &str) -> bool {
    text.bytes().any(|b| b.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b))
        && text.parse::<f64>().is_ok_and(f64::is_finite)
}

fn time_type(text: &str) -> ColumnType {
    let shaped = |pattern: &str| {
        text.len() >= pattern.len()
            && text
                .bytes()
                .zip(pattern.bytes())
                .all(|(b, p)| if p == b'0' { b.is_ascii_digit() } else { b == p })
    };
    let candidate = if text.len() == 10 && shaped("0000-00-00") {
        ColumnType::Date
    } else if shaped("0000-00-00T00:00:00") || shaped("0000-00-00 00:00:00") {
        let zone = text[19..].bytes().any(|b| b"Z+-".contains(&b));
        if zone { ColumnType::TimestampTz } else { ColumnType::Timestamp }
    } else {
        return ColumnType::Utf8;
    };
    // The shape is right; whether the day exists is another question.
    if candidate.reads(text) { candidate } else { ColumnType::Utf8 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_show_the_narrowest_type_that_loses_nothing() {
        for (text, expected) in [
            ("0", "int64"),
            ("-7", "int64"),
            ("007", "utf8"),
            ("-", "utf8"),
            ("99999999999999999999", "utf8"),
            ("1.5", "float64"),
            ("-1e3", "float64"),
            ("0.5", "float64"),
            ("00.5", "utf8"),
            ("1e999", "utf8"),
            ("nan", "utf8"),
            ("1-2", "utf8"),
            ("true", "bool"),
            ("N14228", "utf8"),
            ("2013-01-31", "date"),
            ("2013-02-31", "utf8"),
            ("2013-01-31T10:00:00Z", "timestamptz"),
            ("2013-01-31 10:00:00-05:00", "timestamptz"),
            ("2013-01-31T10:00:00.25", "timestamp"),
            ("2013-01-31T25:00:00", "utf8"),
            ("2013-01-31Té0:00:00", "utf8"),
        ] {
            assert_eq!(type_of(text).to_string(), expected, "{text}");
        }
    }

    #[test]
    fn types_widen_to_what_holds_all() {
        let shown = |texts: &[&str]| texts.iter().fold(None, |before, text| Some(both(before, text)));
        assert_eq!(shown(&["1", "2.5", "3"]), Some(ColumnType::Float64));
        assert_eq!(shown(&["1", "x"]), Some(ColumnType::Utf8));
        assert_eq!(shown(&["2013-01-31", "2013-01-31T10:00:00"]), Some(ColumnType::Utf8));
        assert_eq!(shown(&["true", "1"]), Some(ColumnType::Utf8));
    }
}
