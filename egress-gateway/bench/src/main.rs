//! The egress benchmark. Prints one JSON line:
//!
//! ```text
//! {"bench":"egress","gateway":{"requests_per_s":…,"p50_us":…,"p99_us":…},"squid":{…},…,"tunnels":{…}}
//! ```
//! - Requests: the same load on the same destination through the gateway, squid and tinyproxy, and directly, in
//!   turns. A contender that this machine lacks is named as absent.
//! - Tunnels: the gateway's resident memory with many idle ones.

mod contenders;
mod gateway;
mod load;
mod tokens;
mod tunnels;
mod upstream;

use std::{fs, net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::Context;
use clap::Parser;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::{Map, Value, json};

use crate::{
    contenders::Contender,
    gateway::Gateway,
    load::{Load, Round},
};

/// Measures the egress gateway beside squid, tinyproxy and no proxy.
#[derive(Debug, Parser)]
struct Arguments {
    /// The gateway; the one beside this program when absent.
    #[arg(long)]
    program: Option<PathBuf>,
    /// Connections that ask at the same time.
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// Bytes of each answer's body.
    #[arg(long, default_value_t = 1024)]
    body: usize,
    /// Times that each contender has its turn.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds of a turn.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Idle tunnels.
    #[arg(long, default_value_t = 10_000)]
    tunnels: usize,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let load_average = fs::read_to_string("/proc/loadavg")?.split(' ').next().unwrap_or_default().to_owned();
    let possible = open_files()?;
    let tunnels = arguments.tunnels.min(possible);
    if tunnels < arguments.tunnels {
        eprintln!(
            "egress: this machine's limit on open files allows {tunnels} tunnels: raise `ulimit -Hn` for more"
        );
    }
    let program = match &arguments.program {
        Some(program) => program.clone(),
        None => std::env::current_exe()?.with_file_name("egress-gateway"),
    };
    let folder = tempfile::tempdir()?;
    let upstream = upstream::start(arguments.body).await?;
    let gateway = Gateway::start(&program, folder.path(), upstream).await?;
    let mut figures = requests(&arguments, &gateway, upstream, folder.path()).await?;
    let tunnels = tunnels::idle(&gateway, upstream, tunnels).await.context("the tunnels")?;
    figures.insert("tunnels".to_owned(), tunnels);
    let mut line = json!({
        "bench": "egress", "connections": arguments.connections, "body_bytes": arguments.body,
        "rounds": arguments.rounds, "seconds": arguments.seconds,
        "cores": std::thread::available_parallelism()?.get(), "load_average": load_average,
    });
    line.as_object_mut().context("an object")?.append(&mut figures);
    println!("{line}");
    Ok(())
}

/// Raises the limit on open files as far as it goes, for the gateway too, which inherits it; gives back how many
/// tunnels that allows. Each is two sockets here and two in the gateway.
fn open_files() -> anyhow::Result<usize> {
    /// What is open besides tunnels.
    const OTHERS: u64 = 500;
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    Ok(usize::try_from(most.saturating_sub(OTHERS) / 2)?)
}

/// Every contender in turns, each round in the same order; of each the median of its rounds.
async fn requests(
    arguments: &Arguments,
    gateway: &Gateway,
    upstream: SocketAddr,
    folder: &std::path::Path,
) -> anyhow::Result<Map<String, Value>> {
    let (squid, tinyproxy) = (contenders::squid(folder).await?, contenders::tinyproxy(folder).await?);
    let authorization = format!("Proxy-Authorization: Bearer {}\r\n", gateway.token);
    let proxies = [
        (
            "direct",
            Contender::At { address: upstream, _process: None },
            format!("GET /x HTTP/1.1\r\nHost: {upstream}\r\n\r\n"),
        ),
        ("gateway", gateway.contender(), through(upstream, &authorization)),
        ("squid", squid, through(upstream, "")),
        ("tinyproxy", tinyproxy, through(upstream, "")),
    ];
    let mut rounds: Vec<Vec<Round>> = proxies.iter().map(|_| Vec::new()).collect();
    for round in 0..=arguments.rounds {
        for ((name, contender, request), rounds) in proxies.iter().zip(&mut rounds) {
            let Contender::At { address, .. } = contender else { continue };
            // The first round warms up and is not counted.
            let time =
                if round == 0 { Duration::from_millis(500) } else { Duration::from_secs(arguments.seconds) };
            let load = Load {
                address: *address,
                request: request.clone(),
                connections: arguments.connections,
                time,
            };
            let measured = load.run().await.with_context(|| (*name).to_owned())?;
            if round > 0 {
                rounds.push(measured);
            }
        }
    }
    let mut figures = Map::new();
    for ((name, contender, _), rounds) in proxies.iter().zip(rounds) {
        let figure = match contender {
            Contender::At { .. } => load::summary(rounds),
            Contender::Absent => json!({ "absent": format!("{name} is not installed on this machine") }),
        };
        figures.insert((*name).to_owned(), figure);
    }
    let rate = |name: &str| figures[name]["requests_per_s"].as_f64();
    if let (Some(ours), Some(theirs)) = (rate("gateway"), rate("squid")) {
        figures.insert("times_squid".to_owned(), json!((ours / theirs * 100.0).round() / 100.0));
    }
    Ok(figures)
}

/// A request in absolute-form.
fn through(upstream: SocketAddr, more: &str) -> String {
    format!("GET http://{upstream}/x HTTP/1.1\r\nHost: {upstream}\r\n{more}\r\n")
}
