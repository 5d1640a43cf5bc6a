//! Signing, as the Standard Webhooks specification (version 1.0.0) has it: receivers check it with a library
//! of theirs. HMAC-SHA256 over `id.timestamp.body`, one signature for each key that is in force.

use aws_lc_rs::hmac;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use trace_contracts::Secret;

use super::seal::{Error, random};

/// What keys start with where people handle them.
const PREFIX: &str = "whsec_";
/// A new key has so many random bytes; the specification asks for 24 to 64.
const KEY_BYTES: usize = 32;

/// A key that signs.
pub struct SigningSecret(Vec<u8>);

impl SigningSecret {
    /// A new one.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn generate() -> Result<Self, Error> {
        random::<KEY_BYTES>().map(|bytes| Self(bytes.to_vec())).ok_or(Error::Seal)
    }

    /// One that was stored.
    #[must_use]
    pub const fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// To store it.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// As a receiver configures it.
    #[must_use]
    pub fn shown(&self) -> Secret<String> {
        Secret::new(format!("{PREFIX}{}", BASE64_STANDARD.encode(&self.0)))
    }

    fn sign(&self, content: &[u8]) -> String {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &self.0), content);
        format!("v1,{}", BASE64_STANDARD.encode(tag.as_ref()))
    }
}

/// The value of `webhook-signature`.
#[must_use]
pub fn signature(keys: &[SigningSecret], message_id: &str, timestamp: i64, body: &str) -> Secret<String> {
    let content = format!("{message_id}.{timestamp}.{body}");
    let signatures: Vec<String> = keys.iter().map(|key| key.sign(content.as_bytes())).collect();
    Secret::new(signatures.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's own libraries.
    #[test]
    fn it_signs_as_the_specification_s_example() {
        let key = BASE64_STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let body = r#"{"test": 2432232314}"#;
        let signed = signature(&[SigningSecret(key)], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(signed.expose(), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn each_key_signs_and_is_shown_as_receivers_read_it() {
        let (old, new) = (SigningSecret::generate().unwrap(), SigningSecret::generate().unwrap());
        assert_ne!(old.as_bytes(), new.as_bytes());
        let shown = new.shown();
        let encoded = shown.expose().strip_prefix(PREFIX).unwrap();
        assert_eq!(BASE64_STANDARD.decode(encoded).unwrap(), new.as_bytes());
        let both = signature(&[new, old], "id", 1, "{}");
        assert_eq!(both.expose().split(' ').count(), 2);
    }
}
