//! Reading ranges of objects by their presigned addresses.

use std::{ops::Range, time::Duration};

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use reqwest::{Response, StatusCode, header};

use trace_controls::{Protection, stands};

use super::Failure;
use crate::catalog::EngineObject;

/// Tries of one request, where the connection or the store fails.
const TRIES: usize = 3;

/// A client for presigned addresses: no redirects, no proxies, no waiting for ever.
pub(crate) fn http_client() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_secs(5))
        .read_timeout(Duration::from_secs(10))
        .build()
}

/// The bytes of a range, as they were committed.
pub(super) async fn fetch(
    http: &reqwest::Client,
    object: &EngineObject,
    range: Range<u64>,
) -> Result<Bytes, Failure> {
    let mut failure = Failure::Away(object.label.clone());
    for _ in 0..TRIES {
        match fetch_once(http, object, &range).await {
            Err(away @ Failure::Away(_)) => failure = away,
            verdict => return verdict,
        }
    }
    Err(failure)
}

async fn fetch_once(
    http: &reqwest::Client,
    object: &EngineObject,
    range: &Range<u64>,
) -> Result<Bytes, Failure> {
    let away = || Failure::Away(object.label.clone());
    if range.is_empty() {
        return Ok(Bytes::new());
    }
    let mut request = http.get(object.url.expose());
    if stands(Protection::ObjectPins) {
        request = request.header(header::IF_MATCH, format!("\"{}\"", object.etag));
    }
    let response = request
        .header(header::RANGE, format!("bytes={}-{}", range.start, range.end - 1))
        .send()
        .await
        .map_err(|_| away())?;
    check(&response, object, range)?;
    body(response, (range.end - range.start) as usize).await?.ok_or_else(away)
}

/// Whether the answer is the range that was asked for, of the object that was pinned.
fn check(response: &Response, object: &EngineObject, range: &Range<u64>) -> Result<(), Failure> {
    let label = || object.label.clone();
    let whole = *range == (0..object.size);
    match response.status() {
        StatusCode::PARTIAL_CONTENT => {}
        StatusCode::OK if whole => {}
        StatusCode::NOT_FOUND | StatusCode::PRECONDITION_FAILED | StatusCode::RANGE_NOT_SATISFIABLE => {
            return Err(Failure::Changed(label()));
        }
        status if status.is_client_error() => return Err(Failure::Refused(label())),
        _ => return Err(Failure::Away(label())),
    }
    let etag = response.headers().get(header::ETAG).and_then(|etag| etag.to_str().ok());
    let is_it = etag.map(|etag| etag.trim_matches('"')) == Some(&object.etag);
    if !is_it && stands(Protection::ObjectPins) {
        return Err(Failure::Changed(label()));
    }
    Ok(())
}

/// The body if it has exactly `expected` bytes; stops reading at the first byte too many.
async fn body(response: Response, expected: usize) -> Result<Option<Bytes>, Failure> {
    let mut bytes = BytesMut::with_capacity(expected);
    let mut chunks = response.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        let Ok(chunk) = chunk else { return Ok(None) };
        if bytes.len() + chunk.len() > expected {
            return Ok(None);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok((bytes.len() == expected).then(|| bytes.freeze()))
}
