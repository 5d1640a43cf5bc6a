//! A body on its way out. It ends when the caller's attempt does: the connection breaks off, and the
//! reader sees that bytes are missing.

use std::{io, ops::Range, os::unix::fs::FileExt, sync::Arc};

use bytes::Bytes;
use futures::stream;
use s3s::dto::StreamingBlob;

use super::{super::caller::Caller, store::Opened};

const CHUNK: usize = 512 * 1024;

struct Download {
    opened: Arc<Opened>,
    left: Range<u64>,
    caller: Caller,
}

/// Streams a range of an opened object, in bytes from its start.
pub(super) fn body(opened: Opened, range: Range<u64>, caller: Caller) -> StreamingBlob {
    let download = Download { opened: Arc::new(opened), left: range, caller };
    StreamingBlob::wrap(stream::try_unfold(download, Download::next))
}

impl Download {
    async fn next(mut self) -> io::Result<Option<(Bytes, Self)>> {
        if self.left.is_empty() {
            return Ok(None);
        }
        self.caller.alive().map_err(|why| io::Error::other(why.to_string()))?;
        let length = usize::try_from(self.left.end - self.left.start).map_or(CHUNK, |left| left.min(CHUNK));
        let (opened, at) = (Arc::clone(&self.opened), self.left.start);
        let read = tokio::task::spawn_blocking(move || {
            let mut buffer = vec![0; length];
            opened.file.read_exact_at(&mut buffer, at).map(|()| buffer)
        });
        let revoked = self.caller.revoked();
        let buffer = tokio::select! {
            () = revoked.cancelled() => return Err(io::Error::other("the attempt is over")),
            read = read => read.map_err(io::Error::other)??,
        };
        self.left.start += length as u64;
        Ok(Some((Bytes::from(buffer), self)))
    }
}
