//! From a sandbox to the egress gateway: what clients send to an HTTP proxy, with the attempt's token added.
//!
//! The token is the trusted side's to obtain and to show; code in the sandbox neither sees it nor can send another.
//! Each request to a plain address and each `CONNECT` gets it. After the gateway has opened a tunnel, bytes pass
//! as they are: only then, so that what follows a refusal is no request that nobody looked at.

mod body;
#[cfg(fuzzing)]
pub mod fuzzing;
mod head;
mod tokens;

use std::{io, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::timeout,
};
use trace_plane::Stream;

pub use self::tokens::{EgressTokens, NoToken};
use self::{
    body::Body,
    head::{Answer, Bad, Head, Kind, Length},
};
use crate::forwarder::{BUFFER_BYTES, Moved, Upstream, copy};

/// The head of a request or an answer.
const MAX_HEAD_BYTES: usize = 32 * 1024;
/// A client has this long to read why it is refused.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The egress gateway, as one attempt reaches it.
#[derive(Clone)]
pub struct Gateway {
    /// Where it listens, and by which certificate it is believed.
    pub upstream: Upstream,
    /// What opens it.
    pub tokens: Arc<dyn EgressTokens>,
}

/// Why a connection was ended by the wrapper.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Bad(#[from] Bad),
    #[error(transparent)]
    NoToken(#[from] NoToken),
    #[error("the egress gateway can't be reached")]
    NoGateway(#[source] io::Error),
    #[error("a tunnel is asked for on a connection of its own")]
    LateConnect,
}

/// One connection of a client inside, to its end.
pub(crate) async fn proxy(inside: TcpStream, gateway: &Gateway, idle: Duration) -> io::Result<()> {
    inside.set_nodelay(true)?;
    let moved = Moved::new(idle);
    let (read, mut write) = inside.into_split();
    let mut client = Source::new(read);
    match begin(&mut client, gateway, &moved).await {
        Ok(None) => Ok(()),
        Ok(Some(begun)) => match begun.kind {
            Kind::Connect => tunnel(client, write, begun.outside, &moved).await,
            Kind::Exchange(length) => exchanges(client, write, begun.outside, length, gateway, &moved).await,
        }
        .map_err(io::Error::other),
        Err(Error::Io(error)) => Err(error),
        Err(refused) => {
            let _client_may_be_gone = timeout(LAST_WORDS, refuse(&mut client, &mut write, &refused)).await;
            Err(io::Error::other(refused))
        }
    }
}

/// What comes from one end: read ahead of what was used of it.
struct Source<R> {
    read: R,
    ahead: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Source<R> {
    const fn new(read: R) -> Self {
        Self { read, ahead: Vec::new() }
    }

    /// Reads more; whether there was any.
    async fn more(&mut self, moved: &Moved) -> io::Result<More> {
        self.ahead.reserve(BUFFER_BYTES);
        let bytes = moved.unless_idle(self.read.read_buf(&mut self.ahead)).await?;
        moved.now();
        Ok(if bytes == 0 { More::End } else { More::Some })
    }

    /// The next head; `None` at an end between two of them.
    async fn head(&mut self, moved: &Moved) -> Result<Option<Vec<u8>>, Error> {
        let mut searched = 0;
        loop {
            let end = head::end(&self.ahead, searched);
            searched = self.ahead.len();
            if end.unwrap_or(searched) > MAX_HEAD_BYTES {
                return Err(Bad::TooLong.into());
            }
            if let Some(end) = end {
                return Ok(Some(self.ahead.drain(..end).collect()));
            }
            if self.more(moved).await? == More::End {
                return if self.ahead.is_empty() { Ok(None) } else { Err(Bad::Line.into()) };
            }
        }
    }

    /// Passes a body on.
    async fn body(
        &mut self,
        mut body: Body,
        to: &mut (impl AsyncWrite + Unpin),
        moved: &Moved,
    ) -> Result<(), Error> {
        while !body.is_over() {
            let own = body.take(&self.ahead)?;
            send(to, &self.ahead[..own], moved).await?;
            self.ahead.drain(..own);
            if !body.is_over() && self.more(moved).await? == More::End {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum More {
    Some,
    End,
}

/// All of it, and on its way: TLS keeps what it could not send at once.
async fn send(to: &mut (impl AsyncWrite + Unpin), bytes: &[u8], moved: &Moved) -> io::Result<()> {
    moved.unless_idle(to.write_all(bytes)).await?;
    moved.unless_idle(to.flush()).await?;
    moved.now();
    Ok(())
}

/// A connection whose first request has gone to the gateway, but for its body.
struct Begun {
    outside: Stream,
    kind: Kind,
}

async fn begin(
    client: &mut Source<OwnedReadHalf>,
    gateway: &Gateway,
    moved: &Moved,
) -> Result<Option<Begun>, Error> {
    let Some(unverified) = client.head(moved).await? else { return Ok(None) };
    let head = Head::parse(&unverified)?;
    let token = gateway.tokens.current().await?;
    let mut outside = gateway.upstream.connect().await.map_err(Error::NoGateway)?;
    send(&mut outside, &head.authorised(token.expose()), moved).await?;
    Ok(Some(Begun { outside, kind: head.kind }))
}

/// Passes bytes both ways, if the gateway says so; else its refusal, and nothing more of the client's.
async fn tunnel(
    mut client: Source<OwnedReadHalf>,
    mut to_client: OwnedWriteHalf,
    outside: Stream,
    moved: &Moved,
) -> Result<(), Error> {
    let (read, mut to_gateway) = tokio::io::split(outside);
    let mut gateway = Source::new(read);
    let head = gateway.head(moved).await?.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
    let answer = Answer::parse(&head)?;
    moved.unless_idle(to_client.write_all(&head)).await?;
    match answer {
        Answer::Closed(bytes) => {
            gateway.body(Body::new(Length::Bytes(bytes)), &mut to_client, moved).await?;
            to_client.shutdown().await?;
            let _client_may_be_gone = timeout(LAST_WORDS, drain(&mut client)).await;
            Ok(())
        }
        Answer::Open => {
            moved.unless_idle(to_client.write_all(&gateway.ahead)).await?;
            send(&mut to_gateway, &client.ahead, moved).await?;
            tokio::try_join!(
                copy(&mut client.read, &mut to_gateway, moved),
                copy(&mut gateway.read, &mut to_client, moved),
            )?;
            Ok(())
        }
    }
}

/// Passes requests on, one after the other, each with the token of its moment; and whatever is answered.
async fn exchanges(
    mut client: Source<OwnedReadHalf>,
    mut to_client: OwnedWriteHalf,
    outside: Stream,
    first: Length,
    gateway: &Gateway,
    moved: &Moved,
) -> Result<(), Error> {
    let (mut from_gateway, mut to_gateway) = tokio::io::split(outside);
    let requests = async {
        client.body(Body::new(first), &mut to_gateway, moved).await?;
        while let Some(unverified) = client.head(moved).await? {
            let head = Head::parse(&unverified)?;
            // Where this ends and the tunnel begins could not be told among the answers.
            let Kind::Exchange(length) = head.kind else { return Err(Error::LateConnect) };
            let token = gateway.tokens.current().await?;
            send(&mut to_gateway, &head.authorised(token.expose()), moved).await?;
            client.body(Body::new(length), &mut to_gateway, moved).await?;
        }
        Ok(to_gateway.shutdown().await?)
    };
    let answers = async { Ok(copy(&mut from_gateway, &mut to_client, moved).await?) };
    tokio::try_join!(requests, answers)?;
    Ok(())
}

/// Says why the first request goes nowhere.
async fn refuse(
    client: &mut Source<OwnedReadHalf>,
    to_client: &mut OwnedWriteHalf,
    why: &Error,
) -> io::Result<()> {
    let status = match why {
        Error::Bad(_) | Error::LateConnect | Error::Io(_) => "400 Bad Request",
        Error::NoToken(NoToken::Refused(_)) => "403 Forbidden",
        Error::NoToken(NoToken::Away) => "503 Service Unavailable",
        Error::NoGateway(_) => "502 Bad Gateway",
    };
    let text = format!("{why}\n");
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{text}",
        text.len()
    );
    to_client.write_all(answer.as_bytes()).await?;
    to_client.shutdown().await?;
    drain(client).await
}

/// Reads what the client still sends: closing before that would throw away what it was told.
async fn drain(client: &mut Source<OwnedReadHalf>) -> io::Result<()> {
    let mut buffer = [0; 1024];
    while client.read.read(&mut buffer).await? > 0 {}
    Ok(())
}

#[cfg(test)]
mod tests;
