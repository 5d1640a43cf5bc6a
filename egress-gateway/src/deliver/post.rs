//! The one request of a delivery. Of the answer the status is read, and how long to wait before another try;
//! the connection is closed before a byte of its body is asked for.

use chrono::{DateTime, Utc};
use http::{HeaderMap, Method, Request, header};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::task::AbortOnDropHandle;
use trace_contracts::wire::delivery::OutgoingDelivery;

use super::Unanswered;

/// Room for all headers of an answer.
const MAX_HEADER_BYTES: usize = 16 * 1024;
/// Who sends, for the receiver's log.
const USER_AGENT: &str = concat!("trace-egress-gateway/", env!("CARGO_PKG_VERSION"));

/// What of an answer is kept.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) retry_after_s: Option<u32>,
}

/// Sends a delivery on a connection of its own. Redirects are answers like others.
pub(super) async fn post(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    delivery: &OutgoingDelivery,
) -> Result<Answer, Unanswered> {
    let (mut sender, connection) =
        http1::Builder::new().max_buf_size(MAX_HEADER_BYTES).handshake(TokioIo::new(stream)).await?;
    // Dropped with this function, and the connection with it.
    let _connection = AbortOnDropHandle::new(tokio::spawn(connection));
    let answer = sender.send_request(request(delivery)?).await?;
    Ok(Answer { status: answer.status().as_u16(), retry_after_s: retry_after(answer.headers(), Utc::now()) })
}

fn request(delivery: &OutgoingDelivery) -> Result<Request<String>, http::Error> {
    Request::builder()
        .method(Method::POST)
        .uri(delivery.url.target().expose().as_str())
        .header(header::HOST, delivery.url.host_header())
        .header(header::USER_AGENT, USER_AGENT)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONNECTION, "close")
        .header("webhook-id", &delivery.message_id)
        .header("webhook-timestamp", delivery.timestamp)
        .header("webhook-signature", delivery.signature.expose())
        .header("idempotency-key", &delivery.message_id)
        .body(delivery.body.expose().clone())
}

/// `Retry-After`, as seconds or as a date.
fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<u32> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(seconds);
    }
    let date = DateTime::parse_from_rfc2822(text).ok()?;
    u32::try_from((date.to_utc() - now).num_seconds().max(0)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_says_when_in_two_ways() {
        let now: DateTime<Utc> = "2013-01-01T00:00:00Z".parse().unwrap();
        let said = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, text.parse().unwrap());
            retry_after(&headers, now)
        };
        assert_eq!(said("120"), Some(120));
        assert_eq!(said("Tue, 01 Jan 2013 00:01:00 GMT"), Some(60));
        assert_eq!(said("Mon, 31 Dec 2012 00:00:00 GMT"), Some(0));
        for bad in ["-1", "soon", "", "99999999999"] {
            assert_eq!(said(bad), None, "{bad}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
