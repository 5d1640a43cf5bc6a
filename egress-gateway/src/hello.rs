//! The first message in a tunnel: a TLS ClientHello that names the server which the tunnel is for.
//!
//! rustls reads it, whole, however it is cut into records; nothing is answered and nothing is decrypted.
//! What follows from that is in `docs/egress.md`.

use std::io::Cursor;

use rustls::server::Acceptor;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    time::Instant,
};
use trace_contracts::Host;
use trace_controls::{Protection, stands};

use crate::policy::Rule;

/// A ClientHello with everything that clients put into it has less than 4 KiB; this has room for one that is
/// cut into many records.
const MAX_BYTES: usize = 32 * 1024;
/// What is read at once.
const PIECE: usize = 4 * 1024;

/// The TLS alert `unrecognized_name` (RFC 6066), fatal, in a record: clients say what it means.
pub(crate) const ALERT: [u8; 7] = [21, 3, 1, 0, 2, 2, 112];

/// Reads a ClientHello whose server name is `host`, and gives back every byte that was read, which is to be
/// passed on. `read` has come in already.
///
/// # Errors
/// The rule that it breaks.
pub(crate) async fn receive(
    from: &mut (impl AsyncRead + Unpin),
    mut read: Vec<u8>,
    host: &Host,
    until: Instant,
) -> Result<Vec<u8>, Rule> {
    if !stands(Protection::TunnelHello) {
        return Ok(read);
    }
    let mut acceptor = Acceptor::default();
    let mut seen = 0;
    loop {
        if let Some(name) = feed(&mut acceptor, &read[seen..])? {
            return check(host, name.as_deref()).map(|()| read);
        }
        seen = read.len();
        if seen >= MAX_BYTES {
            return Err(Rule::NotTls);
        }
        read.reserve(PIECE);
        let reading = tokio::time::timeout_at(until, from.read_buf(&mut read)).await;
        if !matches!(reading, Ok(Ok(1..))) {
            return Err(Rule::NotTls);
        }
    }
}

/// The server name, once the whole message is there.
fn feed(acceptor: &mut Acceptor, bytes: &[u8]) -> Result<Option<Option<String>>, Rule> {
    let mut bytes = Cursor::new(bytes);
    while bytes.position() < bytes.get_ref().len() as u64 {
        acceptor.read_tls(&mut bytes).map_err(|_| Rule::NotTls)?;
        if let Some(accepted) = acceptor.accept().map_err(|_| Rule::NotTls)? {
            return Ok(Some(accepted.client_hello().server_name().map(str::to_owned)));
        }
    }
    Ok(None)
}

/// A destination by name is asked for by that name. One by address is asked for without any: a name would
/// choose among what is served there, and nobody has granted that.
fn check(host: &Host, server_name: Option<&str>) -> Result<(), Rule> {
    match (host, server_name) {
        (Host::Name(host), Some(name)) if name.eq_ignore_ascii_case(host) => Ok(()),
        (Host::Name(_), None) => Err(Rule::ServerNameAbsent),
        (Host::Address(_), None) => Ok(()),
        (Host::Name(_) | Host::Address(_), Some(_)) => Err(Rule::ServerNameDiffers),
    }
}
