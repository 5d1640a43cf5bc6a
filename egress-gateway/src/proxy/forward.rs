//! A request in absolute-form, on to its destination and back.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU16, Ordering},
};

use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header::HOST, request::Parts};
use hyper::body::Incoming;
use trace_contracts::Destination;
use trace_controls::{Protection, stands};
use trace_plane::{Refusal, Reply};

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
    let target = parts.uri.path_and_query().map_or(1, |target| target.as_str().len());
    let length = target + headers::length(&parts.headers);
    let exchange = Arc::new(exchange(caller, &asker, &destination, usage));
    if exchange.count(Direction::Up, length).is_err() {
        return Err(core.deny(&asker, destination.to_string(), Rule::ByteBudget, Vec::new()).await);
    }
    let body = Metered::new(body, Direction::Up, Arc::clone(&exchange));
    let sending = Sending { caller, asker: &asker, destination: &destination, exchange: &exchange };
    let (answer, connection) = sending.send(Request::from_parts(parts, body)).await?;
    let response = respond(answer, exchange)?;
    caller.kept.keep(asker.capability.attempt(), destination, connection);
    Ok(response)
}

/// A request on its way out.
struct Sending<'a> {
    caller: &'a Caller,
    asker: &'a Asker,
    destination: &'a Destination,
    exchange: &'a Exchange,
}

impl Sending<'_> {
    /// Sends it on a kept connection or a new one. What a kept one, closed by the destination meanwhile, has not
    /// taken goes out on a new one.
    async fn send(&self, request: Request<Metered>) -> Reply<(Response<Incoming>, Connection)> {
        let request = match self.kept().await {
            None => request,
            Some(mut connection) => {
                self.exchange.takes(&connection);
                match connection.sender.try_send_request(request).await {
                    Ok(answer) => return Ok((answer, connection)),
                    Err(mut error) => match error.take_message() {
                        Some(request) => request,
                        None => return Err(self.unanswered(&error.into_error())),
                    },
                }
            }
        };
        let core = &self.caller.core;
        let hold = core.liveness.admit(&self.asker.capability).await?.into_hold();
        let mut connection = core.connect(self.asker, hold, self.destination, self.exchange).await?;
        self.exchange.takes(&connection);
        match connection.sender.send_request(request).await {
            Ok(answer) => Ok((answer, connection)),
            Err(error) => Err(self.unanswered(&error)),
        }
    }

    async fn kept(&self) -> Option<Connection> {
        let mut kept = self.caller.kept.take(self.asker.capability.attempt(), self.destination)?;
        kept.sender.ready().await.is_ok().then_some(kept)
    }

    /// Why there is no answer, as far as it is the caller's affair.
    fn unanswered(&self, error: &hyper::Error) -> Refusal {
        tracing::debug!(%error, "a request was not answered");
        let hold = self.asker.live.hold();
        if hold.ended().is_cancelled() {
            return hold.refusal();
        }
        denied(if self.exchange.usage.is_spent() { Rule::ByteBudget } else { Rule::BadAnswer })
    }
}

fn exchange(caller: &Caller, asker: &Asker, destination: &Destination, usage: Usage) -> Exchange {
    Exchange {
        usage,
        way: Mutex::default(),
        auditor: caller.core.auditor.clone(),
        capability: Arc::clone(&asker.capability),
        destination: destination.clone(),
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
    let host = HeaderValue::from_str(&target::host_header(destination));
    if let (Ok(host), true) = (host, stands(Protection::HostWritten)) {
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
