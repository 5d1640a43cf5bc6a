//! Places in the object store.
//!
//! A location is parsed once and canonical from then on: it is never a pattern and never empty, so
//! that `contains` is a plain prefix test and `t1/` can't reach `t10/`.

use std::{fmt, str::FromStr};

use crate::text_form::text_form;

/// `s3://bucket/dir/…/`: a folder of the object store, always below a bucket's root.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct S3Prefix {
    bucket: String,
    /// Ends in `/`; never empty.
    prefix: String,
}

/// The key of one object: canonical segments joined by `/`, without a leading or trailing one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey(String);

/// Why a text is not a location.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLocation {
    /// It does not have the form of a prefix at all.
    #[error("`{0}` is not a prefix: expected s3://bucket/dir/ with at least one folder and a `/` at the end")]
    Form(String),
    /// The bucket's name is not one that S3 accepts.
    #[error("`{0}` is not a bucket name")]
    Bucket(String),
    /// A segment is empty, `.`, `..`, or holds a character outside the allowed ones.
    #[error("`{0}` has a segment that is empty, `.` or `..`, or a character that is not allowed")]
    Segment(String),
    /// Longer than the 1,024 bytes that S3 allows.
    #[error("a key has at most 1,024 bytes")]
    TooLong,
}

/// S3 allows 1,024 bytes of key.
const MAX_KEY_BYTES: usize = 1024;

fn shown(unverified: &str) -> String {
    unverified.chars().take(120).collect()
}

fn is_bucket(name: &str) -> bool {
    (3..=63).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// Printable, and not a character that a URL, a shell or S3 itself treats in two ways. The
/// metacharacters of IAM (`$ * ?`) are legal in a key and escaped where a policy is written.
fn is_segment(segment: &str) -> bool {
    !matches!(segment, "" | "." | "..")
        && segment.chars().all(|c| {
            c.is_ascii_alphanumeric()
                || "!-_.*'()$?=+@,:~ ".contains(c)
                || (!c.is_ascii() && c.is_alphanumeric())
        })
}

fn check_key(key: &str) -> Result<(), InvalidLocation> {
    if key.len() > MAX_KEY_BYTES {
        return Err(InvalidLocation::TooLong);
    }
    if key.split('/').all(is_segment) { Ok(()) } else { Err(InvalidLocation::Segment(shown(key))) }
}

impl S3Prefix {
    /// The bucket.
    #[must_use]
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The key prefix; ends in `/`.
    #[must_use]
    pub fn key_prefix(&self) -> &str {
        &self.prefix
    }

    /// Whether an object of the bucket lies in this folder.
    #[must_use]
    pub fn contains(&self, bucket: &str, key: &ObjectKey) -> bool {
        self.bucket == bucket && key.0.starts_with(&self.prefix)
    }

    /// Whether all of another folder lies in this one.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.bucket == other.bucket && other.prefix.starts_with(&self.prefix)
    }

    /// The folder `name` in this one.
    ///
    /// # Errors
    /// When `name` is not one plain segment.
    pub fn join(&self, name: &str) -> Result<Self, InvalidLocation> {
        let prefix = format!("{}{name}/", self.prefix);
        if name.contains('/') || !is_segment(name) {
            return Err(InvalidLocation::Segment(shown(name)));
        }
        check_key(prefix.trim_end_matches('/'))?;
        Ok(Self { bucket: self.bucket.clone(), prefix })
    }

    /// The key of `relative`, a path of plain segments in this folder.
    ///
    /// # Errors
    /// When `relative` is not such a path or the key gets too long.
    pub fn object(&self, relative: &str) -> Result<ObjectKey, InvalidLocation> {
        format!("{}{relative}", self.prefix).parse()
    }

    /// The key prefix with IAM's metacharacters escaped, for the resource of a policy: `*` becomes
    /// `${*}`, `?` becomes `${?}`, `$` becomes `${$}`.
    #[must_use]
    pub fn iam_escaped(&self) -> String {
        iam_escape(&self.prefix)
    }
}

/// Escapes what IAM would read as a pattern or a variable.
#[must_use]
pub fn iam_escape(literal: &str) -> String {
    let mut escaped = String::with_capacity(literal.len());
    for c in literal.chars() {
        match c {
            '$' | '*' | '?' => {
                escaped.push_str("${");
                escaped.push(c);
                escaped.push('}');
            }
            _ => escaped.push(c),
        }
    }
    escaped
}

impl ObjectKey {
    /// What lies below `prefix`, if this key does.
    #[must_use]
    pub fn relative_to(&self, prefix: &S3Prefix) -> Option<&str> {
        self.0.strip_prefix(&prefix.prefix)
    }

    /// The key.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for S3Prefix {
    type Err = InvalidLocation;

    fn from_str(unverified: &str) -> Result<Self, InvalidLocation> {
        let form = || InvalidLocation::Form(shown(unverified));
        let rest = unverified.strip_prefix("s3://").ok_or_else(form)?;
        let (bucket, prefix) = rest.split_once('/').ok_or_else(form)?;
        if !is_bucket(bucket) {
            return Err(InvalidLocation::Bucket(shown(bucket)));
        }
        check_key(prefix.strip_suffix('/').ok_or_else(form)?)?;
        Ok(Self { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
    }
}

impl FromStr for ObjectKey {
    type Err = InvalidLocation;

    fn from_str(unverified: &str) -> Result<Self, InvalidLocation> {
        check_key(unverified)?;
        Ok(Self(unverified.to_owned()))
    }
}

impl fmt::Display for S3Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.prefix)
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_form!(S3Prefix ObjectKey);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_folder_covers_itself_and_what_is_in_it_and_not_its_sibling() {
        let prefix = |text: &str| text.parse::<S3Prefix>().unwrap();
        assert!(prefix("s3://trace/a/").covers(&prefix("s3://trace/a/out/")));
        assert!(prefix("s3://trace/a/").covers(&prefix("s3://trace/a/")));
        assert!(!prefix("s3://trace/a/out/").covers(&prefix("s3://trace/a/")));
        assert!(!prefix("s3://trace/a/").covers(&prefix("s3://other/a/")));
        assert!(!prefix("s3://trace/a/").covers(&prefix("s3://trace/ab/")));
    }

    #[test]
    fn only_canonical_prefixes_parse() {
        assert!("s3://trace/o1/r1/".parse::<S3Prefix>().is_ok());
        for bad in [
            "",
            "s3://",
            "s3://b/",
            "s3://trace",
            "s3://trace/",
            "s3://trace/a",
            "s3://trace//",
            "s3://trace/a//b/",
            "s3://trace/../",
            "s3://trace/a/./b/",
            "s3://trace/a/../b/",
            "S3://trace/a/",
            "s3://Trace/a/",
            "s3://trace/a\0/",
            "s3://trace/a\n/",
            "s3://trace/a%2f/",
            "s3://trace/a\\b/",
            "s3://trace/a#b/",
        ] {
            assert!(bad.parse::<S3Prefix>().is_err(), "{bad:?} must be refused");
        }
        let long = format!("s3://trace/{}/", "a".repeat(1025));
        assert_eq!(long.parse::<S3Prefix>(), Err(InvalidLocation::TooLong));
    }

    #[test]
    fn a_prefix_never_reaches_its_sibling() {
        let prefix: S3Prefix = "s3://trace/t1/".parse().unwrap();
        assert!(prefix.contains("trace", &"t1/x".parse().unwrap()));
        assert!(!prefix.contains("trace", &"t10/x".parse().unwrap()));
        assert!(!prefix.contains("other", &"t1/x".parse().unwrap()));
        assert!(prefix.object("../t10/x").is_err());
        assert!(prefix.join("..").is_err());
        assert!(prefix.join("a/b").is_err());
    }

    #[test]
    fn iam_metacharacters_are_escaped() {
        assert_eq!(iam_escape("a*b?c${d}"), "a${*}b${?}c${$}{d}");
    }

    proptest! {
        #[test]
        fn whatever_parses_is_canonical(text in "\\PC{0,40}") {
            if let Ok(prefix) = format!("s3://trace/{text}/").parse::<S3Prefix>() {
                prop_assert_eq!(prefix.to_string(), format!("s3://trace/{text}/"));
                prop_assert!(!prefix.key_prefix().contains("//"));
                prop_assert!(!prefix.key_prefix().split('/').any(|s| s == ".."));
            }
        }
    }
}
