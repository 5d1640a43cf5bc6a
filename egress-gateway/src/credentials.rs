//! The capability in `Proxy-Authorization`.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, header::PROXY_AUTHORIZATION};
use trace_contracts::{ErrorCode, token::MAX_TOKEN_BYTES};
use trace_plane::{Refusal, Reply};

/// A user's name before the token, in `Basic`.
const MAX_USER_BYTES: usize = 256;

/// The token of a request: `Bearer TOKEN`, or `Basic` with any user and the token as password, which is all
/// that many clients can send.
///
/// # Errors
/// `unauthenticated` when the header is missing, repeated, or of another form.
pub(crate) fn token(headers: &HeaderMap) -> Reply<String> {
    let refuse = || {
        let detail =
            "send one header `Proxy-Authorization`: `Bearer TOKEN`, or `Basic` with the token as password";
        Refusal::new(ErrorCode::Unauthenticated, detail)
    };
    let mut values = headers.get_all(PROXY_AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Err(refuse()) };
    let (scheme, value) = value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(refuse)?;
    let token = if scheme.eq_ignore_ascii_case("bearer") {
        value.to_owned()
    } else if scheme.eq_ignore_ascii_case("basic") {
        password(value).ok_or_else(refuse)?
    } else {
        return Err(refuse());
    };
    if token.is_empty() || token.len() > MAX_TOKEN_BYTES { Err(refuse()) } else { Ok(token) }
}

fn password(value: &str) -> Option<String> {
    if value.len() > (MAX_TOKEN_BYTES + MAX_USER_BYTES) / 3 * 4 + 4 {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(value).ok()?).ok()?;
    decoded.split_once(':').map(|(_user, token)| token.to_owned())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(values: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(PROXY_AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        token(&headers).ok()
    }

    #[test]
    fn a_bearer_token_or_a_basic_password_is_taken_once() {
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        assert_eq!(read(&["Bearer abc"]).as_deref(), Some("abc"));
        assert_eq!(read(&["bearer abc"]).as_deref(), Some("abc"));
        assert_eq!(read(&[&basic("trace:abc")]).as_deref(), Some("abc"));
        assert_eq!(read(&[&basic(":abc")]).as_deref(), Some("abc"));
        for bad in
            [&[][..], &["Bearer abc", "Bearer abc"], &["Bearer"], &["Bearer "], &["Digest abc"], &["Basic !"]]
        {
            assert_eq!(read(bad), None, "{bad:?}");
        }
        assert_eq!(read(&[&basic("no colon")]), None);
        assert_eq!(read(&[&basic("trace:")]), None);
        assert_eq!(read(&[&format!("Bearer {}", "a".repeat(MAX_TOKEN_BYTES + 1))]), None);
    }
}
