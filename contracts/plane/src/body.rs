//! JSON bodies, bounded and strict.

use std::{future::poll_fn, pin::Pin, time::Duration};

use axum::{
    body::{Body as Incoming, HttpBody as _},
    extract::{FromRequest, Request},
};
use serde::de::DeserializeOwned;
use trace_contracts::{ErrorCode, wire::limit};

use crate::Refusal;

/// A body arrives in this time.
const ARRIVAL: Duration = Duration::from_secs(30);
/// Of a body that is too large, this much is read and dropped before it is refused: most clients
/// send all of theirs before they look for an answer, and would see a broken connection instead.
const MAX_DROPPED_BYTES: usize = 8 * limit::JSON_BODY_BYTES;

/// A JSON body of at most `MAX` bytes, [`limit::JSON_BODY_BYTES`] unless a route says otherwise. What is
/// wrong with it is said in the refusal.
#[derive(Debug)]
pub struct Body<T, const MAX: usize = { limit::JSON_BODY_BYTES }>(pub T);

impl<T: DeserializeOwned, S: Send + Sync, const MAX: usize> FromRequest<S> for Body<T, MAX> {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refusal> {
        let reading = read(request.into_body(), MAX);
        let bytes = tokio::time::timeout(ARRIVAL, reading).await.map_err(|_| unreadable())??;
        serde_json::from_slice(&bytes).map(Self).map_err(|error| {
            Refusal::new(ErrorCode::BadRequest, format!("the body is not what this route takes: {error}"))
        })
    }
}

async fn read(mut incoming: Incoming, most: usize) -> Result<Vec<u8>, Refusal> {
    let mut body = Vec::new();
    let mut length = 0_usize;
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut incoming).poll_frame(cx)).await {
        let Ok(piece) = frame.map_err(|_| unreadable())?.into_data() else { continue };
        length += piece.len();
        if length > MAX_DROPPED_BYTES {
            break;
        }
        if length <= most {
            body.extend_from_slice(&piece);
        }
    }
    if length <= most { Ok(body) } else { Err(too_large(most)) }
}

fn too_large(most: usize) -> Refusal {
    Refusal::new(ErrorCode::PayloadTooLarge, format!("a body has at most {most} bytes"))
}

fn unreadable() -> Refusal {
    Refusal::new(ErrorCode::BadRequest, "the body could not be read to its end")
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        task::{Context, Poll},
    };

    use axum::body::{Bytes, HttpBody};

    use super::*;

    /// So many pieces of 1 MiB, and how many of them were taken.
    struct Mebibytes(usize, Arc<AtomicUsize>);

    impl HttpBody for Mebibytes {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, Infallible>>> {
            let taken = self.1.fetch_add(1, Ordering::Relaxed);
            let piece = || Ok(hyper::body::Frame::data(Bytes::from(vec![b' '; 1 << 20])));
            Poll::Ready((taken < self.0).then(piece))
        }
    }

    async fn read_mebibytes(count: usize) -> (Result<usize, ErrorCode>, usize) {
        let taken = Arc::new(AtomicUsize::new(0));
        let body = Incoming::new(Mebibytes(count, Arc::clone(&taken)));
        let read = read(body, limit::JSON_BODY_BYTES).await;
        (read.map(|body| body.len()).map_err(|refusal| refusal.code()), taken.load(Ordering::Relaxed))
    }

    #[tokio::test]
    async fn large_bodies_are_read_to_their_end_and_refused_and_huge_ones_are_cut_off() {
        assert_eq!(read_mebibytes(4).await, (Ok(4 << 20), 5));
        assert_eq!(read_mebibytes(10).await, (Err(ErrorCode::PayloadTooLarge), 11));
        assert_eq!(read_mebibytes(1000).await, (Err(ErrorCode::PayloadTooLarge), 33));
    }
}
