//! Reading what the code prints, to the end of the pipe.

use tokio::io::{AsyncRead, AsyncReadExt as _};
use trace_contracts::wire::worker::LogStream;

use super::{LogBook, lines::Lines};

/// Reads `pipe` until its end and writes its lines into `book`. It goes on reading when the log is
/// full, so that the code never blocks on a full pipe. An error of the pipe is its end.
pub async fn capture(mut pipe: impl AsyncRead + Unpin, stream: LogStream, book: &LogBook) {
    let mut lines = Lines::default();
    let mut buffer = vec![0; 16 * 1024];
    loop {
        match pipe.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(length) => lines.push(&buffer[..length], |line| book.print(stream, line)),
        }
    }
    lines.finish(|line| book.print(stream, line));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use trace_contracts::Secret;

    use super::*;
    use crate::logs::{LINE_BYTES, Masker};

    fn captured(pieces: &[&[u8]]) -> Vec<String> {
        let book = LogBook::new(Masker::new(vec![Secret::new("s3cr3t-value".to_owned())]));
        let mut lines = Lines::default();
        for piece in pieces {
            lines.push(piece, |line| book.print(LogStream::Stdout, line));
        }
        lines.finish(|line| book.print(LogStream::Stdout, line));
        book.take().into_iter().map(|line| line.text).collect()
    }

    /// Text that is likely to hold secrets, line ends and bytes that are no text.
    fn printed() -> impl Strategy<Value = Vec<u8>> {
        let fragment = prop_oneof![
            "[a-z ]{0,20}".prop_map(String::into_bytes),
            Just(b"s3cr3t-value".to_vec()),
            Just(b"s3cr3t-".to_vec()),
            Just(b"eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ0MSJ9.c2lnbmF0dXJl".to_vec()),
            Just(b"AKIAIOSFODNN7EXAMPLE".to_vec()),
            Just(b"\n".to_vec()),
            Just(b"\r\n".to_vec()),
            Just(vec![b'x'; LINE_BYTES - 5]),
            proptest::collection::vec(any::<u8>(), 0..8),
        ];
        proptest::collection::vec(fragment, 0..12).prop_map(|fragments| fragments.concat())
    }

    proptest! {
        #[test]
        fn however_the_reads_fall_the_masked_log_is_the_same(
            text in printed(),
            cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..8),
        ) {
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
            at.extend([0, text.len()]);
            at.sort_unstable();
            let pieces: Vec<&[u8]> = at.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
            let cut = captured(&pieces);
            prop_assert_eq!(&cut, &captured(&[&text]));
            prop_assert!(cut.iter().all(|line| !line.contains("s3cr3t-value")));
            prop_assert!(cut.iter().all(|line| line.len() <= 3 * LINE_BYTES + 100));
        }
    }

    #[tokio::test]
    async fn the_pipe_is_read_to_its_end_past_the_budget() {
        let (mut writer, reader) = tokio::io::duplex(1024);
        let book = LogBook::new(Masker::default());
        let printing = async move {
            use tokio::io::AsyncWriteExt as _;
            let line = [[b'x'; 4095].as_slice(), b"\n"].concat();
            for _ in 0..4096 {
                writer.write_all(&line).await.unwrap();
            }
        };
        tokio::join!(printing, capture(reader, LogStream::Stdout, &book));
        let lines = book.take();
        assert!(lines.len() < 300);
        assert_eq!(lines.last().unwrap().stream, LogStream::Platform);
    }
}
