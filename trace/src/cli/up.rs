//! `trace up`.

use std::{net::SocketAddr, num::NonZeroU32, path::PathBuf};

use clap::Args;
use trace_contracts::Name;

use super::Error;
use crate::up::{self, Options};

const AFTER_HELP: &str = "\
Starts a private PostgreSQL, an object store, the dispatcher, the query service, the egress
gateway and a worker with its sandbox, all on this machine, and prints `ready URL` when they
answer. Everything is kept in the data folder: the next start goes on where this one ended.
Ctrl-C drains and stops; a second one stops at once. RUST_LOG=info says more.

An admin's token for each org is written to DIR/tokens/ORG-admin.jwt. Commands that are given
the same data folder find the platform by themselves, as the admin of the first org.

No task reaches anything outside until a DAG declares it and an admin allows it (`trace egress`).

Example:
  trace up
  trace up --data-dir /var/lib/trace --listen 127.0.0.1:7071 --org main --org rival --slots 4";

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct Up {
    /// The folder to keep everything in
    #[arg(
        long,
        env = "TRACE_DATA_DIR",
        hide_env_values = true,
        value_name = "DIR",
        default_value = ".trace"
    )]
    data_dir: PathBuf,
    /// Where users reach it; an address of this machine alone, because it speaks plain HTTP
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:7070", value_parser = listen)]
    listen: SocketAddr,
    /// An org to have; the first one is the default of the command line
    #[arg(long = "org", value_name = "NAME", default_value = "main")]
    orgs: Vec<Name>,
    /// Tasks that run at once; as many as there are cores, when absent
    #[arg(long, value_name = "N")]
    slots: Option<NonZeroU32>,
    /// The operator's file of the egress gateway: private networks that it may reach, and what it may
    /// not; without it, public addresses alone (see docs/egress.md)
    #[arg(long, value_name = "FILE")]
    egress_policy: Option<PathBuf>,
    /// Authorities (PEM) that are believed beside the system's where receivers of webhooks show their
    /// certificates
    #[arg(long, value_name = "FILE")]
    egress_ca: Option<PathBuf>,
    /// A DNS server that the egress gateway asks instead of those of /etc/resolv.conf; may be repeated
    #[arg(long, value_name = "ADDRESS:PORT")]
    egress_dns: Vec<SocketAddr>,
    /// A folder with secrets of built-in operators: files 0600 named ORG/NAME, such as o1/warehouse, in folders 0700
    /// (see docs/dag-yaml.md)
    #[arg(long, value_name = "DIR")]
    secrets: Option<PathBuf>,
}

impl Up {
    pub async fn run(self) -> Result<(), Error> {
        let options = Options {
            data_dir: self.data_dir,
            listen: self.listen,
            orgs: self.orgs,
            slots: self.slots,
            egress_policy: self.egress_policy,
            egress_ca: self.egress_ca,
            egress_dns: self.egress_dns,
            secrets: self.secrets,
        };
        Ok(up::run(options).await?)
    }
}

/// An address that only this machine reaches.
fn listen(unverified: &str) -> Result<SocketAddr, String> {
    let numeric = match unverified.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => unverified.to_owned(),
    };
    let address: SocketAddr =
        numeric.parse().map_err(|_| "write it as HOST:PORT, such as 127.0.0.1:7070".to_owned())?;
    if address.ip().is_loopback() {
        Ok(address)
    } else {
        Err("`trace up` speaks plain HTTP, so it listens on this machine only (127.0.0.1 or [::1]); put a proxy \
             with TLS before it to let others in"
            .to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_reaches_it() {
        for good in ["127.0.0.1:7070", "localhost:0", "[::1]:7070"] {
            assert!(listen(good).is_ok(), "{good}");
        }
        for bad in ["0.0.0.0:7070", "[::]:7070", "10.1.2.3:7070", "7070", ":7070", "trace.example:7070", ""] {
            assert!(listen(bad).is_err(), "{bad}");
        }
    }
}
