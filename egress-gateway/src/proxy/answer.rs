//! What the gateway itself answers: problems, and the opening of a tunnel.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use hyper::body::{Body, Frame, SizeHint};
use trace_contracts::{ErrorCode, Problem};
use trace_plane::Refusal;

use super::body::{Broken, Metered};
use crate::policy::{Rule, rule::Told};

/// A body of the gateway's own, or one that is passed on.
pub(crate) enum Answer {
    Own(Option<Bytes>),
    PassedOn(Metered),
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match self.get_mut() {
            Self::Own(body) => Poll::Ready(body.take().map(|body| Ok(Frame::data(body)))),
            Self::PassedOn(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(body) => body.is_none(),
            Self::PassedOn(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(body) => SizeHint::with_exact(body.as_ref().map_or(0, |body| body.len() as u64)),
            Self::PassedOn(body) => body.size_hint(),
        }
    }
}

/// A status without a body.
pub(crate) fn status(status: StatusCode) -> Response<Answer> {
    let mut response = Response::new(Answer::Own(None));
    *response.status_mut() = status;
    response
}

/// A refusal. Missing or wrong credentials answer 407, as RFC 9110 wants it of a proxy, and say how to send them.
pub(crate) fn refusal(refusal: &Refusal) -> Response<Answer> {
    let mut problem: Problem = refusal.problem().clone();
    let unauthenticated = matches!(
        problem.code,
        ErrorCode::Unauthenticated | ErrorCode::TokenExpired | ErrorCode::WrongAudience | ErrorCode::Revoked
    );
    if unauthenticated {
        problem.status = StatusCode::PROXY_AUTHENTICATION_REQUIRED.as_u16();
    }
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    let mut response = Response::new(Answer::Own(Some(body.into())));
    *response.status_mut() =
        StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if unauthenticated {
        headers.append(header::PROXY_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        headers.append(header::PROXY_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"trace\""));
    }
    response
}

/// What a rule is to the caller.
pub(crate) fn denied(rule: Rule) -> Refusal {
    if rule.told() == Told::Unreachable {
        return Refusal::new(ErrorCode::Unavailable, "the destination could not be reached");
    }
    let detail = match rule {
        Rule::Unreadable(error) => format!("{rule}: {error}"),
        Rule::Request(_) => format!(
            "{rule}: send CONNECT HOST:PORT, or an http:// address whose host is also the one `Host` header, without \
             an upgrade"
        ),
        Rule::NotGranted => {
            format!(
                "{rule}: this task may not reach this host and port: declare it in the job's `egress`, and have it allowed"
            )
        }
        Rule::RequestBudget | Rule::ByteBudget => {
            format!(
                "{rule}: what was granted for this destination is used up; the job's `egress` sets how much that is"
            )
        }
        Rule::AttemptLimit => {
            format!("{rule}: the task has too many requests and tunnels at once; end some first")
        }
        Rule::Crowded => format!("{rule}: the gateway is full; try again later"),
        _ => format!("{rule}: the tunnel has to start with TLS for exactly the host that it was opened for"),
    };
    let code = match rule {
        Rule::Unreadable(_) | Rule::Request(_) => ErrorCode::BadRequest,
        Rule::AttemptLimit | Rule::Crowded => ErrorCode::TooManyRequests,
        Rule::RequestBudget | Rule::ByteBudget => ErrorCode::LimitExceeded,
        _ => ErrorCode::Forbidden,
    };
    Refusal::new(code, detail)
}
