//! What stands in for the world outside: a server that a task may be granted, one that nobody may be, and a
//! name server that says what an attacker's would. All of it is on loopback.

mod dns;

use std::{
    ffi::OsString,
    fs,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::Path,
    thread,
    time::Duration,
};

use anyhow::Context as _;
use serde_json::json;

/// Where the operator of the attacked platform lets granted destinations be.
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// Where nobody does. What listens there tells a secret.
const PRIVATE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);
/// What the server that may be reached says.
const WORDS: &str = "outside";
/// Whoever says nothing for so long is not answered.
const PATIENCE: Duration = Duration::from_secs(10);
/// A request is not longer.
const MAX_HEAD: usize = 64 * 1024;
/// The first byte of TLS.
const TLS: u8 = 0x16;
/// Free ports that are tried: both addresses need the same one.
const TRIES: usize = 50;

/// It, as long as this program runs.
pub struct Internet {
    port: u16,
    other_port: u16,
    arguments: [OsString; 4],
}

impl Internet {
    /// Starts it. The operator's file goes into `folder`.
    pub fn new(folder: &Path, secret: &str) -> anyhow::Result<Self> {
        let (outside, private) = pair()?;
        let port = outside.local_addr()?.port();
        let other = TcpListener::bind(SocketAddr::from((OUTSIDE, 0)))?;
        let other_port = other.local_addr()?.port();
        serve(outside, WORDS.to_owned());
        serve(other, WORDS.to_owned());
        serve(private, secret.to_owned());
        let policy = folder.join("egress-policy.json");
        let allowed = json!({ "allow_private": { "networks": [format!("{OUTSIDE}/32")] } });
        fs::write(&policy, allowed.to_string())?;
        let dns = dns::start(OUTSIDE, PRIVATE)?;
        let arguments = [
            OsString::from("--egress-policy"),
            policy.into(),
            OsString::from("--egress-dns"),
            dns.to_string().into(),
        ];
        Ok(Self { port, other_port, arguments })
    }

    /// The port of both servers.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Another port of the server outside.
    pub const fn other_port(&self) -> u16 {
        self.other_port
    }

    /// What `trace up` has to be told, so that this is the world outside for it.
    pub fn arguments(&self) -> &[OsString] {
        &self.arguments
    }
}

/// Two listeners on one port, so that a name that moves from one address to the other takes its port along.
fn pair() -> anyhow::Result<(TcpListener, TcpListener)> {
    for _ in 0..TRIES {
        let outside = TcpListener::bind(SocketAddr::from((OUTSIDE, 0)))?;
        let port = outside.local_addr()?.port();
        if let Ok(private) = TcpListener::bind(SocketAddr::from((PRIVATE, port))) {
            return Ok((outside, private));
        }
    }
    anyhow::bail!("no port is free on both {OUTSIDE} and {PRIVATE}")
}

fn serve(listener: TcpListener, words: String) {
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let words = words.clone();
            // Whoever has gone meanwhile is not answered.
            thread::spawn(move || answer(stream, &words));
        }
    });
}

/// Answers a request with these words and its own head, so that a client sees what arrived; one for
/// `/bytes/N` with so many bytes; and the beginning of TLS with the words alone.
fn answer(mut stream: TcpStream, words: &str) -> anyhow::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    while !head.ends_with(b"\r\n\r\n") && head.first() != Some(&TLS) && head.len() < MAX_HEAD {
        let read = stream.read(&mut buffer)?;
        anyhow::ensure!(read > 0, "it has ended");
        head.extend_from_slice(&buffer[..read]);
    }
    if head.first() == Some(&TLS) {
        return Ok(stream.write_all(words.as_bytes())?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let body = match asked_bytes(&head) {
        Some(bytes) => "x".repeat(bytes),
        None => format!("{words}\n{head}"),
    };
    let length = body.len();
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")?;
    Ok(())
}

fn asked_bytes(head: &str) -> Option<usize> {
    head.split(' ').nth(1)?.strip_prefix("/bytes/")?.parse().ok().filter(|bytes| *bytes <= 1 << 20)
}

/// The port of an address such as `http://127.0.0.1:7001`.
pub fn port_of(address: &str) -> anyhow::Result<u16> {
    address
        .rsplit(':')
        .next()
        .and_then(|port| port.parse().ok())
        .with_context(|| format!("the port of {address}"))
}
