//! Tables.

use comfy_table::{Cell, CellAlignment, Table, presets};
use serde_json::Value;
use trace_contracts::wire::task::{Column, QueryResult};

use super::text::{count, printable};

/// A table with a header and without lines between rows. Cells are made printable here.
#[must_use]
pub fn plain(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(header.iter().map(|title| title.to_uppercase()));
    for row in rows {
        table.add_row(row.iter().map(|cell| printable(cell).into_owned()));
    }
    trimmed(&table)
}

/// The result of a query, with a line that says how many rows it has.
#[must_use]
pub fn result(result: &QueryResult) -> String {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_FULL_CONDENSED);
    table.set_header(result.columns.iter().map(|column| printable(&column.name).into_owned()));
    for row in &result.rows {
        table.add_row(row.iter().zip(&result.columns).map(|(value, column)| cell(value, column)));
    }
    format!("{}\n{}", trimmed(&table), count(result.rows.len() as u64, "row"))
}

fn cell(value: &Value, column: &Column) -> Cell {
    let text = match value {
        Value::Null => String::new(),
        Value::String(text) => printable(text).into_owned(),
        Value::Number(number) if number.is_f64() => shortened(number.as_f64().unwrap_or_default()),
        other => printable(&other.to_string()).into_owned(),
    };
    let alignment = if is_number(&column.data_type) { CellAlignment::Right } else { CellAlignment::Left };
    Cell::new(text).set_alignment(alignment)
}

/// A number with as many places as people read; the other formats have them all.
fn shortened(number: f64) -> String {
    const PLACES: usize = 6;
    let exact = number.to_string();
    let rounded = format!("{number:.PLACES$}");
    let readable = (1e-3..1e15).contains(&number.abs()) && rounded.len() < exact.len();
    if readable { rounded.trim_end_matches('0').trim_end_matches('.').to_owned() } else { exact }
}

fn is_number(data_type: &str) -> bool {
    ["Int", "UInt", "Float", "Decimal"].iter().any(|kind| data_type.starts_with(kind))
}

fn trimmed(table: &Table) -> String {
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn column(name: &str, data_type: &str) -> Column {
        Column { name: name.to_owned(), data_type: data_type.to_owned() }
    }

    #[test]
    fn numbers_stand_right_and_nothing_steers_the_terminal() {
        let shown = result(&QueryResult {
            columns: vec![column("origin", "Utf8"), column("delay", "Float64"), column("late", "Boolean")],
            rows: vec![
                vec![json!("JFK"), json!(12.25), json!(true)],
                vec![json!("E\u{1b}[2JWR"), json!(7), json!(null)],
            ],
        });
        insta::assert_snapshot!(shown);
    }

    #[test]
    fn numbers_are_as_long_as_people_read() {
        for (number, shown) in [
            (14.905_748_316_934_23, "14.905748"),
            (-2.0, "-2"),
            (0.1 + 0.2, "0.3"),
            (0.000_012_345_678_9, "0.0000123456789"),
            (0.25, "0.25"),
            (0.0, "0"),
            (1e300, &1e300_f64.to_string()),
        ] {
            assert_eq!(shortened(number), shown);
        }
    }

    #[test]
    fn a_plain_table_has_no_frame() {
        insta::assert_snapshot!(plain(
            &["run", "state"],
            [vec!["r1".to_owned(), "succeeded".to_owned()], vec!["r12".to_owned(), "running".to_owned()]],
        ));
    }
}
