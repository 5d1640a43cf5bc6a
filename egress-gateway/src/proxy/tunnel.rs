//! `CONNECT`: a tunnel for TLS to the host that it names.

use std::sync::Arc;

use http::{Request, Response, StatusCode};
use hyper::{
    body::{Body as _, Incoming},
    upgrade::{OnUpgrade, Parts},
};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::{io::AsyncWriteExt, net::TcpStream, time::Instant};
use trace_contracts::Destination;
use trace_plane::{Reply, Stream};

use super::{Asker, Caller, answer, answer::Answer, target};
use crate::{
    audit::{Action, Facts, Figures, entry},
    budget::{Direction, Usage},
    hello,
    policy::{Malformed, Rule},
    relay::{End, relay},
};

/// A tunnel that was granted, and connected to what was vetted.
struct Tunnel {
    caller: Arc<Caller>,
    asker: Asker,
    destination: Destination,
    outside: TcpStream,
    address: std::net::IpAddr,
    usage: Usage,
}

/// Opens a tunnel. The destination is connected to before the answer, so that what fails is told in it.
pub(super) async fn open(caller: &Arc<Caller>, request: Request<Incoming>) -> Reply<Response<Answer>> {
    let core = &caller.core;
    let asker = core.asker(request.headers()).await?;
    let read = if request.body().is_end_stream() {
        target::of_tunnel(request.uri())
    } else {
        Err(Rule::Request(Malformed::ConnectBody))
    };
    let (destination, usage) = core.admit(&asker, read).await?;
    let (outside, address) = core.reach(&asker, &destination, &usage, Action::Tunnel).await?;
    let tunnel =
        Tunnel { caller: Arc::clone(caller), asker, destination, outside, address: address.ip(), usage };
    core.tasks.spawn(tunnel.run(hyper::upgrade::on(request)));
    Ok(answer::status(StatusCode::OK))
}

impl Tunnel {
    async fn run(mut self, upgrade: OnUpgrade) {
        let (stopping, ended) = (self.caller.core.stopping.clone(), self.asker.live.ended());
        let outcome = tokio::select! {
            biased;
            () = stopping.cancelled() => Ok(End::Ended),
            () = ended.cancelled() => Ok(End::Ended),
            outcome = self.carry(upgrade) => outcome,
        };
        let (rule, ended) = match outcome {
            Ok(End::Budget) => (Some(Rule::ByteBudget), "byte_budget"),
            Ok(end) => (None, end.as_str()),
            Err(rule) => (Some(rule), "refused"),
        };
        let facts = Facts {
            rule,
            addresses: vec![self.address],
            figures: Some(Figures::of(&self.usage, self.asker.since, json!(ended))),
        };
        let object = self.destination.to_string();
        self.caller.core.auditor.came_to(entry(&self.asker.capability, Action::Tunnel, object, facts));
    }

    /// The ClientHello, and then everything.
    async fn carry(&mut self, upgrade: OnUpgrade) -> Result<End, Rule> {
        let limits = self.caller.core.limits;
        let until = Instant::now() + limits.hello();
        let Ok(Ok(upgraded)) = tokio::time::timeout_at(until, upgrade).await else { return Ok(End::Closed) };
        // Plain or by TLS, the listener's connections are of one type, and nothing is between them and hyper.
        let Ok(Parts { io, read_buf, .. }) = upgraded.downcast::<TokioIo<Stream>>() else {
            return Ok(End::Closed);
        };
        let mut inside = io.into_inner();
        let hello = match hello::receive(&mut inside, read_buf.to_vec(), &self.destination.host, until).await
        {
            Ok(hello) => hello,
            Err(rule) => {
                // Whether the caller still reads it is its own affair.
                let _ = inside.write_all(&hello::ALERT).await;
                let _ = inside.shutdown().await;
                return Err(rule);
            }
        };
        if self.usage.count(Direction::Up, hello.len() as u64).is_err() {
            return Ok(End::Budget);
        }
        if self.outside.write_all(&hello).await.is_err() {
            return Ok(End::Closed);
        }
        drop(hello);
        let ended = self.asker.live.ended();
        Ok(relay(&mut inside, &mut self.outside, &self.usage, limits.tunnel_silence(), &ended).await)
    }
}

impl End {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Idle => "idle",
            Self::Ended => "ended",
            Self::Budget => "byte_budget",
        }
    }
}
