//! Connections that ask one thing after the other, as fast as they are answered.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A load.
pub struct Load {
    pub address: SocketAddr,
    pub request: String,
    pub connections: usize,
    pub time: Duration,
}

/// What one turn came to.
pub struct Round {
    requests_per_s: f64,
    p50: Duration,
    p99: Duration,
    /// Connections that ended in the middle of an answer.
    broken: usize,
}

impl Load {
    /// Asks until the time is up.
    pub async fn run(self) -> anyhow::Result<Round> {
        let since = Instant::now();
        let until = since + self.time;
        let asking: Vec<_> = (0..self.connections)
            .map(|_| tokio::spawn(ask(self.address, self.request.clone(), until)))
            .collect();
        let (mut took, mut broken) = (Vec::new(), 0);
        for asking in asking {
            let asked = asking.await??;
            took.extend(asked.took);
            broken += asked.broken;
        }
        let elapsed = since.elapsed();
        took.sort_unstable();
        let at = |part: usize| took.get(took.len() * part / 100).copied().context("nothing was answered");
        #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 requests")]
        let requests_per_s = took.len() as f64 / elapsed.as_secs_f64();
        Ok(Round { requests_per_s, p50: at(50)?, p99: at(99)?, broken })
    }
}

#[derive(Default)]
struct Asked {
    took: Vec<Duration>,
    broken: usize,
}

async fn ask(address: SocketAddr, request: String, until: Instant) -> anyhow::Result<Asked> {
    let mut asked = Asked::default();
    let mut connection: Option<TcpStream> = None;
    let mut buffer = Vec::with_capacity(8192);
    while Instant::now() < until {
        let since = Instant::now();
        // A proxy that closes after each answer is connected to anew, which is part of what it costs.
        let mut stream = match connection.take() {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                stream
            }
        };
        if stream.write_all(request.as_bytes()).await.is_err() {
            asked.broken += 1;
            continue;
        }
        buffer.clear();
        match read_answer(&mut stream, &mut buffer).await? {
            After::Kept => connection = Some(stream),
            After::Closed => {}
            After::Broken => {
                asked.broken += 1;
                continue;
            }
        }
        asked.took.push(since.elapsed());
    }
    Ok(asked)
}

#[derive(PartialEq, Eq)]
enum After {
    Kept,
    Closed,
    /// Before all of the answer was there.
    Broken,
}

/// Reads one answer, whose length it says or which ends with the connection.
async fn read_answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> anyhow::Result<After> {
    let mut expected: Option<(Option<usize>, After)> = None;
    loop {
        let Ok(read) = stream.read_buf(buffer).await else { return Ok(After::Broken) };
        if expected.is_none()
            && let Some(end) = buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n")
        {
            let head = std::str::from_utf8(&buffer[..end])?.to_ascii_lowercase();
            if !head.starts_with("http/1.1 200") && !head.starts_with("http/1.0 200") {
                bail!("{}", String::from_utf8_lossy(buffer));
            }
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
            let length = length.map(|length| length.trim().parse::<usize>()).transpose()?;
            let closes = head.starts_with("http/1.0") || head.contains("connection: close");
            expected = Some((
                length.map(|length| end + 4 + length),
                if closes { After::Closed } else { After::Kept },
            ));
        }
        match &expected {
            Some((Some(length), _)) if buffer.len() >= *length => {
                return Ok(expected.map_or(After::Closed, |(_, after)| after));
            }
            Some((None, _)) if read == 0 => return Ok(After::Closed),
            _ if read == 0 => return Ok(After::Broken),
            _ => {}
        }
    }
}

/// The median of the rounds, figure by figure.
pub fn summary(rounds: Vec<Round>) -> Value {
    let mut rates: Vec<f64> = rounds.iter().map(|round| round.requests_per_s).collect();
    rates.sort_by(f64::total_cmp);
    let middle = |of: fn(&Round) -> Duration| {
        let mut times: Vec<Duration> = rounds.iter().map(of).collect();
        times.sort_unstable();
        times.get(times.len() / 2).map(Duration::as_micros)
    };
    json!({
        "requests_per_s": rates.get(rates.len() / 2).map(|rate| rate.round()),
        "lowest": rates.first().map(|rate| rate.round()), "highest": rates.last().map(|rate| rate.round()),
        "p50_us": middle(|round| round.p50), "p99_us": middle(|round| round.p99),
        "broken": rounds.iter().map(|round| round.broken).sum::<usize>(),
    })
}
