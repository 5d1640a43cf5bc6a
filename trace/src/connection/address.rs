//! Where a platform is.

use std::{fmt, str::FromStr};

use trace_plane::outgoing::is_of_this_machine;
use url::Url;

/// Why a text is not the address of a platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAddress {
    /// Not an `http` or `https` address.
    #[error(
        "`{0}` is not the address of a platform: use https://HOST, or http://127.0.0.1:PORT on this machine"
    )]
    Form(String),
    /// Tokens would travel in the clear.
    #[error(
        "`{0}` is refused: tokens are not sent over plain HTTP to another machine. Use https://, or a tunnel to 127.0.0.1"
    )]
    PlainHttp(String),
}

/// The address of a platform: `https`, or `http` on this machine; ends in `/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address(Url);

impl Address {
    /// The address of a path below this one; each segment is escaped.
    #[must_use]
    pub fn join(&self, segments: &[&str]) -> Url {
        let mut url = self.0.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }

    /// Whether it is on this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        is_of_this_machine(&self.0)
    }
}

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(unverified: &str) -> Result<Self, InvalidAddress> {
        let shown = || unverified.chars().take(120).collect::<String>();
        let url = Url::parse(unverified.trim()).map_err(|_| InvalidAddress::Form(shown()))?;
        let plain = matches!(url.scheme(), "http" | "https") && url.host().is_some();
        let bare = url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        if !plain || !bare {
            return Err(InvalidAddress::Form(shown()));
        }
        let address = Self(url);
        if address.0.scheme() == "http" && !address.is_loopback() {
            return Err(InvalidAddress::PlainHttp(shown()));
        }
        Ok(address)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_go_over_plain_http_to_this_machine_only() {
        for good in [
            "http://127.0.0.1:7070",
            "http://127.9.9.9",
            "http://[::1]:1/",
            "http://localhost:1",
            "https://a.b/c",
        ] {
            assert!(good.parse::<Address>().is_ok(), "{good}");
        }
        for bad in [
            "http://10.0.0.1:7070",
            "http://trace.example",
            "http://localhost.evil.example",
            "http://0.0.0.0:1",
            "http://127.0.0.1.evil.example",
        ] {
            assert!(matches!(bad.parse::<Address>(), Err(InvalidAddress::PlainHttp(_))), "{bad}");
        }
        for bad in ["", "trace", "ftp://127.0.0.1", "https://user:pw@a.b", "https://a.b/?q", "https://a.b/#f"]
        {
            assert!(matches!(bad.parse::<Address>(), Err(InvalidAddress::Form(_))), "{bad}");
        }
    }

    #[test]
    fn segments_are_escaped() {
        let address: Address = "https://a.b/trace".parse().unwrap();
        assert_eq!(
            address.join(&["v1", "dags", "a/../b?c"]).as_str(),
            "https://a.b/trace/v1/dags/a%2F..%2Fb%3Fc"
        );
    }
}
