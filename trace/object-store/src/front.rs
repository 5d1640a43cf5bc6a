//! What a request must look like before its signature is even checked.
//!
//! `s3s` checks signatures, and accepts more forms than this store offers: SigV2, POST forms, and
//! headers that change what a request does but were not signed. They are refused here, so that
//! whoever holds one presigned request can't turn it into another.

use std::collections::BTreeSet;

use http::{HeaderMap, Method, header, request::Parts};
use s3s::{S3Result, s3_error};
use trace_contracts::Secret;
use trace_controls::{Protection, stands};

/// A presigned request lasts at most a week, as in AWS.
const MAX_PRESIGNED_SECONDS: u32 = 7 * 24 * 60 * 60;

/// The session token that came with a request. Whether it is the right one is not known yet.
#[derive(Debug, Clone)]
pub(super) struct PresentedToken(pub Option<Secret<String>>);

/// Passes requests that are signed with SigV4 for this region, in one place only, with every header
/// that matters covered by the signature.
pub(super) fn admit(parts: &Parts, region: &str) -> S3Result<PresentedToken> {
    if !stands(Protection::RequestForm) {
        return Ok(PresentedToken(shown(parts)));
    }
    refuse_forms(parts)?;
    let query = Query::parse(parts.uri.query().unwrap_or_default())?;
    let mut headers = parts.headers.get_all(header::AUTHORIZATION).iter();
    let signed = match (headers.next(), headers.next(), query.is_presigned()) {
        (Some(value), None, false) => Signed::from_header(value.to_str().unwrap_or_default())?,
        (None, None, true) => Signed::from_query(&query)?,
        (None, None, false) => {
            return Err(s3_error!(AccessDenied, "sign the request: there is no anonymous access"));
        }
        _ => return Err(s3_error!(InvalidRequest, "sign the request once: in one header or in the address")),
    };
    signed.check_scope(region)?;
    signed.check_headers(&parts.headers)?;
    token(&parts.headers, &query, &signed)
}

/// The session token of a request of any form, for a control of the hostile suite.
fn shown(parts: &Parts) -> Option<Secret<String>> {
    let header = parts.headers.get("x-amz-security-token").and_then(|token| token.to_str().ok());
    let query = parts.uri.query().unwrap_or_default();
    let in_query =
        || url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "X-Amz-Security-Token");
    let token = header.map(str::to_owned).or_else(|| in_query().map(|(_, token)| token.into_owned()));
    token.map(Secret::new)
}

fn refuse_forms(parts: &Parts) -> S3Result<()> {
    let is_form = |value: &http::HeaderValue| {
        value.as_bytes().trim_ascii_start().to_ascii_lowercase().starts_with(b"multipart/")
    };
    if parts.method == Method::POST && parts.headers.get_all(header::CONTENT_TYPE).iter().any(is_form) {
        return Err(s3_error!(
            NotImplemented,
            "uploads by form are not accepted: use PUT, signed with SigV4"
        ));
    }
    Ok(())
}

/// The decoded pairs of a query string.
struct Query(Vec<(String, String)>);

impl Query {
    fn parse(query: &str) -> S3Result<Self> {
        let pairs: Vec<_> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        if pairs.iter().any(|(name, _)| matches!(name.as_str(), "Signature" | "AWSAccessKeyId")) {
            return Err(sig_v2());
        }
        Ok(Self(pairs))
    }

    fn is_presigned(&self) -> bool {
        self.0.iter().any(|(name, _)| matches!(name.as_str(), "X-Amz-Signature" | "X-Amz-Credential"))
    }

    fn unique(&self, name: &str) -> S3Result<Option<&str>> {
        let mut values = self.0.iter().filter(|(other, _)| other == name);
        match (values.next(), values.next()) {
            (Some((_, value)), None) => Ok(Some(value)),
            (None, _) => Ok(None),
            _ => Err(s3_error!(AuthorizationQueryParametersError, "`{name}` is given twice")),
        }
    }

    fn required(&self, name: &str) -> S3Result<&str> {
        self.unique(name)?.ok_or_else(|| s3_error!(AuthorizationQueryParametersError, "`{name}` is missing"))
    }
}

fn sig_v2() -> s3s::S3Error {
    s3_error!(InvalidRequest, "SigV2 is not accepted: sign with AWS4-HMAC-SHA256 (SigV4)")
}

/// Where the signature is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Header,
    Query,
}

/// What a signature says that it covers.
struct Signed<'a> {
    place: Place,
    credential: &'a str,
    headers: BTreeSet<&'a str>,
}

impl<'a> Signed<'a> {
    /// `AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…`
    fn from_header(unverified: &'a str) -> S3Result<Self> {
        let fields = unverified.strip_prefix("AWS4-HMAC-SHA256 ").ok_or_else(sig_v2)?;
        let (mut credential, mut headers, mut signature) = (None, None, None);
        for field in fields.split(',') {
            let (name, value) = field.trim().split_once('=').unwrap_or_default();
            let slot = match name {
                "Credential" => &mut credential,
                "SignedHeaders" => &mut headers,
                "Signature" => &mut signature,
                _ => return Err(malformed()),
            };
            if slot.replace(value).is_some() {
                return Err(malformed());
            }
        }
        match (credential, headers, signature) {
            (Some(credential), Some(headers), Some(_)) => {
                Ok(Self { place: Place::Header, credential, headers: headers.split(';').collect() })
            }
            _ => Err(malformed()),
        }
    }

    fn from_query(query: &'a Query) -> S3Result<Self> {
        query.required("X-Amz-Signature")?;
        let expires: u32 = query.required("X-Amz-Expires")?.parse().unwrap_or(u32::MAX);
        if !(1..=MAX_PRESIGNED_SECONDS).contains(&expires) {
            return Err(s3_error!(
                AuthorizationQueryParametersError,
                "`X-Amz-Expires` is between 1 and {MAX_PRESIGNED_SECONDS} seconds"
            ));
        }
        let credential = query.required("X-Amz-Credential")?;
        let headers = query.required("X-Amz-SignedHeaders")?.split(';').collect();
        Ok(Self { place: Place::Query, credential, headers })
    }

    /// `KEY/DATE/REGION/s3/aws4_request`
    fn check_scope(&self, expected_region: &str) -> S3Result<()> {
        let scope: Vec<_> = self.credential.split('/').collect();
        let [_key, _date, region, service, "aws4_request"] = scope[..] else { return Err(malformed()) };
        if service != "s3" {
            return Err(s3_error!(
                AuthorizationHeaderMalformed,
                "sign for the service `s3`, not `{service}`"
            ));
        }
        if region != expected_region {
            return Err(s3_error!(
                AuthorizationHeaderMalformed,
                "the region `{region}` is wrong; expecting `{expected_region}`: set AWS_REGION={expected_region}"
            ));
        }
        Ok(())
    }

    /// `host` and every `x-amz-…` header must be signed, and every signed header must be there.
    fn check_headers(&self, present: &HeaderMap) -> S3Result<()> {
        if let Some(missing) = self.headers.iter().find(|name| !present.contains_key(**name)) {
            return Err(s3_error!(AccessDenied, "the signed header `{missing}` is missing"));
        }
        let matters = |name: &str| name == "host" || name.starts_with("x-amz-");
        for (name, value) in present.iter().filter(|(name, _)| matters(name.as_str())) {
            if stands(Protection::SignedHeaders) && !self.headers.contains(name.as_str()) {
                return Err(s3_error!(AccessDenied, "the header `{name}` must be signed"));
            }
            // s3s leaves a header that is not text out of what it checks.
            if value.to_str().is_err() {
                return Err(s3_error!(InvalidRequest, "the header `{name}` is not plain ASCII"));
            }
        }
        if self.headers.contains("host") {
            Ok(())
        } else {
            Err(s3_error!(AccessDenied, "`host` must be signed"))
        }
    }
}

fn malformed() -> s3s::S3Error {
    s3_error!(AuthorizationHeaderMalformed, "the authorization is not a SigV4 one")
}

fn token(headers: &HeaderMap, query: &Query, signed: &Signed<'_>) -> S3Result<PresentedToken> {
    let mut values = headers.get_all("x-amz-security-token").iter();
    let in_header = match (values.next(), values.next()) {
        (value, None) => value.and_then(|value| value.to_str().ok()),
        _ => return Err(s3_error!(InvalidToken, "`x-amz-security-token` is given twice")),
    };
    let in_query = query.unique("X-Amz-Security-Token")?;
    let token = match (signed.place, in_header, in_query) {
        (Place::Header, token, None) | (Place::Query, None, token) => token,
        _ => return Err(s3_error!(InvalidToken, "the session token goes where the signature is")),
    };
    Ok(PresentedToken(token.map(|token| Secret::new(token.to_owned()))))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    const SIGNED: &str = "AWS4-HMAC-SHA256 Credential=ASIAX/20260101/eu-test-1/s3/aws4_request, \
                          SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token, Signature=00";

    fn check(method: &str, uri: &str, headers: &[(&str, &str)]) -> S3Result<PresentedToken> {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        admit(&request.body(()).unwrap().into_parts().0, "eu-test-1")
    }

    fn by_header(authorization: &str, more: &[(&str, &str)]) -> S3Result<PresentedToken> {
        let mut headers = vec![
            ("host", "localhost"),
            ("x-amz-date", "20260101T000000Z"),
            ("x-amz-content-sha256", "UNSIGNED-PAYLOAD"),
            ("x-amz-security-token", "token"),
            ("authorization", authorization),
        ];
        headers.extend(more);
        check("PUT", "/trace/a", &headers)
    }

    fn presigned(query: &str) -> String {
        format!(
            "/trace/a?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=ASIAX%2F20260101%2Feu-test-1%2Fs3%2Faws4_request\
             &X-Amz-Date=20260101T000000Z&X-Amz-SignedHeaders=host&X-Amz-Signature=00{query}"
        )
    }

    #[test]
    fn sigv4_passes_in_the_header_and_in_the_address() {
        let PresentedToken(token) = by_header(SIGNED, &[]).unwrap();
        assert_eq!(token.unwrap().expose(), "token");
        let uri = presigned("&X-Amz-Expires=60&X-Amz-Security-Token=t%2Fk");
        let PresentedToken(token) = check("GET", &uri, &[("host", "localhost")]).unwrap();
        assert_eq!(token.unwrap().expose(), "t/k");
        let PresentedToken(token) =
            check("GET", &presigned("&X-Amz-Expires=60"), &[("host", "localhost")]).unwrap();
        assert!(token.is_none());
    }

    #[test]
    fn other_ways_to_sign_are_refused() {
        let host = ("host", "localhost");
        assert!(check("GET", "/trace/a", &[host]).is_err(), "anonymous");
        assert!(by_header("AWS AKIAX:c2ln", &[]).is_err(), "SigV2 header");
        assert!(by_header("Bearer x", &[]).is_err(), "bearer");
        for query in ["Signature=x", "AWSAccessKeyId=x", "%53ignature=x"] {
            assert!(check("GET", &format!("/trace/a?{query}"), &[host]).is_err(), "{query}");
        }
        assert!(by_header(SIGNED, &[("authorization", SIGNED)]).is_err(), "two headers");
        let both = [host, ("authorization", SIGNED)];
        assert!(check("GET", &presigned("&X-Amz-Expires=60"), &both).is_err(), "header and address");
        for kind in ["multipart/form-data; boundary=x", " Multipart/FORM-data;boundary=x", "multipart/mixed"]
        {
            let form = [host, ("content-type", kind)];
            assert!(check("POST", "/trace", &form).is_err(), "{kind}");
        }
    }

    #[test]
    fn headers_that_matter_must_be_signed() {
        assert!(by_header(SIGNED, &[("x-amz-copy-source", "/trace/secret")]).is_err());
        assert!(by_header(SIGNED, &[("x-amz-acl", "public-read")]).is_err());
        assert!(by_header(SIGNED, &[("user-agent", "any")]).is_ok());
        assert!(by_header(SIGNED, &[("x-amz-security-token", "other")]).is_err(), "two tokens");
        assert!(by_header(&SIGNED.replace("host;", ""), &[]).is_err(), "host is not signed");
        assert!(by_header(&SIGNED.replace("host;", "host;x-amz-meta-a;"), &[]).is_err(), "signed but absent");
        let uri = presigned("&X-Amz-Expires=60");
        let extra = [("host", "localhost"), ("x-amz-copy-source", "/trace/secret")];
        assert!(check("PUT", &uri, &extra).is_err(), "a presigned PUT does not become a copy");
    }

    #[test]
    fn the_scope_is_this_region_and_s3() {
        for (from, to) in
            [("eu-test-1", "us-east-1"), ("/s3/", "/sts/"), ("aws4_request", "x"), ("ASIAX/", "")]
        {
            assert!(by_header(&SIGNED.replace(from, to), &[]).is_err(), "{to}");
        }
        for field in ["Credential", "SignedHeaders", "Signature"] {
            let doubled = format!("{SIGNED}, {field}=x");
            assert!(by_header(&doubled, &[]).is_err(), "two fields {field}");
            assert!(by_header(&SIGNED.replace(field, "X"), &[]).is_err(), "no field {field}");
        }
    }

    #[test]
    fn a_presigned_request_lasts_a_week_at_most() {
        let host = [("host", "localhost")];
        assert!(check("GET", &presigned("&X-Amz-Expires=604800"), &host).is_ok());
        for query in ["", "&X-Amz-Expires=604801", "&X-Amz-Expires=0", "&X-Amz-Expires=x"] {
            assert!(check("GET", &presigned(query), &host).is_err(), "{query:?}");
        }
        let twice = presigned("&X-Amz-Expires=60&X-Amz-Security-Token=a&X-Amz-Security-Token=b");
        assert!(check("GET", &twice, &host).is_err());
    }
}
