//! JSON bodies, bounded and strict.

use axum::{
    body::Bytes,
    extract::{FromRequest, Request, rejection::BytesRejection},
};
use serde::de::DeserializeOwned;
use trace_contracts::{ErrorCode, wire::limit};

use crate::Refusal;

/// A JSON body of at most [`limit::JSON_BODY_BYTES`]. What is wrong with it is said in the refusal.
/// The router's own body limit stops longer ones while they arrive; see [`crate::serve`].
#[derive(Debug)]
pub struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| unreadable(&rejection))?;
        if bytes.len() > limit::JSON_BODY_BYTES {
            return Err(too_large());
        }
        serde_json::from_slice(&bytes).map(Self).map_err(|error| {
            Refusal::new(ErrorCode::BadRequest, format!("the body is not what this route takes: {error}"))
        })
    }
}

fn too_large() -> Refusal {
    Refusal::new(ErrorCode::PayloadTooLarge, format!("a body has at most {} bytes", limit::JSON_BODY_BYTES))
}

fn unreadable(rejection: &BytesRejection) -> Refusal {
    if rejection.status() == http::StatusCode::PAYLOAD_TOO_LARGE {
        return too_large();
    }
    Refusal::new(ErrorCode::BadRequest, "the body could not be read to its end")
}
