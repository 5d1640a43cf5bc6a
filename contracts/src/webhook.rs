//! Where a webhook's deliveries go: an `https` address, read so that every part reads the same.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{
    Secret,
    destination::{Destination, InvalidDestination},
};

/// The one scheme that deliveries are sent by.
const SCHEME: &str = "https://";
/// Its port, where an address names none.
const HTTPS: u16 = 443;
/// A longer path with its query is none.
const MAX_TARGET_BYTES: usize = 2_000;

/// An address that deliveries are sent to. Its path and query may hold a secret of the receiver's, so they are
/// not printed, and neither is what could not be read.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookUrl {
    destination: Destination,
    target: Secret<String>,
}

/// Why a text is not such an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidWebhookUrl {
    /// `http`, another scheme, or none.
    #[error("a webhook's address starts with `https://`: what is sent is for its receiver alone")]
    Scheme,
    /// Its host and port are no destination.
    #[error(transparent)]
    Destination(#[from] InvalidDestination),
    /// A character that no address has as it is.
    #[error(
        "the path and query of an address are plain ASCII without spaces, quotes, `#` and the like: escape them"
    )]
    Character,
    /// A path that is too long.
    #[error("the path and query of an address have at most {MAX_TARGET_BYTES} bytes")]
    TooLong,
}

impl WebhookUrl {
    /// An address from its parts, as [`target`](Self::target) gave one of them.
    ///
    /// # Errors
    /// When `target` is no path with a query.
    pub fn from_parts(destination: Destination, target: String) -> Result<Self, InvalidWebhookUrl> {
        if target.len() > MAX_TARGET_BYTES {
            return Err(InvalidWebhookUrl::TooLong);
        }
        // What RFC 3986 allows in a path or a query.
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:@/?".contains(&b);
        if !target.starts_with('/') || !target.bytes().all(allowed) {
            return Err(InvalidWebhookUrl::Character);
        }
        Ok(Self { destination, target: Secret::new(target) })
    }

    /// Where to connect.
    #[must_use]
    pub const fn destination(&self) -> &Destination {
        &self.destination
    }

    /// The path and the query, which may be secret.
    #[must_use]
    pub const fn target(&self) -> &Secret<String> {
        &self.target
    }

    /// What `Host` says: without the port where it is the scheme's own.
    #[must_use]
    pub fn host_header(&self) -> String {
        let text = self.destination.to_string();
        if self.destination.port() == HTTPS { text.trim_end_matches(":443").to_owned() } else { text }
    }
}

impl FromStr for WebhookUrl {
    type Err = InvalidWebhookUrl;

    fn from_str(unverified: &str) -> Result<Self, InvalidWebhookUrl> {
        let rest = unverified.strip_prefix(SCHEME).ok_or(InvalidWebhookUrl::Scheme)?;
        let (authority, target) = rest.split_at(rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len()));
        let destination = Destination::parse_with_default_port(authority, HTTPS)?;
        let slash = if target.starts_with('/') { "" } else { "/" };
        Self::from_parts(destination, format!("{slash}{target}"))
    }
}

impl fmt::Debug for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/[redacted]", self.destination)
    }
}

impl Serialize for WebhookUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{SCHEME}{}{}", self.destination, self.target.expose()))
    }
}

impl<'de> Deserialize<'de> for WebhookUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(String, String, String), InvalidWebhookUrl> {
        let url: WebhookUrl = text.parse()?;
        Ok((url.destination().to_string(), url.target().expose().clone(), url.host_header()))
    }

    #[test]
    fn an_address_is_a_destination_and_a_target() {
        for (text, destination, target, host) in [
            ("https://hooks.example.com", "hooks.example.com:443", "/", "hooks.example.com"),
            (
                "https://Hooks.example.com/a/b?c=d%20",
                "hooks.example.com:443",
                "/a/b?c=d%20",
                "hooks.example.com",
            ),
            ("https://hooks.example.com:8443?q", "hooks.example.com:8443", "/?q", "hooks.example.com:8443"),
            ("https://[2001:db8::1]/x", "[2001:db8::1]:443", "/x", "[2001:db8::1]"),
            ("https://example.com/@other.com/", "example.com:443", "/@other.com/", "example.com"),
        ] {
            let expected = (destination.to_owned(), target.to_owned(), host.to_owned());
            assert_eq!(read(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused_and_not_repeated() {
        for bad in [
            "http://hooks.example.com/",
            "hooks.example.com",
            "HTTPS://hooks.example.com/",
            "https://",
            "https://user:hunter2@example.com/",
            "https://example.com/hunter2#x",
            "https://example.com#x",
            "https://example.com\\@hunter2.com/",
            "https://example.com/hunter2 x",
            "https://example.com/\nhunter2",
            "https://example.com/hunter2\u{e4}",
            "https://127.1/",
            "https://example.com:0/",
            "https://exa mple.com/",
            "https://example.com./",
            "https:///hunter2",
            &format!("https://example.com/{}", "x".repeat(2_000)),
        ] {
            let error = read(bad).expect_err(bad).to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn debug_hides_the_path() {
        let url: WebhookUrl = "https://hooks.example.com/services/hunter2".parse().unwrap();
        assert_eq!(format!("{url:?}"), "https://hooks.example.com:443/[redacted]");
        let json = serde_json::to_string(&url).unwrap();
        assert_eq!(serde_json::from_str::<WebhookUrl>(&json).unwrap(), url);
    }
}
