//! The text that PostgreSQL's `test_decoding` plugin writes: one line a change, between `BEGIN` and
//! `COMMIT` lines. A value may hold line breaks, so that a "line" here is one row of what
//! `pg_logical_slot_get_changes` answers, not one line of text.
//!
//! ```text
//! BEGIN 727
//! table public.leases: INSERT: task_id[bigint]:1048576 note[text]:'it''s' tasks[bigint[]]:'{1,2}'
//! table public.leases: UPDATE: old-key: task_id[bigint]:2 new-tuple: task_id[bigint]:3
//! table public.leases: DELETE: task_id[bigint]:3
//! COMMIT 727 (at 2026-11-22 10:42:09.859423+00)
//! ```

use std::borrow::Cow;

use crate::id::Time;

/// Why a line can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{expected} expected at `{at}`")]
pub struct Error {
    expected: &'static str,
    at: String,
}

impl Error {
    fn new(expected: &'static str, at: &str) -> Self {
        Self { expected, at: at.chars().take(80).collect() }
    }
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line<'t> {
    /// A transaction begins.
    Begin(u64),
    /// It ends.
    Commit(u64, Option<Time>),
    /// A row changes, or a table is emptied.
    Change(Raw<'t>),
    /// Something that changes no row.
    Message,
}

/// A change of a row, not yet taken apart: most are of tables that nobody asks about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raw<'t> {
    /// The table, without its schema; several, if they are emptied together.
    pub table: Cow<'t, str>,
    /// What happens to the row.
    pub operation: Operation,
    columns: &'t str,
}

/// What happens to a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// It comes.
    Insert,
    /// It changes.
    Update,
    /// It goes.
    Delete,
    /// All rows go.
    Truncate,
}

/// The columns of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns<'t> {
    /// The key as it was, if the change changes it.
    pub old_key: Vec<Column<'t>>,
    /// The row as it is; of a row that goes, its key.
    pub row: Vec<Column<'t>>,
}

/// One column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column<'t> {
    /// Its name.
    pub name: Cow<'t, str>,
    /// What it holds.
    pub value: Value<'t>,
}

/// What a column holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<'t> {
    /// Nothing.
    Null,
    /// A long value that the change leaves as it was.
    Unchanged,
    /// A value, as PostgreSQL writes it.
    Text(Cow<'t, str>),
}

/// Reads one line.
///
/// # Errors
/// When it is not what the plugin writes.
pub fn line(text: &str) -> Result<Line<'_>, Error> {
    if let Some(number) = text.strip_prefix("BEGIN ") {
        return Ok(Line::Begin(digits(number)?));
    }
    if let Some(rest) = text.strip_prefix("COMMIT ") {
        return commit(rest);
    }
    if text.starts_with("message: ") {
        return Ok(Line::Message);
    }
    let rest = text.strip_prefix("table ").ok_or_else(|| Error::new("a line of test_decoding", text))?;
    let (table, rest) = tables(rest)?;
    let operations = [
        ("INSERT:", Operation::Insert),
        ("UPDATE:", Operation::Update),
        ("DELETE:", Operation::Delete),
        ("TRUNCATE:", Operation::Truncate),
    ];
    let found = operations.iter().find_map(|(word, operation)| Some((rest.strip_prefix(word)?, *operation)));
    let (columns, operation) = found.ok_or_else(|| Error::new("an operation", rest))?;
    Ok(Line::Change(Raw { table, operation, columns }))
}

impl<'t> Raw<'t> {
    /// The columns of the row.
    ///
    /// # Errors
    /// When they are not what the plugin writes.
    pub fn columns(&self) -> Result<Columns<'t>, Error> {
        let mut columns = Columns { old_key: Vec::new(), row: Vec::new() };
        let mut rest = self.columns;
        if self.operation == Operation::Truncate || rest == " (no-tuple-data)" {
            return Ok(columns);
        }
        let mut changes_key = false;
        if let Some(after) = rest.strip_prefix(" old-key:") {
            rest = after;
            changes_key = true;
        }
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix(" new-tuple:") {
                columns.old_key = std::mem::take(&mut columns.row);
                rest = after;
                changes_key = false;
                continue;
            }
            let after = rest.strip_prefix(' ').ok_or_else(|| Error::new("a column", rest))?;
            let (column, after) = column(after)?;
            columns.row.push(column);
            rest = after;
        }
        if changes_key { Err(Error::new("`new-tuple:`", self.columns)) } else { Ok(columns) }
    }
}

fn digits(text: &str) -> Result<u64, Error> {
    text.parse().map_err(|_| Error::new("a transaction's number", text))
}

fn commit(rest: &str) -> Result<Line<'_>, Error> {
    let Some((number, at)) = rest.split_once(" (at ") else { return Ok(Line::Commit(digits(rest)?, None)) };
    let at = at.strip_suffix(')').ok_or_else(|| Error::new("`)`", at))?;
    Ok(Line::Commit(digits(number)?, Some(time(at)?)))
}

/// `public.leases: `, or several with commas between them.
fn tables(text: &str) -> Result<(Cow<'_, str>, &str), Error> {
    let mut names: Option<Cow<'_, str>> = None;
    let mut rest = text;
    loop {
        let (_schema, after) = identifier(rest, '.')?;
        let after = after.strip_prefix('.').ok_or_else(|| Error::new("a table's schema", rest))?;
        let (table, after) = identifier(after, ':')?;
        names = Some(match names {
            None => table,
            Some(before) => Cow::Owned(format!("{before}, {table}")),
        });
        if let Some(after) = after.strip_prefix(", ") {
            rest = after;
            continue;
        }
        let after = after.strip_prefix(": ").ok_or_else(|| Error::new("`: `", after))?;
        return Ok((names.unwrap_or_default(), after));
    }
}

/// An identifier up to `end` (or a comma), in double quotes if it is not plain.
fn identifier(text: &str, end: char) -> Result<(Cow<'_, str>, &str), Error> {
    if let Some(quoted) = text.strip_prefix('"') {
        return quoted_by(quoted, '"').ok_or_else(|| Error::new("`\"`", text));
    }
    let at = text.find([end, ',']).ok_or_else(|| Error::new("an identifier", text))?;
    Ok((Cow::Borrowed(&text[..at]), &text[at..]))
}

/// A text up to a quote that is not doubled.
fn quoted_by(text: &str, quote: char) -> Option<(Cow<'_, str>, &str)> {
    let mut from = 0;
    let mut doubled = false;
    loop {
        let at = from + text[from..].find(quote)?;
        if text[at + 1..].starts_with(quote) {
            doubled = true;
            from = at + 2;
            continue;
        }
        let inside = &text[..at];
        let twice = [quote, quote].iter().collect::<String>();
        let once = quote.to_string();
        let value = if doubled { Cow::Owned(inside.replace(&twice, &once)) } else { Cow::Borrowed(inside) };
        return Some((value, &text[at + 1..]));
    }
}

/// `name[type]:value`
fn column(text: &str) -> Result<(Column<'_>, &str), Error> {
    let (name, rest) = identifier(text, '[')?;
    let rest = after_type(rest).ok_or_else(|| Error::new("a type", rest))?;
    let (value, rest) = value(rest)?;
    Ok((Column { name, value }, rest))
}

/// What follows `[type]:`; a type may have brackets of its own.
fn after_type(text: &str) -> Option<&str> {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '[' => depth += 1,
            ']' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return text[at + 1..].strip_prefix(':');
        }
    }
    None
}

fn value(text: &str) -> Result<(Value<'_>, &str), Error> {
    // Bit strings are written `B'101'`.
    let quoted = text.strip_prefix('\'').or_else(|| text.strip_prefix("B'"));
    if let Some(quoted) = quoted {
        let (value, rest) = quoted_by(quoted, '\'').ok_or_else(|| Error::new("`'`", text))?;
        return Ok((Value::Text(value), rest));
    }
    let at = text.find(' ').unwrap_or(text.len());
    let (word, rest) = text.split_at(at);
    let value = match word {
        "" => return Err(Error::new("a value", text)),
        "null" => Value::Null,
        "unchanged-toast-datum" => Value::Unchanged,
        word => Value::Text(Cow::Borrowed(word)),
    };
    Ok((value, rest))
}

/// A `timestamptz` as PostgreSQL writes it with `DateStyle` ISO in UTC.
///
/// # Errors
/// When it is written otherwise.
pub fn time(text: &str) -> Result<Time, Error> {
    parse_time(text).ok_or_else(|| Error::new("a time in UTC, such as `2026-11-22 10:42:09.85+00`", text))
}

fn parse_time(text: &str) -> Option<Time> {
    let (date, clock) = text.strip_suffix("+00")?.split_once(' ')?;
    let mut date = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let mut clock = clock.splitn(3, ':').map(|part| part.parse::<i64>().ok());
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    if fraction.len() > 6 || !fraction.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let micros: i64 = format!("{fraction:0<6}").parse().ok()?;
    let seconds = ((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    Some(Time(seconds * 1_000_000 + micros))
}

/// Days from 1970-01-01 to a day of the Gregorian calendar.
const fn days(year: i64, month: i64, day: i64) -> i64 {
    // Years that begin in March have their leap day last.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(text: &str) -> (String, Operation, Columns<'_>) {
        let Line::Change(raw) = line(text).unwrap() else { panic!("{text}") };
        (raw.table.to_string(), raw.operation, raw.columns().unwrap())
    }

    fn plain(columns: &[Column<'_>]) -> Vec<String> {
        let shown = |column: &Column<'_>| match &column.value {
            Value::Null => format!("{} is null", column.name),
            Value::Unchanged => format!("{} is unchanged", column.name),
            Value::Text(text) => format!("{} = {text}", column.name),
        };
        columns.iter().map(shown).collect()
    }

    #[test]
    fn transactions_begin_and_end() {
        assert_eq!(line("BEGIN 727"), Ok(Line::Begin(727)));
        assert_eq!(line("COMMIT 727"), Ok(Line::Commit(727, None)));
        let at = Time(1_795_344_129_859_423);
        assert_eq!(line("COMMIT 727 (at 2026-11-22 10:42:09.859423+00)"), Ok(Line::Commit(727, Some(at))));
        assert_eq!(line("message: transactional: 1 prefix: x, sz: 1 content:y"), Ok(Line::Message));
    }

    #[test]
    fn values_are_told_apart() {
        let text = "table public.leases: INSERT: task_id[bigint]:1048576 token[uuid]:null \
             at[timestamp with time zone]:'2026-11-22 10:42:09+00' note[text]:'it''s a \"test\"\n: COMMIT 1' \
             flag[boolean]:true tasks[bigint[]]:'{1,2}' n[numeric]:-1.5 bits[bit]:B'101' \
             body[bytea]:unchanged-toast-datum empty[text]:''";
        let (table, operation, columns) = change(text);
        assert_eq!((table.as_str(), operation), ("leases", Operation::Insert));
        let expected = [
            "task_id = 1048576",
            "token is null",
            "at = 2026-11-22 10:42:09+00",
            "note = it's a \"test\"\n: COMMIT 1",
            "flag = true",
            "tasks = {1,2}",
            "n = -1.5",
            "bits = 101",
            "body is unchanged",
            "empty = ",
        ];
        assert_eq!(plain(&columns.row), expected);
    }

    #[test]
    fn names_may_be_quoted() {
        let (table, _, columns) =
            change(r#"table public."Odd ""Name": INSERT: "a b"[text]:'x' "c[]"[text[]]:'{a,"b c"}'"#);
        assert_eq!(table, "Odd \"Name");
        assert_eq!(plain(&columns.row), ["a b = x", "c[] = {a,\"b c\"}"]);
    }

    #[test]
    fn keys_of_rows_that_go_or_change() {
        let (_, operation, columns) = change("table public.leases: DELETE: task_id[bigint]:3");
        assert_eq!((operation, plain(&columns.row)), (Operation::Delete, vec!["task_id = 3".to_owned()]));
        let (_, _, columns) = change("table public.nopk: DELETE: (no-tuple-data)");
        assert!(columns.row.is_empty());
        let (_, _, columns) = change(
            "table public.leases: UPDATE: old-key: task_id[bigint]:2 new-tuple: task_id[bigint]:3 a[int]:1",
        );
        assert_eq!(plain(&columns.old_key), ["task_id = 2"]);
        assert_eq!(plain(&columns.row), ["task_id = 3", "a = 1"]);
        let (table, operation, _) = change("table public.a, public.\"b\": TRUNCATE: restart_seqs cascade");
        assert_eq!((table.as_str(), operation), ("a, b", Operation::Truncate));
    }

    #[test]
    fn what_is_not_of_the_plugin_is_refused() {
        for bad in [
            "",
            "BEGIN",
            "BEGIN x",
            "COMMIT 1 (at noon)",
            "table leases: INSERT: a[int]:1",
            "table public.leases: UPSERT: a[int]:1",
        ] {
            assert!(line(bad).is_err(), "{bad}");
        }
        for bad in [
            "table public.a: INSERT: a",
            "table public.a: INSERT: a[int]",
            "table public.a: INSERT: a[int]:",
            "table public.a: INSERT: a[text]:'x",
            "table public.a: UPDATE: old-key: a[int]:1",
        ] {
            let Ok(Line::Change(raw)) = line(bad) else { panic!("{bad}") };
            assert!(raw.columns().is_err(), "{bad}");
        }
    }

    #[test]
    fn times_are_microseconds() {
        for (text, expected) in [
            ("1970-01-01 00:00:00+00", 0),
            ("1970-01-02 00:00:00.5+00", 86_400_500_000),
            ("2000-02-29 12:34:56.000001+00", 951_827_696_000_001),
            ("2026-11-22 10:42:09.85+00", 1_795_344_129_850_000),
            ("1969-12-31 23:59:59.999999+00", -1),
        ] {
            assert_eq!(time(text), Ok(Time(expected)), "{text}");
        }
        for bad in ["2026-11-22 10:42:09-05", "2026-11-22", "11/22/2026 10:42:09 UTC", "infinity"] {
            assert!(time(bad).is_err(), "{bad}");
        }
    }
}
