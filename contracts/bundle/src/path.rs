//! Names of entries.

use std::path::Path;

use trace_controls::Protection;

use crate::Rules;

/// A name is never longer.
pub(crate) const MAX_PATH_BYTES: usize = 512;
const MAX_SEGMENT_BYTES: usize = 200;
const MAX_DEPTH: usize = 16;

/// A relative path of plain segments: it can't leave the folder it is joined to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundlePath(String);

/// Why a name is not a plain relative path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPath {
    /// Not text.
    #[error("a name is not UTF-8")]
    Encoding,
    /// Too long or too deep.
    #[error("`{0}…` is too long: a path has at most 512 bytes, 16 folders, and 200 bytes in each name")]
    Length(String),
    /// Starts at the root, of a disk or of a machine.
    #[error("`{0}` is an absolute path")]
    Absolute(String),
    /// Has a part that is empty, `.` or `..`.
    #[error("`{0}` has a part that is empty, `.` or `..`")]
    Segment(String),
    /// Has a backslash, a colon or a control character, which systems read in different ways.
    #[error("`{0}` has a backslash, a colon or a control character")]
    Character(String),
}

impl BundlePath {
    /// Parses the name of a file, or of a folder without its last `/`.
    pub(crate) fn parse(unverified: &[u8], rules: &Rules) -> Result<Self, InvalidPath> {
        let path = std::str::from_utf8(unverified).map_err(|_| InvalidPath::Encoding)?;
        let shown = || path.chars().take(80).flat_map(char::escape_debug).collect::<String>();
        let is_long = path.len() > MAX_PATH_BYTES
            || path.split('/').count() > MAX_DEPTH
            || path.split('/').any(|segment| segment.len() > MAX_SEGMENT_BYTES);
        if is_long {
            return Err(InvalidPath::Length(shown()));
        }
        if !(rules.stands)(Protection::BundleNames) {
            return Ok(Self(path.to_owned()));
        }
        if path.starts_with('/') {
            return Err(InvalidPath::Absolute(shown()));
        }
        if path.contains(|c: char| c == '\\' || c == ':' || c.is_control()) {
            return Err(InvalidPath::Character(shown()));
        }
        if path.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
            return Err(InvalidPath::Segment(shown()));
        }
        Ok(Self(path.to_owned()))
    }

    /// As it is joined to a folder.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        Path::new(&self.0)
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Every folder that it lies in, from the top.
    pub(crate) fn parents(&self) -> impl Iterator<Item = &str> {
        self.0.match_indices('/').map(|(at, _)| &self.0[..at])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_relative_paths_parse() {
        for good in ["main.py", "a/b/c.txt", "größe.txt", "..a", "a..", "with space"] {
            assert!(BundlePath::parse(good.as_bytes(), &Rules::at_deploy()).is_ok(), "{good}");
        }
        let long = "x".repeat(201);
        let deep = ["d"; 17].join("/");
        for bad in [
            "",
            "/etc/passwd",
            "//x",
            "../x",
            "a/../../x",
            "a/..",
            "./x",
            "a//b",
            "a/",
            "..\\x",
            "C:\\x",
            "C:/x",
            "\\\\host\\x",
            "a\0b",
            "a\nb",
            "\u{1b}[2J",
            &long,
            &deep,
        ] {
            assert!(BundlePath::parse(bad.as_bytes(), &Rules::at_deploy()).is_err(), "{bad:?}");
        }
        assert_eq!(BundlePath::parse(b"\xff\xfe", &Rules::at_deploy()), Err(InvalidPath::Encoding));
    }
}
