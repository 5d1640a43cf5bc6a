//! What an admin's rule of egress is about: one destination, or every name below a domain.

use std::{fmt, str::FromStr};

use crate::{
    destination::{Destination, Host, HostName, InvalidDestination},
    text_form::text_form,
};

/// What stands before the domain of a pattern.
const STAR: &str = "*.";

/// `api.example.com:443`, or `*.example.com:443` for every name that ends in `.example.com`, however many
/// labels stand before it. `example.com` itself is not among them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DestinationPattern(Form);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Form {
    /// This destination.
    One(Destination),
    /// The names below this one, at its port. It has two labels at least.
    Below(HostName, u16),
}

/// Why a text is not a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum InvalidPattern {
    /// What follows the star, or the whole, is no destination.
    #[error(transparent)]
    Destination(#[from] InvalidDestination),
    /// `*:443`, `*.com:443`: nobody knows whose names these are.
    #[error(
        "a star stands for names of one owner: write at least two labels after it, as in *.example.com:443"
    )]
    TooBroad,
    /// `a*.example.com:443`, `api.*.com:443`.
    #[error("a star stands alone before the first dot, as in *.example.com:443")]
    Star,
}

impl DestinationPattern {
    /// Whether it is about this destination.
    #[must_use]
    pub fn matches(&self, destination: &Destination) -> bool {
        match (&self.0, &destination.host) {
            (Form::One(one), _) => one == destination,
            (Form::Below(domain, port), Host::Name(name)) => {
                let before = name.strip_suffix(&**domain).and_then(|before| before.strip_suffix('.'));
                *port == destination.port() && before.is_some_and(|before| !before.is_empty())
            }
            (Form::Below(..), Host::Address(_)) => false,
        }
    }
}

impl FromStr for DestinationPattern {
    type Err = InvalidPattern;

    fn from_str(unverified: &str) -> Result<Self, InvalidPattern> {
        let Some(rest) = unverified.strip_prefix(STAR) else {
            if unverified.starts_with("*:") {
                return Err(InvalidPattern::TooBroad);
            }
            if unverified.contains('*') {
                return Err(InvalidPattern::Star);
            }
            return Ok(Self(Form::One(unverified.parse()?)));
        };
        if rest.contains('*') {
            return Err(InvalidPattern::Star);
        }
        let below: Destination = rest.parse()?;
        let port = below.port();
        match below.host {
            Host::Name(name) if name.contains('.') => Ok(Self(Form::Below(name, port))),
            Host::Name(_) => Err(InvalidPattern::TooBroad),
            Host::Address(_) => Err(InvalidPattern::Star),
        }
    }
}

impl fmt::Display for DestinationPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::One(destination) => fmt::Display::fmt(destination, f),
            Form::Below(name, port) => write!(f, "{STAR}{name}:{port}"),
        }
    }
}

impl From<Destination> for DestinationPattern {
    fn from(destination: Destination) -> Self {
        Self(Form::One(destination))
    }
}

text_form!(DestinationPattern);

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, destination: &str) -> bool {
        let pattern: DestinationPattern = pattern.parse().unwrap();
        pattern.matches(&destination.parse().unwrap())
    }

    #[test]
    fn a_pattern_is_one_destination_or_the_names_below_one() {
        for (pattern, destination, expected) in [
            ("api.example.com:443", "api.example.com:443", true),
            ("API.Example.com:443", "api.example.COM:443", true),
            ("api.example.com:443", "api.example.com:80", false),
            ("api.example.com:443", "x.api.example.com:443", false),
            ("*.example.com:443", "api.example.com:443", true),
            ("*.example.com:443", "a.b.c.example.com:443", true),
            ("*.example.com:443", "example.com:443", false),
            ("*.example.com:443", "api.example.com:8443", false),
            ("*.example.com:443", "evilexample.com:443", false),
            ("*.example.com:443", "api.example.com.evil.net:443", false),
            ("192.0.2.7:443", "192.0.2.7:443", true),
            ("[2001:db8::1]:443", "[2001:db8::1]:443", true),
            ("*.example.com:443", "192.0.2.7:443", false),
        ] {
            assert_eq!(matches(pattern, destination), expected, "{pattern} and {destination}");
        }
    }

    #[test]
    fn what_is_too_broad_or_can_be_read_in_two_ways_is_refused() {
        for (bad, why) in [
            ("*:443", InvalidPattern::TooBroad),
            ("*.com:443", InvalidPattern::TooBroad),
            ("*", InvalidPattern::Star),
            ("*.*.example.com:443", InvalidPattern::Star),
            ("a*.example.com:443", InvalidPattern::Star),
            ("api.*.com:443", InvalidPattern::Star),
            ("*.192.0.2.7:443", InvalidPattern::Star),
            ("*.example.com", InvalidPattern::Destination(InvalidDestination::NoPort)),
            ("*..example.com:443", InvalidPattern::Destination(InvalidDestination::Label)),
            ("*.example.com.:443", InvalidPattern::Destination(InvalidDestination::TrailingDot)),
            ("api.example.com:0", InvalidPattern::Destination(InvalidDestination::Port)),
        ] {
            assert_eq!(bad.parse::<DestinationPattern>(), Err(why), "{bad}");
        }
    }

    #[test]
    fn a_pattern_is_written_as_it_is_read() {
        for text in ["api.example.com:443", "*.example.com:443", "[2001:db8::1]:443"] {
            assert_eq!(text.parse::<DestinationPattern>().unwrap().to_string(), text);
        }
    }
}
