//! What a token says, without any proof. Only controls of the hostile suite come here: what calls this
//! asks first whether a protection stands, and outside of that suite all of them do.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, de::DeserializeOwned};

use super::Error;

#[derive(Deserialize)]
struct Header {
    kid: String,
}

/// The key that a header of any kind names.
pub(super) fn key_id(unverified: &str) -> Result<String, Error> {
    part::<Header>(unverified, 0).map(|header| header.kid)
}

/// The claims of a token that anybody may have made.
pub(super) fn claims<C: DeserializeOwned>(unverified: &str) -> Result<C, Error> {
    part(unverified, 1)
}

fn part<T: DeserializeOwned>(unverified: &str, number: usize) -> Result<T, Error> {
    let part = unverified.split('.').nth(number).ok_or(Error::Malformed)?;
    let json = URL_SAFE_NO_PAD.decode(part).map_err(|_| Error::Malformed)?;
    serde_json::from_slice(&json).map_err(|_| Error::Claims)
}
