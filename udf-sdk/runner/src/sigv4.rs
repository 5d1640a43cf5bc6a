//! AWS Signature Version 4, for one request to the object store.

use aws_lc_rs::hmac::{self, HMAC_SHA256, Key};
use chrono::{DateTime, Utc};
use trace_contracts::{Secret, Sha256};

/// What is signed.
#[derive(Debug)]
pub struct Request<'a> {
    /// Such as `PUT`.
    pub method: &'a str,
    /// As it is sent, encoded by [`encode`].
    pub path: &'a str,
    /// Names in lower case, with all that is sent and matters; `host` is among them.
    pub headers: &'a [(&'a str, &'a str)],
    /// The hash of the body.
    pub body: Sha256,
}

/// Who signs.
#[derive(Debug)]
pub struct Signer<'a> {
    /// Access key id.
    pub access_key_id: &'a str,
    /// Secret access key.
    pub secret_access_key: &'a Secret<String>,
    /// The region.
    pub region: &'a str,
}

/// A time as the header `x-amz-date` has it.
#[must_use]
pub fn amz_date(at: DateTime<Utc>) -> String {
    at.format("%Y%m%dT%H%M%SZ").to_string()
}

impl Signer<'_> {
    /// The header `authorization` of a request that is sent at `date`, as [`amz_date`] writes it.
    #[must_use]
    pub fn authorization(&self, request: &Request<'_>, date: &str) -> String {
        let mut headers = request.headers.to_vec();
        headers.sort_unstable();
        let names = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
        let lines: String =
            headers.iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect();
        let Request { method, path, body, .. } = request;
        let canonical = format!("{method}\n{path}\n\n{lines}\n{names}\n{body}");
        let day = &date[..8];
        let scope = format!("{day}/{}/s3/aws4_request", self.region);
        let hash = Sha256::of(canonical.as_bytes());
        let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{hash}");
        let first = format!("AWS4{}", self.secret_access_key.expose());
        let key = [day, self.region, "s3", "aws4_request"]
            .iter()
            .fold(first.into_bytes(), |key, part| mac(&key, part));
        let (id, signature) = (self.access_key_id, hex::encode(mac(&key, &text)));
        format!("AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}")
    }
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&Key::new(HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

/// A path as S3 wants it: everything but unreserved characters and `/` is escaped.
#[must_use]
pub fn encode(path: &str) -> String {
    let mut encoded = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                encoded.push(char::from(byte));
            }
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of "Authenticating Requests: Using the Authorization Header" in Amazon's S3 reference.
    #[test]
    fn amazons_own_example_is_signed_as_amazon_does() {
        let body = Sha256::of(b"");
        let hash = body.to_string();
        let headers = [
            ("host", "examplebucket.s3.amazonaws.com"),
            ("range", "bytes=0-9"),
            ("x-amz-content-sha256", hash.as_str()),
            ("x-amz-date", "20130524T000000Z"),
        ];
        let secret = Secret::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned());
        let signer =
            Signer { access_key_id: "AKIAIOSFODNN7EXAMPLE", secret_access_key: &secret, region: "us-east-1" };
        let request = Request { method: "GET", path: "/test.txt", headers: &headers, body };
        let authorization = signer.authorization(&request, "20130524T000000Z");
        let expected = "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41";
        assert!(authorization.ends_with(expected), "{authorization}");
    }

    #[test]
    fn a_path_is_escaped_byte_by_byte() {
        assert_eq!(encode("a/b c+ä=~.x"), "a/b%20c%2B%C3%A4%3D~.x");
    }
}
