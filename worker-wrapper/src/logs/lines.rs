//! Bytes to lines, with a bound on what one line holds.

use super::{LINE_BYTES, LOOK_AHEAD_BYTES};

/// What is held of one line: what is kept, and what is looked at for secrets.
const HELD_BYTES: usize = LINE_BYTES + LOOK_AHEAD_BYTES;

/// Splits a stream at `\n`. However the stream is cut into pieces, the lines are the same.
#[derive(Default)]
pub(super) struct Lines {
    held: Vec<u8>,
}

impl Lines {
    /// Takes in the next piece and calls `each` with every line that it ends: without its end, and
    /// at most `HELD_BYTES` long.
    pub(super) fn push(&mut self, mut piece: &[u8], mut each: impl FnMut(&[u8])) {
        while let Some(end) = piece.iter().position(|byte| *byte == b'\n') {
            self.hold(&piece[..end]);
            each(without_carriage_return(&self.held));
            self.held.clear();
            piece = &piece[end + 1..];
        }
        self.hold(piece);
    }

    /// The stream is over: calls `each` with a last line that has no end.
    pub(super) fn finish(self, each: impl FnOnce(&[u8])) {
        if !self.held.is_empty() {
            each(without_carriage_return(&self.held));
        }
    }

    fn hold(&mut self, bytes: &[u8]) {
        let room = HELD_BYTES - self.held.len();
        self.held.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

fn without_carriage_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(pieces: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        let mut lines = Lines::default();
        for piece in pieces {
            lines.push(piece, |line| found.push(line.to_vec()));
        }
        lines.finish(|line| found.push(line.to_vec()));
        found
    }

    #[test]
    fn lines_end_at_line_feeds_wherever_the_reads_fall() {
        type Pieces = &'static [&'static [u8]];
        let cases: [(Pieces, Pieces); 6] = [
            (&[], &[]),
            (&[b"one\ntwo\n"], &[b"one", b"two"]),
            (&[b"on", b"e\nt", b"wo"], &[b"one", b"two"]),
            (&[b"\n\n"], &[b"", b""]),
            (&[b"dos\r\n", b"x\r", b"\n"], &[b"dos", b"x"]),
            (&[b"no end"], &[b"no end"]),
        ];
        for (pieces, expected) in cases {
            assert_eq!(split(pieces), expected, "{pieces:?}");
        }
    }

    #[test]
    fn a_line_without_end_holds_a_bounded_part() {
        let piece = vec![b'x'; HELD_BYTES];
        let found = split(&[&piece, &piece, b"\nnext"]);
        assert_eq!(found[0].len(), HELD_BYTES);
        assert_eq!(found[1], b"next");
    }
}
