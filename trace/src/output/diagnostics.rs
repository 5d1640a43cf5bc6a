//! What is wrong in a file, the way a compiler says it: place, field, reason, and the line itself.

use std::fmt::Write as _;

use trace_contracts::FieldError;

use super::text::printable;

/// More than anybody fixes in one go.
const MAX_SHOWN: usize = 50;
/// Of a source line.
const MAX_LINE_CHARS: usize = 120;

/// A text that errors point into.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// How the user named it, such as `dags/flights.yaml`.
    pub name: &'a str,
    /// All of it.
    pub text: &'a str,
}

impl Source<'_> {
    /// Every error with its place: `dags/flights.yaml:12:5  jobs[2].timeout: …`, and the line that it
    /// means below it.
    #[must_use]
    pub fn render(&self, errors: &[FieldError]) -> String {
        let mut rendered = String::new();
        for error in errors.iter().take(MAX_SHOWN) {
            self.render_one(error, &mut rendered);
        }
        if let Some(more) = errors.len().checked_sub(MAX_SHOWN).filter(|more| *more > 0) {
            // Writing to a String can't fail, here and below.
            let _ = writeln!(rendered, "… and {more} more");
        }
        rendered.truncate(rendered.trim_end().len());
        rendered
    }

    fn render_one(&self, error: &FieldError, rendered: &mut String) {
        let field = printable(&error.field);
        let separator = if field.is_empty() { "" } else { ": " };
        let message = printable(&error.message);
        let _ = writeln!(rendered, "{}  {field}{separator}{message}", self.place(error));
        if let Some(excerpt) = self.excerpt(error) {
            let _ = writeln!(rendered, "{excerpt}");
        }
    }

    fn place(&self, error: &FieldError) -> String {
        match (error.line, error.column) {
            (Some(line), Some(column)) => format!("{}:{line}:{column}", self.name),
            (Some(line), None) => format!("{}:{line}", self.name),
            (None, _) => self.name.to_owned(),
        }
    }

    /// The line, and a mark under the column.
    fn excerpt(&self, error: &FieldError) -> Option<String> {
        let number = error.line?;
        let line = self.text.lines().nth(usize::try_from(number).ok()?.checked_sub(1)?)?;
        let line: String = printable(line).replace('\t', " ").chars().take(MAX_LINE_CHARS).collect();
        if line.trim().is_empty() {
            return None;
        }
        let margin = " ".repeat(number.to_string().len());
        let mut excerpt = format!(" {number} | {line}");
        let column = error.column.and_then(|column| usize::try_from(column).ok()).unwrap_or(0);
        if (1..=line.chars().count()).contains(&column) {
            let _ = write!(excerpt, "\n {margin} | {}^", " ".repeat(column - 1));
        }
        Some(excerpt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const YAML: &str = "name: flights\njobs:\n  - name: ingest\n\ttimeout: 60 sek\n    # \u{1b}[2J\n";

    fn error(line: Option<u64>, column: Option<u64>, field: &str, message: &str) -> FieldError {
        FieldError { line, column, field: field.to_owned(), message: message.to_owned() }
    }

    #[test]
    fn errors_are_printed_like_a_compiler_does() {
        let source = Source { name: "dags/flights.yaml", text: YAML };
        insta::assert_snapshot!(source.render(&[
            error(Some(4), Some(11), "jobs[0].timeout", "`60 sek` is not a duration, such as 60s"),
            error(Some(5), Some(7), "", "an escape sequence"),
            error(Some(3), None, "jobs[0]", "has neither `operator` nor `udf`"),
            error(None, None, "publish", "names no job"),
            error(Some(99), Some(1), "jobs", "past the end"),
            error(Some(1), Some(999), "name", "past the line"),
        ]));
    }

    #[test]
    fn a_flood_of_errors_is_cut() {
        let source = Source { name: "x.yaml", text: "" };
        let rendered = source.render(&vec![error(Some(1), Some(1), "a", "b"); MAX_SHOWN + 3]);
        assert_eq!(rendered.lines().count(), MAX_SHOWN + 1);
        assert!(rendered.ends_with("… and 3 more"));
    }
}
