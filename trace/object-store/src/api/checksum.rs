//! Checksums that came with a body: in headers before it, or in trailers after it.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::HeaderMap;
use s3s::{
    S3Result, TrailingHeaders,
    checksum::ChecksumHasher,
    crypto::{Checksum as _, Md5},
    dto::Checksum,
    s3_error,
};

/// The headers that carry a checksum.
const NAMES: [&str; 5] = [
    "x-amz-checksum-crc32",
    "x-amz-checksum-crc32c",
    "x-amz-checksum-crc64nvme",
    "x-amz-checksum-sha1",
    "x-amz-checksum-sha256",
];

/// What a body is checked against, computed as it arrives.
pub(super) struct Checks {
    hasher: ChecksumHasher,
    expected: Checksum,
    trailers: Vec<String>,
    md5: Option<(Md5, Vec<u8>)>,
}

impl Checks {
    /// Finds out what the sender promises. A promise that can't be checked is refused.
    pub(super) fn promised(headers: &HeaderMap) -> S3Result<Self> {
        let mut checks = Self {
            hasher: ChecksumHasher::default(),
            expected: Checksum::default(),
            trailers: vec![],
            md5: None,
        };
        for name in NAMES {
            if let Some(value) = text(headers, name)? {
                checks.hash(name)?;
                checks.expect(name, value)?;
            }
        }
        for name in text(headers, "x-amz-trailer")?.unwrap_or_default().split(',').map(str::trim) {
            if !name.is_empty() {
                checks.hash(name)?;
                checks.trailers.push(name.to_owned());
            }
        }
        if let Some(value) = text(headers, "content-md5")? {
            let expected = STANDARD.decode(value).ok().filter(|digest| digest.len() == 16);
            let expected = expected.ok_or_else(|| s3_error!(InvalidDigest, "`content-md5` is not an MD5"))?;
            checks.md5 = Some((Md5::new(), expected));
        }
        Ok(checks)
    }

    fn hash(&mut self, name: &str) -> S3Result<()> {
        let hasher = &mut self.hasher;
        match name {
            "x-amz-checksum-crc32" => hasher.crc32 = Some(Default::default()),
            "x-amz-checksum-crc32c" => hasher.crc32c = Some(Default::default()),
            "x-amz-checksum-crc64nvme" => hasher.crc64nvme = Some(Default::default()),
            "x-amz-checksum-sha1" => hasher.sha1 = Some(Default::default()),
            "x-amz-checksum-sha256" => hasher.sha256 = Some(Default::default()),
            _ => {
                return Err(s3_error!(
                    InvalidRequest,
                    "the trailer `{name}` is not a checksum that is known here"
                ));
            }
        }
        Ok(())
    }

    fn expect(&mut self, name: &str, value: &str) -> S3Result<()> {
        let slot = match name {
            "x-amz-checksum-crc32" => &mut self.expected.checksum_crc32,
            "x-amz-checksum-crc32c" => &mut self.expected.checksum_crc32c,
            "x-amz-checksum-crc64nvme" => &mut self.expected.checksum_crc64nvme,
            "x-amz-checksum-sha1" => &mut self.expected.checksum_sha1,
            _ => &mut self.expected.checksum_sha256,
        };
        match slot.replace(value.to_owned()) {
            None => Ok(()),
            Some(_) => Err(s3_error!(InvalidRequest, "`{name}` is given before and after the body")),
        }
    }

    /// Takes in the next bytes.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        if let Some((md5, _)) = &mut self.md5 {
            md5.update(bytes);
        }
    }

    /// Compares, now that the body is complete, and gives back the checksums that were right.
    pub(super) fn finish(mut self, trailing: Option<&TrailingHeaders>) -> S3Result<Checksum> {
        let trailers = trailing.and_then(TrailingHeaders::take).unwrap_or_default();
        for name in std::mem::take(&mut self.trailers) {
            let value = text(&trailers, &name)?;
            let value = value.ok_or_else(|| s3_error!(IncompleteBody, "the trailer `{name}` is missing"))?;
            self.expect(&name, value)?;
        }
        if let Some((md5, expected)) = self.md5
            && md5.finalize()[..] != expected[..]
        {
            return Err(s3_error!(BadDigest, "the body does not have the MD5 that `content-md5` says"));
        }
        let computed = self.hasher.finalize();
        if computed != self.expected {
            return Err(s3_error!(BadDigest, "the body does not have the checksum that was sent with it"));
        }
        Ok(computed)
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> S3Result<Option<&'a str>> {
    let value = headers.get(name).map(http::HeaderValue::to_str).transpose();
    value.map_err(|_| s3_error!(InvalidRequest, "the header `{name}` is not text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(headers: &[(&'static str, &'static str)], body: &[u8]) -> S3Result<Checksum> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, http::HeaderValue::from_static(value));
        }
        let mut checks = Checks::promised(&map)?;
        checks.update(body);
        checks.finish(None)
    }

    #[test]
    fn what_is_promised_must_hold() {
        let good = [
            ("x-amz-checksum-crc32", "y/Q5Jg=="),
            ("x-amz-checksum-crc32c", "4waSgw=="),
            ("x-amz-checksum-crc64nvme", "rosUhgp5mIg="),
            ("x-amz-checksum-sha1", "98O8HYCOBHMq32eZZczDTKeuNEE="),
            ("x-amz-checksum-sha256", "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU="),
            ("content-md5", "JfnnlDI7RTiF9RgfG2JNCw=="),
        ];
        for header in good {
            assert!(check(&[header], b"123456789").is_ok(), "{header:?}");
            assert!(check(&[header], b"123456780").is_err(), "{header:?}");
        }
        assert!(check(&[], b"anything").is_ok());
    }

    #[test]
    fn what_cannot_be_checked_is_refused() {
        assert!(check(&[("content-md5", "short")], b"").is_err());
        assert!(check(&[("x-amz-trailer", "x-amz-checksum-unknown")], b"").is_err());
        assert!(check(&[("x-amz-trailer", "x-amz-checksum-crc32")], b"").is_err(), "announced, never sent");
    }
}
