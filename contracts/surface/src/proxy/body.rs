//! Where the body of a request ends, so that the next head is found and nothing in a body is taken for one.

use super::head::{Bad, Length};

/// A chunk's size and what may follow it on its line.
const MAX_SIZE_LINE: usize = 256;

/// What of a body is still to come.
#[derive(Debug)]
pub(super) enum Body {
    /// So many bytes.
    Bytes(u64),
    /// Chunks.
    Chunks(Chunk),
}

/// Where in the chunks the next byte is.
#[derive(Debug)]
pub(super) enum Chunk {
    /// In the line that says its size.
    Size(Vec<u8>),
    /// In its data; so many bytes are left.
    Data(u64),
    /// In the line end after data or, for the last chunk, after its size; so much of it was there.
    End { seen: usize, is_last: bool },
    /// Past the last one.
    Over,
}

impl Body {
    pub(super) const fn new(length: Length) -> Self {
        match length {
            Length::Bytes(bytes) => Self::Bytes(bytes),
            Length::Chunked => Self::Chunks(Chunk::Size(Vec::new())),
        }
    }

    /// Whether nothing is to come.
    pub(super) const fn is_over(&self) -> bool {
        matches!(self, Self::Bytes(0) | Self::Chunks(Chunk::Over))
    }

    /// How many of these bytes belong to the body. It is over when they are not all.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<usize, Bad> {
        match self {
            Self::Bytes(left) => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= taken as u64;
                Ok(taken)
            }
            Self::Chunks(chunk) => take_chunks(chunk, bytes),
        }
    }
}

fn take_chunks(chunk: &mut Chunk, bytes: &[u8]) -> Result<usize, Bad> {
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match chunk {
            Chunk::Over => break,
            Chunk::Data(left) => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len() - at);
                *left -= taken as u64;
                at += taken;
                if *left == 0 {
                    *chunk = Chunk::End { seen: 0, is_last: false };
                }
                continue;
            }
            Chunk::Size(line) => {
                line.push(*byte);
                if line.len() > MAX_SIZE_LINE {
                    return Err(Bad::Chunk);
                }
                if *byte == b'\n' {
                    *chunk = match size(line)? {
                        0 => Chunk::End { seen: 0, is_last: true },
                        size => Chunk::Data(size),
                    };
                }
            }
            Chunk::End { seen, is_last } => {
                if *byte != b"\r\n"[*seen] {
                    return Err(Bad::Chunk);
                }
                *seen += 1;
                if *seen == 2 {
                    *chunk = if *is_last { Chunk::Over } else { Chunk::Size(Vec::new()) };
                }
            }
        }
        at += 1;
    }
    Ok(at)
}

/// The size in a line such as `1a;name=value`, which ends in CR LF.
fn size(line: &[u8]) -> Result<u64, Bad> {
    let line = line.strip_suffix(b"\r\n").ok_or(Bad::Chunk)?;
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default();
    let visible = line.iter().all(|byte| byte.is_ascii_graphic() || matches!(byte, b' ' | b'\t'));
    if !visible || !(1..=15).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(Bad::Chunk);
    }
    let digits = std::str::from_utf8(digits).map_err(|_| Bad::Chunk)?;
    u64::from_str_radix(digits, 16).map_err(|_| Bad::Chunk)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// How many bytes belong to the body, when they come in pieces of this size.
    fn taken(length: Length, bytes: &[u8], piece: usize) -> Result<usize, Bad> {
        let mut body = Body::new(length);
        let mut all = 0;
        for piece in bytes.chunks(piece) {
            let own = body.take(piece)?;
            all += own;
            if own < piece.len() {
                break;
            }
        }
        assert!(body.is_over() || all == bytes.len());
        Ok(all)
    }

    #[test]
    fn a_body_ends_where_it_says_however_it_is_cut() {
        let next = b"GET http://next/ HTTP/1.1\r\n\r\n";
        for (length, body) in [
            (Length::Bytes(0), &b""[..]),
            (Length::Bytes(5), b"hello"),
            (Length::Chunked, b"0\r\n\r\n"),
            (Length::Chunked, b"5\r\nhello\r\nA;x=\"y\"\r\n0\r\n\r\n1234\n\r\n0\r\n\r\n"),
        ] {
            let sent = [body, next].concat();
            for piece in 1..=sent.len() {
                assert_eq!(taken(length, &sent, piece), Ok(body.len()), "{length:?} in pieces of {piece}");
            }
        }
    }

    #[test]
    fn chunks_that_can_be_read_in_two_ways_are_refused() {
        for bad in [
            &b"5\nhello\r\n0\r\n\r\n"[..],
            b"5\r\nhelloX\r\n0\r\n\r\n",
            b"5\r\nhello\n0\r\n\r\n",
            b"+5\r\nhello\r\n",
            b"0x5\r\nhello\r\n",
            b" 5\r\nhello\r\n",
            b"\r\n",
            b"fffffffffffffffff\r\n",
            b"0\r\nProxy-Authorization: Bearer x\r\n\r\n",
            b"0\r\n\nx",
        ] {
            assert_eq!(taken(Length::Chunked, bad, 3), Err(Bad::Chunk), "{bad:?}");
        }
        let long = [b"1;".to_vec(), vec![b'x'; MAX_SIZE_LINE]].concat();
        assert_eq!(taken(Length::Chunked, &long, 7), Err(Bad::Chunk));
    }

    proptest! {
        #[test]
        fn chunks_end_where_they_were_made_to(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..6),
            after in prop::collection::vec(any::<u8>(), 0..20),
            piece in 1..50_usize,
        ) {
            let mut sent = Vec::new();
            for chunk in &chunks {
                sent.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
                sent.extend(chunk);
                sent.extend(b"\r\n");
            }
            sent.extend(b"0\r\n\r\n");
            let body = sent.len();
            sent.extend(after);
            prop_assert_eq!(taken(Length::Chunked, &sent, piece), Ok(body));
        }
    }
}
