//! Addresses that a service calls, and whether they may be called without TLS. Listeners have
//! [`Transport`](crate::Transport) for the same question.

use serde::Deserialize;
use url::{Host, Url};

/// Whether an address that is not of this machine may be called without TLS.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlainHttp {
    /// No.
    #[default]
    Refuse,
    /// Yes: whoever listens on the way sees and changes everything.
    Allow,
}

/// An address that is not called. It is shown without user and path, which may be secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Whoever is on the way would see tokens and data.
    #[error(
        "`{setting}`, {address}, would be called without TLS, and it is not on this machine: use https, or set `plain_http: allow` where you know who listens on the way"
    )]
    Plain {
        /// Its name in the configuration.
        setting: &'static str,
        /// Scheme, host and port.
        address: String,
    },
    /// Another scheme.
    #[error("`{setting}`, {address}, is no service's address: expected https://HOST/ or http://HOST:PORT/")]
    Scheme {
        /// Its name in the configuration.
        setting: &'static str,
        /// Scheme, host and port.
        address: String,
    },
}

impl PlainHttp {
    /// Whether this address may be called.
    ///
    /// # Errors
    /// When it would be called without TLS although it is not on this machine, or not by HTTP at all.
    pub fn admit(self, setting: &'static str, url: &Url) -> Result<(), Refused> {
        let address =
            || format!("{}://{}", url.scheme(), url.authority().rsplit('@').next().unwrap_or_default());
        match url.scheme() {
            "https" => Ok(()),
            "http" if self == Self::Allow || is_of_this_machine(url) => Ok(()),
            "http" => Err(Refused::Plain { setting, address: address() }),
            _ => Err(Refused::Scheme { setting, address: address() }),
        }
    }
}

/// Whether an address leads to this machine by its spelling. Names are not looked up, but for the one that is
/// never anything else.
#[must_use]
pub fn is_of_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.to_canonical().is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admit(plain_http: PlainHttp, address: &str) -> Result<(), Refused> {
        plain_http.admit("query", &address.parse().unwrap())
    }

    #[test]
    fn plain_http_stays_on_this_machine_unless_allowed() {
        for here in [
            "http://127.0.0.1:7003/",
            "http://127.8.9.10/",
            "http://[::1]:1/",
            "http://[::ffff:127.0.0.1]/",
            "http://localhost:7003/",
            "https://query.example/",
        ] {
            assert_eq!(admit(PlainHttp::default(), here), Ok(()), "{here}");
        }
        for away in
            ["http://10.0.0.1/", "http://query.example/", "http://localhost.example/", "http://0.0.0.0/"]
        {
            let refused = admit(PlainHttp::default(), away).unwrap_err().to_string();
            assert!(refused.contains("`query`") && refused.contains("`plain_http: allow`"), "{refused}");
            assert_eq!(admit(PlainHttp::Allow, away), Ok(()), "{away}");
        }
    }

    #[test]
    fn what_may_be_secret_in_an_address_is_not_shown() {
        for address in ["http://user:hush@10.0.0.1/hush?hush", "ftp://user:hush@10.0.0.1/hush"] {
            let refused = admit(PlainHttp::default(), address).unwrap_err().to_string();
            assert!(refused.contains("10.0.0.1") && !refused.contains("hush"), "{refused}");
        }
        assert!(admit(PlainHttp::Allow, "ftp://127.0.0.1/").is_err());
    }
}
