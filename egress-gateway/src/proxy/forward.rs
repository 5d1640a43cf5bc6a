//! A request in absolute-form, on to its destination and back.

use std::sync::{
    Arc,
    atomic::{AtomicU16, Ordering},
};

use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header::HOST, request::Parts};
use hyper::body::Incoming;
use trace_contracts::{Destination, ErrorCode};
use trace_plane::{Hold, Refusal, Reply};

use super::{
    Asker, Caller,
    answer::{Answer, denied},
    body::{Exchange, Metered},
    headers,
    outside::Connection,
    target,
};
use crate::{
    budget::{Direction, Usage},
    policy::Rule,
};

/// Forwards one request.
pub(super) async fn forward(caller: &Arc<Caller>, request: Request<Incoming>) -> Reply<Response<Answer>> {
    let core = &caller.core;
    let asker = core.asker(request.headers()).await?;
    let (mut parts, body) = request.into_parts();
    let (destination, usage) = core.admit(&asker, target::of_request(&parts)).await?;
    rewrite(&mut parts, &destination);
    let attempt = asker.capability.attempt();
    let kept = match caller.kept.take(attempt, &destination) {
        Some(mut connection) => connection.sender.ready().await.is_ok().then_some(connection),
        None => None,
    };
    let connection = match kept {
        Some(connection) => connection,
        None => {
            let hold = core.liveness.admit(&asker.capability).await?.into_hold();
            core.connect(&asker, hold, &destination, &usage).await?
        }
    };
    let exchange = Arc::new(exchange(caller, &asker, &destination, &connection, usage));
    let length = parts.uri.path().len() + headers::length(&parts.headers);
    if exchange.count(Direction::Up, length).is_err() {
        return Err(denied(Rule::ByteBudget));
    }
    let body = Metered::new(body, Direction::Up, Arc::clone(&exchange));
    let mut connection = connection;
    let answered = connection.sender.send_request(Request::from_parts(parts, body)).await;
    let answer = answered.map_err(|error| unanswered(&error, asker.live.hold(), &exchange.usage))?;
    let response = respond(answer, exchange)?;
    caller.kept.keep(attempt, destination, connection);
    Ok(response)
}

fn exchange(
    caller: &Caller,
    asker: &Asker,
    destination: &Destination,
    connection: &Connection,
    usage: Usage,
) -> Exchange {
    Exchange {
        usage,
        moved: Arc::clone(&connection.moved),
        auditor: caller.core.auditor.clone(),
        capability: Arc::clone(&asker.capability),
        destination: destination.clone(),
        address: connection.address.ip(),
        since: asker.since,
        status: AtomicU16::new(0),
    }
}

/// The request as the destination gets it: origin-form, with the one `Host`, without what is between two hops.
/// Its body is framed anew, so that no length of the caller's reaches the destination.
fn rewrite(parts: &mut Parts, destination: &Destination) {
    let mut uri = http::uri::Parts::default();
    uri.path_and_query = parts.uri.path_and_query().cloned();
    let server_wide =
        parts.method == Method::OPTIONS && parts.uri.path() == "/" && parts.uri.query().is_none();
    parts.uri = match Uri::from_parts(uri) {
        Ok(uri) if !server_wide => uri,
        _ => Uri::from_static(if server_wide { "*" } else { "/" }),
    };
    parts.version = Version::HTTP_11;
    headers::strip(&mut parts.headers);
    if let Ok(host) = HeaderValue::from_str(&target::host_header(destination)) {
        parts.headers.insert(HOST, host);
    }
}

fn respond(answer: Response<Incoming>, exchange: Arc<Exchange>) -> Reply<Response<Answer>> {
    let (mut parts, body) = answer.into_parts();
    // Nobody asked for another protocol.
    if parts.status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(denied(Rule::BadAnswer));
    }
    exchange.status.store(parts.status.as_u16(), Ordering::Relaxed);
    headers::strip(&mut parts.headers);
    parts.version = Version::HTTP_11;
    if exchange.count(Direction::Down, headers::length(&parts.headers)).is_err() {
        return Err(denied(Rule::ByteBudget));
    }
    Ok(Response::from_parts(parts, Answer::PassedOn(Metered::new(body, Direction::Down, exchange))))
}

/// Why there is no answer, as far as it is the caller's affair.
fn unanswered(error: &hyper::Error, hold: &Hold, usage: &Usage) -> Refusal {
    tracing::debug!(%error, "a request was not answered");
    if hold.ended().is_cancelled() {
        return hold.refusal();
    }
    if usage.is_spent() {
        return denied(Rule::ByteBudget);
    }
    if error.is_user() {
        return Refusal::new(ErrorCode::BadRequest, "the request's body broke off");
    }
    denied(Rule::BadAnswer)
}
