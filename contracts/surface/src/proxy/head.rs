//! The head of a request to the proxy: read strictly, and written anew with the attempt's own token.
//!
//! What two readers could understand differently is refused, because the next reader is the gateway. Only what
//! says where the request ends is understood here; all else is the gateway's to judge.

use trace_controls::{Protection, stands};

/// Lines of a head.
const MAX_LINES: usize = 128;
/// The one header that code in a sandbox can't send.
const AUTHORIZATION: &str = "proxy-authorization";

/// Why a request is not passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Bad {
    /// Longer than any request needs.
    #[error("the head of the request is longer than 32 KiB, or has more than 128 lines")]
    TooLong,
    /// A line that ends in anything but CR LF, a NUL, a folded line.
    #[error("the head of the request has a line that is not one of HTTP/1.1")]
    Line,
    /// Not `METHOD TARGET HTTP/1.x`.
    #[error("the request begins with no request line of HTTP/1.1")]
    RequestLine,
    /// A length that can be read in two ways.
    #[error(
        "the request does not say once how long its body is: send one `Content-Length`, or `Transfer-Encoding: chunked`"
    )]
    Length,
    /// The chunks of a body.
    #[error("the body of the request is not chunked as HTTP/1.1 says, or has trailers")]
    Chunk,
}

/// How long the body of a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Length {
    /// So many bytes; none when nothing says so.
    Bytes(u64),
    /// In chunks.
    Chunked,
}

/// What a request wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A tunnel.
    Connect,
    /// One exchange.
    Exchange(Length),
}

/// A head that was read: all of its lines but those that name a token.
#[derive(Debug)]
pub(super) struct Head<'a> {
    lines: Vec<&'a [u8]>,
    /// What it wants.
    pub kind: Kind,
}

/// Where the first head ends, if it does. So many bytes were searched before: nobody has the wrapper look at
/// the same ones again by sending them one by one.
pub(super) fn end(bytes: &[u8], searched: usize) -> Option<usize> {
    let from = searched.saturating_sub(3);
    bytes[from..].windows(4).position(|four| four == b"\r\n\r\n").map(|at| from + at + 4)
}

impl<'a> Head<'a> {
    /// Reads a head, its empty line included.
    pub(super) fn parse(unverified: &'a [u8]) -> Result<Self, Bad> {
        let text = unverified.strip_suffix(b"\r\n\r\n").ok_or(Bad::Line)?;
        let lines = lines(text)?;
        let (request, headers) = lines.split_first().ok_or(Bad::RequestLine)?;
        let version = Version::of(request)?;
        let mut kept = vec![*request];
        let mut length = None;
        for line in headers {
            let (name, value) = header(line)?;
            if stands(Protection::OwnToken) && names_a_token(name) {
                continue;
            }
            if let Some(found) = said_length(name, value, version)?
                && length.replace(found).is_some()
            {
                return Err(Bad::Length);
            }
            kept.push(*line);
        }
        let kind = match (is_connect(request), length) {
            (true, None | Some(Length::Bytes(0))) => Kind::Connect,
            (true, Some(_)) => return Err(Bad::Length),
            (false, length) => Kind::Exchange(length.unwrap_or(Length::Bytes(0))),
        };
        Ok(Self { lines: kept, kind })
    }

    /// The same with this token and no other.
    pub(super) fn authorised(&self, token: &str) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(1024 + token.len());
        for line in &self.lines {
            bytes.extend_from_slice(line);
            bytes.extend_from_slice(b"\r\n");
        }
        if !self.shows_another() {
            bytes.extend_from_slice(b"Proxy-Authorization: Bearer ");
            bytes.extend_from_slice(token.as_bytes());
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"\r\n");
        bytes
    }

    /// Never: what names a token was left out. In the hostile suite's controls it may be there.
    fn shows_another(&self) -> bool {
        let is_token = |line: &[u8]| header(line).is_ok_and(|(name, _)| names_a_token(name));
        !stands(Protection::OwnToken) && self.lines[1..].iter().any(|line| is_token(line))
    }
}

fn names_a_token(header: &str) -> bool {
    header.eq_ignore_ascii_case(AUTHORIZATION)
}

/// The lines of a head. None holds CR, LF or NUL.
fn lines(text: &[u8]) -> Result<Vec<&[u8]>, Bad> {
    let mut lines = Vec::new();
    let mut rest = text;
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n");
        let line = &rest[..end.unwrap_or(rest.len())];
        if line.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
            return Err(Bad::Line);
        }
        if lines.len() == MAX_LINES {
            return Err(Bad::TooLong);
        }
        lines.push(line);
        let Some(end) = end else { return Ok(lines) };
        rest = &rest[end + 2..];
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    Http10,
    Http11,
}

impl Version {
    /// Of a request line: a method, a target and a version, with one space between them.
    fn of(line: &[u8]) -> Result<Self, Bad> {
        let mut words = line.split(|byte| *byte == b' ');
        let (Some(method), Some(target), Some(version), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(Bad::RequestLine);
        };
        let visible = !target.is_empty() && target.iter().all(u8::is_ascii_graphic);
        if method.is_empty() || !method.iter().all(|byte| is_token(*byte)) || !visible {
            return Err(Bad::RequestLine);
        }
        match version {
            b"HTTP/1.1" => Ok(Self::Http11),
            b"HTTP/1.0" => Ok(Self::Http10),
            _ => Err(Bad::RequestLine),
        }
    }
}

fn is_connect(line: &[u8]) -> bool {
    line.starts_with(b"CONNECT ")
}

/// A header's name and value. A name ends at the colon, without a space; a line that goes on with the value of
/// the one before (`obs-fold`) is none.
fn header(line: &[u8]) -> Result<(&str, &str), Bad> {
    let colon = line.iter().position(|byte| *byte == b':').ok_or(Bad::Line)?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if name.is_empty() || !name.iter().all(|byte| is_token(*byte)) {
        return Err(Bad::Line);
    }
    let name = std::str::from_utf8(name).map_err(|_| Bad::Line)?;
    // Only values of ASCII are understood here; others are none of the lengths.
    Ok((name, std::str::from_utf8(value).unwrap_or("\u{fffd}")))
}

const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
}

/// What a header says of the length, if it is one that does.
fn said_length(name: &str, value: &str, version: Version) -> Result<Option<Length>, Bad> {
    let value = value.trim_matches([' ', '\t']);
    if name.eq_ignore_ascii_case("content-length") {
        let digits = (1..=18).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_digit());
        let bytes = value.parse().ok().filter(|_| digits).ok_or(Bad::Length)?;
        return Ok(Some(Length::Bytes(bytes)));
    }
    if name.eq_ignore_ascii_case("transfer-encoding") {
        let chunked = version == Version::Http11 && value.eq_ignore_ascii_case("chunked");
        return if chunked { Ok(Some(Length::Chunked)) } else { Err(Bad::Length) };
    }
    Ok(None)
}

/// What is needed of the gateway's answer to `CONNECT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// The tunnel is open.
    Open,
    /// It is not, and so many bytes say why.
    Closed(u64),
}

impl Answer {
    /// Reads the head of the answer, its empty line included.
    pub(super) fn parse(head: &[u8]) -> Result<Self, Bad> {
        let lines = lines(head.strip_suffix(b"\r\n\r\n").ok_or(Bad::Line)?)?;
        let (status, headers) = lines.split_first().ok_or(Bad::RequestLine)?;
        if !status.starts_with(b"HTTP/1.") || status.len() < 12 || status[8] != b' ' {
            return Err(Bad::RequestLine);
        }
        if status[9] == b'2' {
            return Ok(Self::Open);
        }
        let mut bytes = 0;
        for line in headers {
            let (name, value) = header(line)?;
            if let Some(Length::Bytes(said)) = said_length(name, value, Version::Http11)? {
                bytes = said;
            }
        }
        Ok(Self::Closed(bytes))
    }
}

#[cfg(test)]
mod tests;
