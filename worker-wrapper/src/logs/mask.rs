//! Secrets in what an attempt prints are replaced before anything is kept or sent.
//!
//! This guards against accidents (a token in a traceback, a dump of the environment). Code that
//! wants to show its own token can spell it backwards; the token then is of no use for long, because
//! it dies with the attempt's lease.

use std::ops::Range;

use trace_contracts::Secret;

use super::{LINE_BYTES, shapes};

/// What stands in the place of a secret.
const MASK: &[u8] = b"[masked]";

/// Values shorter than this are not looked for: they would be found in ordinary words.
pub const SHORTEST_SECRET: usize = 8;

/// Replaces known secrets, and whatever is shaped like one.
#[derive(Debug, Default)]
pub struct Masker {
    known: Vec<Secret<String>>,
}

impl Masker {
    /// Masks these values, besides everything that is shaped like a token or key.
    #[must_use]
    pub fn new(known: Vec<Secret<String>>) -> Self {
        let mut masker = Self::default();
        masker.learn(known);
        masker
    }

    /// Masks these values too, from now on.
    pub fn learn(&mut self, known: Vec<Secret<String>>) {
        self.known.extend(known.into_iter().filter(|secret| secret.expose().len() >= SHORTEST_SECRET));
    }

    /// The first [`LINE_BYTES`] of a line with every secret replaced that begins in them, even one
    /// that ends after them; and whether something was left out at the end.
    #[must_use]
    pub fn mask(&self, line: &[u8]) -> (Vec<u8>, LineEnd) {
        let mut masked = Vec::with_capacity(line.len().min(LINE_BYTES));
        let mut at = 0;
        for secret in self.secrets(line) {
            if secret.start >= LINE_BYTES {
                break;
            }
            if secret.end <= at {
                continue;
            }
            masked.extend_from_slice(&line[at..secret.start.max(at)]);
            if secret.start >= at {
                masked.extend_from_slice(MASK);
            }
            at = secret.end;
        }
        let end = line.len().min(LINE_BYTES);
        masked.extend_from_slice(&line[at.min(end)..end]);
        (masked, if line.len() > end.max(at) { LineEnd::Cut } else { LineEnd::Whole })
    }

    /// Where the secrets are, by their start.
    fn secrets(&self, line: &[u8]) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        for secret in &self.known {
            found.extend(occurrences(line, secret.expose().as_bytes()));
        }
        shapes::find(line, |range| found.push(range));
        found.sort_by_key(|range| (range.start, range.end));
        found
    }
}

/// Whether a line is there to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineEnd {
    /// All of it.
    Whole,
    /// It went on.
    Cut,
}

fn occurrences(line: &[u8], secret: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(next) = line[at..].iter().position(|byte| *byte == secret[0]) {
        at += next;
        if line[at..].starts_with(secret) {
            found.push(at..at + secret.len());
            at += secret.len();
        } else {
            at += 1;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const JWT: &str = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ0MSJ9.c2lnbmF0dXJl";

    fn mask(line: &str) -> String {
        let masker = Masker::new(vec![
            Secret::new("hunter2-hunter2".to_owned()),
            Secret::new("short".to_owned()),
            Secret::new("hunter2-hunter2-and-more".to_owned()),
        ]);
        String::from_utf8(masker.mask(line.as_bytes()).0).unwrap()
    }

    #[test]
    fn secrets_are_replaced_and_the_rest_stays() {
        let cases = [
            ("plain words", "plain words".to_owned()),
            ("a hunter2-hunter2 b", "a [masked] b".to_owned()),
            ("hunter2-hunter2-and-more", "[masked]".to_owned()),
            ("hunter2-hunter2hunter2-hunter2", "[masked][masked]".to_owned()),
            ("hunter2-hunter", "hunter2-hunter".to_owned()),
            ("a short word", "a short word".to_owned()),
            (&format!("token={JWT}"), "token=[masked]".to_owned()),
            (
                &format!("Authorization: Bearer {JWT}, next"),
                "Authorization: Bearer [masked], next".to_owned(),
            ),
            (
                "eyJhbGciOiJFUzI1NiJ9.only-two-parts-of-it",
                "eyJhbGciOiJFUzI1NiJ9.only-two-parts-of-it".to_owned(),
            ),
            ("key AKIAIOSFODNN7EXAMPLE.", "key [masked].".to_owned()),
            ("ASIAIOSFODNN7EXAMPLE", "[masked]".to_owned()),
            ("AKIAIOSFODNN7EXAMPLELONGER", "AKIAIOSFODNN7EXAMPLELONGER".to_owned()),
            ("secret=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "secret=[masked]".to_owned()),
            (
                "commit da39a3ee5e6b4b0d3255bfef95601890afd80709",
                "commit da39a3ee5e6b4b0d3255bfef95601890afd80709".to_owned(),
            ),
            (
                "session f3JtIG9mIGEgdG9rZW4gdGhhdCBpcyByYW5kb20sIDQ4IGJ5dGVzIG9mIGl0ISE/.",
                "session [masked].".to_owned(),
            ),
            (
                "sha256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                "sha256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855".to_owned(),
            ),
            ("IQoJb3JpZ2luX2VjEAAaCXVzLWVhc3QtMSJ=", "[masked]=".to_owned()),
        ];
        for (line, expected) in cases {
            assert_eq!(mask(line), expected);
        }
    }

    #[test]
    fn a_secret_across_the_end_of_what_is_kept_is_masked_whole() {
        for before in LINE_BYTES - JWT.len()..LINE_BYTES {
            let line = format!("{} {JWT} tail", "x".repeat(before - 1));
            let (masked, end) = Masker::default().mask(line.as_bytes());
            let masked = String::from_utf8(masked).unwrap();
            assert!(!masked.contains("eyJ"), "at {before}");
            assert!(masked.contains("[masked]"), "at {before}");
            assert_eq!(end, LineEnd::Cut);
        }
    }

    #[test]
    fn a_line_made_to_be_slow_is_not() {
        let line = "eyJ".repeat(10_000);
        assert_eq!(mask(&line).len(), LINE_BYTES);
    }
}
