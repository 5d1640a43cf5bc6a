//! Results as responses.

use axum::{
    http::{HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};
use trace_contracts::wire::{self, task::QueryFormat};

use crate::asking::Done;

/// Results are one caller's; no cache keeps them.
pub(crate) fn respond(done: Done) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type(done.format))),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (HeaderName::from_static(wire::header::ROWS), HeaderValue::from(done.rows)),
    ];
    (headers, done.bytes).into_response()
}

const fn content_type(format: QueryFormat) -> &'static str {
    match format {
        QueryFormat::Json => "application/json",
        QueryFormat::Csv => "text/csv; charset=utf-8",
        QueryFormat::Arrow => "application/vnd.apache.arrow.stream",
    }
}
