//! Locations: what parses is canonical, reaches nothing beside itself, and is a literal to IAM.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use trace_contracts::{ObjectKey, S3Prefix, location::iam_escape};

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    prefix: &'a str,
    key: &'a str,
    name: &'a str,
}

fuzz_target!(|input: Input<'_>| {
    let Ok(prefix) = input.prefix.parse::<S3Prefix>() else { return };
    assert_eq!(prefix.to_string(), input.prefix);
    let folder = prefix.key_prefix();
    assert!(folder.ends_with('/') && !folder.starts_with('/') && folder.len() <= 1025);
    assert!(folder.trim_end_matches('/').split('/').all(is_plain), "{folder:?}");
    assert!(iam_matches(&iam_escape(folder), folder), "an escaped prefix is the prefix");
    assert!(!iam_matches(&iam_escape(folder), input.key) || input.key == folder, "and nothing else");
    if let Ok(below) = prefix.join(input.name) {
        assert_eq!(below.key_prefix(), format!("{folder}{}/", input.name));
    }
    if let Ok(key) = input.key.parse::<ObjectKey>() {
        assert!(key.as_str().split('/').all(is_plain));
        assert_eq!(prefix.contains(prefix.bucket(), &key), key.as_str().starts_with(folder));
        assert!(!prefix.contains("another-bucket", &key) || prefix.bucket() == "another-bucket");
    }
    if let Ok(key) = prefix.object(input.key) {
        assert_eq!(key.relative_to(&prefix), Some(input.key));
    }
});

fn is_plain(segment: &str) -> bool {
    !matches!(segment, "" | "." | "..") && !segment.chars().any(char::is_control)
}

/// IAM's matching: `*` and `?` are wild, and `${*}`, `${?}`, `${$}` are those characters.
fn iam_matches(pattern: &str, text: &str) -> bool {
    let mut rest = text;
    let mut pattern = pattern;
    while let Some(first) = pattern.chars().next() {
        let (literal, length) = match pattern.as_bytes() {
            [b'$', b'{', literal @ (b'*' | b'?' | b'$'), b'}', ..] => (char::from(*literal), 4),
            // An escaped prefix must not hold anything wild.
            [b'*' | b'?' | b'$', ..] => panic!("{pattern:?} is wild"),
            _ => (first, first.len_utf8()),
        };
        match rest.strip_prefix(literal) {
            Some(left) => rest = left,
            None => return false,
        }
        pattern = &pattern[length..];
    }
    rest.is_empty()
}
