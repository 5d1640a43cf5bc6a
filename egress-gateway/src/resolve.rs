//! From a name to all of its addresses, by servers of our own choice: no hosts file, no search list, and
//! one answer for whoever judges and whoever dials.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use hickory_resolver::{
    Resolver as Hickory, TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts},
    lookup::Lookup,
    net::{NetError, runtime::TokioRuntimeProvider},
    proto::rr::{Name, RData, RecordType},
    system_conf::read_system_conf,
};
use trace_contracts::HostName;
use trace_controls::{Protection, limited};

use crate::policy::Rule;

/// Aliases (CNAME) from a name to its addresses, at most.
const MAX_ALIASES: u64 = 8;
/// Answers are believed for this long, however long their servers say.
const MAX_TTL: Duration = Duration::from_secs(60);
/// That there is no such name is believed for this long.
const MAX_NEGATIVE_TTL: Duration = Duration::from_secs(5);
/// Answers remembered.
const REMEMBERED: u64 = 4_096;
/// Each server is given this part of the time.
const PATIENCE: u32 = 3;

/// Why there is no resolver.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The parts don't fit.
    #[error("the resolver can't be built: {0}")]
    Build(#[from] NetError),
}

/// Looks names up.
pub struct Resolver {
    /// Absent where no server is known: then no name is answered.
    inner: Option<TokioResolver>,
    within: Duration,
}

impl Resolver {
    /// A resolver that asks these servers, or those of `/etc/resolv.conf` when there are none, and answers
    /// within a time. Where there is nobody to ask, addresses can be reached all the same, and names can't.
    ///
    /// # Errors
    /// When the parts don't fit.
    pub fn new(servers: &[SocketAddr], within: Duration) -> Result<Self, Error> {
        let servers = if servers.is_empty() {
            match read_system_conf() {
                Ok((system, _)) => system.name_servers().to_vec(),
                Err(error) => {
                    let unset = "no name is resolved: set `dns_servers`, or name one in /etc/resolv.conf";
                    tracing::warn!(%error, "{unset}");
                    return Ok(Self { inner: None, within });
                }
            }
        } else {
            servers.iter().copied().map(server).collect()
        };
        let config = ResolverConfig::from_name_servers(servers);
        let inner = Hickory::builder_with_config(config, TokioRuntimeProvider::default())
            .with_options(options(within))
            .build()?;
        Ok(Self { inner: Some(inner), within })
    }

    /// Every address of a name.
    ///
    /// # Errors
    /// The rule by which a name without a plain answer is refused.
    pub async fn addresses(&self, name: &HostName) -> Result<Vec<IpAddr>, Rule> {
        let inner = self.inner.as_ref().ok_or(Rule::NameUnanswered)?;
        // Fully qualified, so that no search list is ever tried.
        let name = Name::from_ascii(format!("{name}.")).map_err(|_| Rule::NameNotFound)?;
        let asking = async {
            tokio::join!(
                inner.lookup(name.clone(), RecordType::A),
                inner.lookup(name.clone(), RecordType::AAAA),
            )
        };
        let (v4, v6) = tokio::time::timeout(self.within, asking).await.map_err(|_| Rule::NameUnanswered)?;
        match (read(&name, v4), read(&name, v6)) {
            (Ok(mut addresses), Ok(more)) => {
                addresses.extend(more);
                if addresses.is_empty() { Err(Rule::NameNotFound) } else { Ok(addresses) }
            }
            (Err(rule @ Rule::LongAliasChain), _) | (_, Err(rule @ Rule::LongAliasChain)) => Err(rule),
            // What is known of the name was judged whole; half an answer is all that will be dialled.
            (Ok(addresses), Err(rule)) | (Err(rule), Ok(addresses)) => {
                if addresses.is_empty() {
                    Err(rule)
                } else {
                    Ok(addresses)
                }
            }
            (Err(rule), Err(_)) => Err(rule),
        }
    }
}

fn server(address: SocketAddr) -> NameServerConfig {
    let at = |mut connection: ConnectionConfig| {
        connection.port = address.port();
        connection
    };
    let connections = vec![at(ConnectionConfig::udp()), at(ConnectionConfig::tcp())];
    NameServerConfig::new(address.ip(), true, connections)
}

fn options(within: Duration) -> ResolverOpts {
    let mut options = ResolverOpts::default();
    options.use_hosts_file = ResolveHosts::Never;
    options.timeout = within / PATIENCE;
    options.attempts = 1;
    options.cache_size = REMEMBERED;
    options.positive_max_ttl = Some(MAX_TTL);
    options.negative_max_ttl = Some(MAX_NEGATIVE_TTL);
    options.preserve_intermediates = true;
    options
}

/// The addresses at the end of a name's chain of aliases; none when the name is there and has none.
fn read(name: &Name, answer: Result<Lookup, NetError>) -> Result<Vec<IpAddr>, Rule> {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) if error.is_no_records_found() => return Ok(Vec::new()),
        Err(error) => {
            tracing::debug!(%name, %error, "a name could not be looked up");
            return Err(Rule::NameUnanswered);
        }
    };
    let mut owner = name;
    let mut aliases = 0;
    while let Some(next) = answer.answers().iter().find_map(|record| match &record.data {
        RData::CNAME(target) if record.name == *owner => Some(&target.0),
        _ => None,
    }) {
        aliases += 1;
        if aliases > limited(Protection::AliasBound, MAX_ALIASES) {
            return Err(Rule::LongAliasChain);
        }
        owner = next;
    }
    let mut addresses = Vec::new();
    for record in answer.answers().iter().filter(|record| record.name == *owner) {
        match &record.data {
            RData::A(address) => addresses.push(IpAddr::V4(address.0)),
            RData::AAAA(address) => addresses.push(IpAddr::V6(address.0)),
            _ => {}
        }
    }
    Ok(addresses)
}
