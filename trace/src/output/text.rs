//! Values in words: sizes, spans of time, and text that others wrote.

use std::borrow::Cow;

use chrono::{DateTime, TimeDelta, Utc};

/// Text that a terminal shows as it is. What came from a task, a file or the network may hold
/// escape sequences that would move the cursor or worse; they become `\u{fffd}`.
#[must_use]
pub fn printable(unverified: &str) -> Cow<'_, str> {
    if unverified.chars().any(is_control) {
        Cow::Owned(unverified.chars().map(|c| if is_control(c) { '\u{fffd}' } else { c }).collect())
    } else {
        Cow::Borrowed(unverified)
    }
}

/// Control characters, and the marks that reorder the text around them.
fn is_control(c: char) -> bool {
    let reorders = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    (c.is_control() && c != '\t') || reorders
}

/// A size for people, such as `8.3 MiB`.
#[must_use]
pub fn bytes(size: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if size < 1024 {
        return format!("{size} B");
    }
    let mut tenths = size.saturating_mul(10) / 1024;
    let mut unit = 0;
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

/// A span of time for people, such as `850 ms`, `12 s`, `3 min 5 s` or `2 h 10 min`.
#[must_use]
pub fn span(span: TimeDelta) -> String {
    let seconds = span.num_seconds().max(0);
    match seconds {
        0 => format!("{} ms", span.num_milliseconds().max(0)),
        1..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

/// How long something took, or takes so far.
#[must_use]
pub fn took(from: DateTime<Utc>, to: Option<DateTime<Utc>>) -> String {
    span(to.unwrap_or_else(Utc::now) - from)
}

/// A moment for people, to the second, in UTC.
#[must_use]
pub fn moment(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S").to_string()
}

/// `1 task`, `2 tasks`.
#[must_use]
pub fn count(number: u64, one: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_the_terminal() {
        assert_eq!(printable("plain\tänd"), "plain\tänd");
        assert_eq!(printable("\u{1b}[2Jx\r\n\u{9b}1m"), "\u{fffd}[2Jx\u{fffd}\u{fffd}\u{fffd}1m");
        assert_eq!(printable("a\u{202e}b"), "a\u{fffd}b");
    }

    #[test]
    fn sizes_and_spans_are_short() {
        for (size, text) in
            [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (8_703_181, "8.3 MiB"), (5 << 40, "5.0 TiB")]
        {
            assert_eq!(bytes(size), text);
        }
        for (milliseconds, text) in [
            (-5, "0 ms"),
            (850, "850 ms"),
            (12_300, "12 s"),
            (185_000, "3 min 5 s"),
            (7_800_000, "2 h 10 min"),
        ] {
            assert_eq!(span(TimeDelta::milliseconds(milliseconds)), text);
        }
        assert_eq!((count(1, "task"), count(0, "task")), ("1 task".to_owned(), "0 tasks".to_owned()));
    }
}
