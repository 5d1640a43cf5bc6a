//! What the service and an engine say to each other: frames of a JSON header and raw bytes, each
//! with its length in front, on the engine's standard input and output.

use std::io::{self, Read, Write};

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use trace_contracts::{ErrorCode, Name, wire::task::QueryFormat};

use crate::{catalog::EngineCatalog, encode::Bounds};

/// A catalog of ten thousand objects has some ten megabytes of addresses.
const MAX_HEADER_BYTES: u32 = 64 << 20;
/// Bodies up to this are written together with their header, so that the other side wakes once.
const COPIED_BYTES: usize = 32 << 10;

/// The first frame to an engine. It answers [`Ready`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Setup {
    /// What it may allocate.
    pub(crate) memory_bytes: u64,
    /// Threads to compute with.
    pub(crate) threads: usize,
    /// Ports that it may connect to.
    pub(crate) ports: Vec<u16>,
}

/// The engine has confined itself and waits for queries.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ready {
    /// Its process id, for the log.
    pub(crate) pid: u32,
}

/// One query; the frame's body is the SQL.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Query {
    pub(crate) catalog: EngineCatalog,
    pub(crate) format: QueryFormat,
    pub(crate) bounds: Bounds,
}

/// The engine has read the query. An engine that died before this frame did nothing with it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Taken {}

/// The answer; the frame's body is the result.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// Executed to its end.
    Done {
        /// Rows of the result.
        rows: u64,
        /// Tables that were read.
        tables: Vec<Name>,
    },
    /// Refused or failed. The engine is fine.
    Failed { code: ErrorCode, detail: String },
    /// The code that read or computed panicked. What it leaves behind is not trusted: the engine ends.
    Panicked,
}

/// Lengths of a header and a body, as they lead a frame.
fn lengths(prefix: [u8; 8], max_body: u64) -> io::Result<(usize, usize)> {
    let [a, b, c, d, e, f, g, h] = prefix;
    let (header, body) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
    if header > MAX_HEADER_BYTES || u64::from(body) > max_body {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame is longer than this side takes"));
    }
    Ok((header as usize, body as usize))
}

/// A frame in two parts. The second is empty where the body is so short that one part is written sooner than two.
fn frame<'a, H: Serialize>(header: &H, body: &'a [u8]) -> io::Result<(Vec<u8>, &'a [u8])> {
    let header = serde_json::to_vec(header)?;
    let too_long = |_| io::Error::new(io::ErrorKind::InvalidData, "a frame is too long");
    let (copied, rest) = if body.len() <= COPIED_BYTES { (body, &[][..]) } else { (&[][..], body) };
    let mut first = Vec::with_capacity(8 + header.len() + copied.len());
    first.extend(u32::try_from(header.len()).map_err(too_long)?.to_be_bytes());
    first.extend(u32::try_from(body.len()).map_err(too_long)?.to_be_bytes());
    first.extend(header);
    first.extend(copied);
    Ok((first, rest))
}

/// Writes a frame, on the service's side.
pub(crate) async fn send<H: Serialize>(
    to: &mut (impl AsyncWrite + Unpin),
    header: &H,
    body: &[u8],
) -> io::Result<()> {
    let (first, rest) = frame(header, body)?;
    to.write_all(&first).await?;
    to.write_all(rest).await?;
    to.flush().await
}

/// Reads a frame, on the service's side.
pub(crate) async fn receive<H: DeserializeOwned>(
    from: &mut (impl AsyncRead + Unpin),
    max_body: u64,
) -> io::Result<(H, Bytes)> {
    let mut prefix = [0; 8];
    from.read_exact(&mut prefix).await?;
    let (header_length, body_length) = lengths(prefix, max_body)?;
    let mut header = vec![0; header_length];
    from.read_exact(&mut header).await?;
    let mut body = vec![0; body_length];
    from.read_exact(&mut body).await?;
    Ok((serde_json::from_slice(&header)?, body.into()))
}

/// Writes a frame, on the engine's side.
pub(super) fn write<H: Serialize>(to: &mut impl Write, header: &H, body: &[u8]) -> io::Result<()> {
    let (first, rest) = frame(header, body)?;
    to.write_all(&first)?;
    to.write_all(rest)?;
    to.flush()
}

/// Reads a frame, on the engine's side; `None` once the service has closed its end.
pub(super) fn read<H: DeserializeOwned>(
    from: &mut impl Read,
    max_body: u64,
) -> io::Result<Option<(H, Vec<u8>)>> {
    let mut prefix = [0; 8];
    match from.read_exact(&mut prefix) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        verdict => verdict?,
    }
    let (header_length, body_length) = lengths(prefix, max_body)?;
    let mut header = vec![0; header_length];
    from.read_exact(&mut header)?;
    let mut body = vec![0; body_length];
    from.read_exact(&mut body)?;
    Ok(Some((serde_json::from_slice(&header)?, body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn both_sides_read_what_the_other_writes() {
        let mut wire = Vec::new();
        send(&mut wire, &Ready { pid: 7 }, b"body").await.unwrap();
        let (ready, body) = read::<Ready>(&mut wire.as_slice(), 4).unwrap().unwrap();
        assert_eq!((ready.pid, body.as_slice()), (7, &b"body"[..]));
        assert!(read::<Ready>(&mut wire.as_slice(), 3).is_err(), "the body is longer than allowed");

        let mut wire = Vec::new();
        write(&mut wire, &Ready { pid: 8 }, b"").unwrap();
        let (ready, _) = receive::<Ready>(&mut wire.as_slice(), 0).await.unwrap();
        assert_eq!(ready.pid, 8);
        assert!(read::<Ready>(&mut &[][..], 0).unwrap().is_none(), "a closed pipe is an end");
        assert!(receive::<Ready>(&mut &wire[..9], 0).await.is_err(), "half a frame is an error");
    }
}
