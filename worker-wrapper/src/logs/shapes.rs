//! What secrets look like, for those whose value is not known here: tokens that the code asked for
//! itself, keys of a cloud account that it found.
//!
//! Every finder walks over maximal runs of the characters that such a secret is made of, so that
//! the work is linear in the line, whatever the line says.

use std::ops::Range;

/// Where in `line` something looks like a secret. Ranges may overlap.
pub(super) fn find(line: &[u8], mut found: impl FnMut(Range<usize>)) {
    runs(line, is_token_byte).filter_map(|run| json_web_token(line, run)).for_each(&mut found);
    runs(line, |byte| byte.is_ascii_alphanumeric())
        .filter(|run| is_access_key_id(&line[run.clone()]))
        .for_each(&mut found);
    runs(line, is_base64_byte).filter(|run| is_cloud_secret(&line[run.clone()])).for_each(&mut found);
}

/// Base64url and the dots between the parts of a token.
const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}

const fn is_base64_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'+')
}

/// The parts of `line` that consist of `is_member` alone and can't be made longer.
fn runs(line: &[u8], is_member: impl Fn(u8) -> bool) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at + line[at..].iter().position(|byte| is_member(*byte))?;
        let length = line[start..].iter().position(|byte| !is_member(*byte)).unwrap_or(line.len() - start);
        at = start + length;
        Some(start..at)
    })
}

/// A JSON object in base64url starts with `eyJ`; a token has at least three parts. What comes before
/// the token in the run, such as `x-`, stays readable.
fn json_web_token(line: &[u8], run: Range<usize>) -> Option<Range<usize>> {
    const SHORTEST: usize = 30;
    let start = run.start + line[run.clone()].windows(3).position(|window| window == b"eyJ")?;
    let text = &line[start..run.end];
    let dots = text.iter().filter(|byte| **byte == b'.').count();
    (dots >= 2 && text.len() >= SHORTEST).then_some(start..run.end)
}

/// `AKIA` or `ASIA` (and their kin) and 16 capitals or digits.
fn is_access_key_id(run: &[u8]) -> bool {
    const KINDS: [&[u8]; 8] = [b"AKIA", b"ASIA", b"AROA", b"AIDA", b"AGPA", b"ANPA", b"ANVA", b"AIPA"];
    run.len() == 20
        && KINDS.iter().any(|kind| run.starts_with(kind))
        && run.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

/// A secret access key has 40 characters and a session's token of the embedded store has 64, in
/// mixed case (a hash in hexadecimal has one case only); a token of STS starts in one of three ways.
fn is_cloud_secret(run: &[u8]) -> bool {
    const SESSION_TOKENS: [&[u8]; 3] = [b"FwoGZXIvYXdz", b"FQoGZXIvYXdz", b"IQoJb3JpZ2lu"];
    let is_random = matches!(run.len(), 40 | 64)
        && run.iter().any(u8::is_ascii_lowercase)
        && run.iter().any(u8::is_ascii_uppercase);
    is_random || SESSION_TOKENS.iter().any(|start| run.starts_with(start))
}
