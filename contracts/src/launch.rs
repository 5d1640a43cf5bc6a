//! What a runner in a container of its own starts with: a ticket that it was given, and a nonce that it
//! made up.
//!
//! The ticket travels in a request to start a container, where whoever may describe containers can read it;
//! so it is good for one runner, once. The nonce tells that runner from anybody else who has read the
//! ticket, and is never written down where the ticket is. The dispatcher keeps both as hashes.

use std::{fmt, str::FromStr};

use aws_lc_rs::rand;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{Secret, Sha256};

/// Random bytes of each.
const BYTES: usize = 32;

/// Why a text is neither. It does not show the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected `{prefix}` and 43 characters of base64url")]
pub struct Invalid {
    prefix: &'static str,
}

macro_rules! random_text {
    ($($(#[$doc:meta])* $name:ident, $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq)]
        pub struct $name(Secret<String>);

        impl $name {
            /// A new one.
            ///
            /// # Panics
            /// When the machine has no randomness, which is a broken machine.
            #[must_use]
            pub fn random() -> Self {
                let mut bytes = [0; BYTES];
                // Unwrap safety: the library's generator fails only where the kernel has none.
                rand::fill(&mut bytes).expect("the kernel has randomness");
                Self(Secret::new(format!("{}{}", $prefix, BASE64_URL_SAFE_NO_PAD.encode(bytes))))
            }

            /// The text itself. Do not log it.
            #[must_use]
            pub fn expose(&self) -> &str {
                self.0.expose()
            }

            /// What is kept of it.
            #[must_use]
            pub fn sha256(&self) -> Sha256 {
                Sha256::of(self.expose().as_bytes())
            }
        }

        impl FromStr for $name {
            type Err = Invalid;

            fn from_str(unverified: &str) -> Result<Self, Invalid> {
                let digits = unverified.strip_prefix($prefix).and_then(|text| BASE64_URL_SAFE_NO_PAD.decode(text).ok());
                match digits {
                    Some(bytes) if bytes.len() == BYTES => Ok(Self(Secret::new(unverified.to_owned()))),
                    _ => Err(Invalid { prefix: $prefix }),
                }
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.expose())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let unverified = String::deserialize(deserializer)?;
                unverified.parse().map_err(de::Error::custom)
            }
        }
    )*};
}

random_text! {
    /// A single-use right to be the runner of one attempt.
    LaunchTicket, "tlt_";
    /// What a runner makes up once, so that it can ask again after a lost reply and nobody else can.
    LaunchNonce, "tln_";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tickets_come_back_do_not_repeat_and_are_not_shown() {
        let ticket = LaunchTicket::random();
        assert_eq!(ticket.expose().parse::<LaunchTicket>().unwrap(), ticket);
        assert_ne!(ticket, LaunchTicket::random());
        assert!(!format!("{ticket:?}").contains(&ticket.expose()[8..]));
        let nonce = LaunchNonce::random();
        assert!(nonce.expose().parse::<LaunchTicket>().is_err(), "a nonce is no ticket");
        for odd in ["", "tlt_", "tlt_AAAA", &format!("{}A", ticket.expose()), &ticket.expose()[..46]] {
            assert!(odd.parse::<LaunchTicket>().is_err(), "{odd}");
        }
    }

    #[test]
    fn an_error_does_not_show_what_was_sent() {
        let error = "tlt_hunter2".parse::<LaunchTicket>().unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}
