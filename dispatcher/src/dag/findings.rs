//! Everything that is wrong with a file, with its place, collected in one go.

use std::fmt;

use trace_contracts::FieldError;

use super::tree::At;

/// More than anybody fixes before the next try.
const MAX_FINDINGS: usize = 100;

/// Where a value stands: in the text, and in the structure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// In the text.
    pub at: At,
    /// In the structure, such as `jobs[2].timeout`; empty for the whole file.
    pub field: String,
}

impl Place {
    /// What is wrong there.
    #[must_use]
    pub fn error(&self, message: impl Into<String>) -> FieldError {
        FieldError {
            line: Some(self.at.line),
            column: Some(self.at.column),
            field: self.field.clone(),
            // Control characters of the file stay out of what a terminal will show.
            message: message.into().chars().filter(|c| !c.is_control()).collect(),
        }
    }
}

/// The way from the root to a value. A chain of borrows, so that it costs nothing until an error or
/// a value to keep needs it as text.
#[derive(Debug, Clone, Copy)]
pub enum Path<'a> {
    /// The whole file.
    Root,
    /// A key of a mapping.
    Key(&'a Path<'a>, &'a str),
    /// An item of a list, from 0.
    Item(&'a Path<'a>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Key(Path::Root, key) => f.write_str(&shown(key)),
            Self::Key(parent, key) => write!(f, "{parent}.{}", shown(key)),
            Self::Item(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

impl Path<'_> {
    /// The place of a value of this path.
    #[must_use]
    pub fn place(&self, at: At) -> Place {
        Place { at, field: self.to_string() }
    }
}

/// A text of the file as an error repeats it: short, and without control characters.
#[must_use]
pub fn shown(unverified: &str) -> String {
    let mut short: String = unverified.chars().filter(|c| !c.is_control()).take(60).collect();
    if short.len() < unverified.len() {
        short.push('…');
    }
    short
}

/// What has been found so far, in the order of finding, up to a bound.
#[derive(Debug, Default)]
pub struct Findings {
    errors: Vec<FieldError>,
    left_out: usize,
}

impl Findings {
    /// Adds one.
    pub fn push(&mut self, place: &Place, message: impl Into<String>) {
        if self.errors.len() == MAX_FINDINGS {
            self.left_out += 1;
            return;
        }
        self.errors.push(place.error(message));
    }

    /// Adds one of a value that is being read.
    pub fn push_at(&mut self, path: &Path<'_>, at: At, message: impl Into<String>) {
        self.push(&path.place(at), message);
    }

    /// Whether what is found from now on is only counted. Whoever makes a costly message asks first.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.errors.len() == MAX_FINDINGS
    }

    /// Counts one whose message nobody will read, because there are enough before it.
    pub const fn count(&mut self) {
        self.left_out += 1;
    }

    /// Whether nothing was found.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.errors.is_empty()
    }

    /// Everything that was found, in the order of the file.
    #[must_use]
    pub fn into_errors(mut self) -> Vec<FieldError> {
        self.errors.sort_by_key(|error| (error.line, error.column));
        if self.left_out > 0 {
            self.errors.push(FieldError {
                line: None,
                column: None,
                field: String::new(),
                message: format!("and {} more", self.left_out),
            });
        }
        self.errors
    }
}
