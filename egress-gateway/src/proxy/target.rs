//! What a request asks for, read so that there is one answer.

use http::{Uri, header::HOST, request::Parts, uri::Scheme};
use trace_contracts::Destination;
use trace_controls::{Protection, stands};

use crate::policy::{Malformed, Rule};

/// The port of `http`.
const HTTP: u16 = 80;

/// The destination of `CONNECT HOST:PORT`.
pub(super) fn of_tunnel(uri: &Uri) -> Result<Destination, Rule> {
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    authority.parse().map_err(Rule::Unreadable)
}

/// The destination of a request in absolute-form. A `Host` header that names another one is refused: whoever
/// reads the request next might believe it.
pub(super) fn of_request(parts: &Parts) -> Result<Destination, Rule> {
    if parts.uri.scheme() != Some(&Scheme::HTTP) {
        return Err(Rule::Request(Malformed::Scheme));
    }
    let read = |text: &str| Destination::parse_with_default_port(text, HTTP);
    let authority = parts.uri.authority().map_or("", |authority| authority.as_str());
    let destination = read(authority).map_err(Rule::Unreadable)?;
    let mut hosts = parts.headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) => Ok(destination),
        _ if !stands(Protection::HostChecked) => Ok(destination),
        (Some(host), None)
            if host.to_str().ok().and_then(|host| read(host).ok()).as_ref() == Some(&destination) =>
        {
            Ok(destination)
        }
        _ => Err(Rule::Request(Malformed::HostDiffers)),
    }
}

/// What `Host` says of a destination: without the port where it is the scheme's own.
pub(super) fn host_header(destination: &Destination) -> String {
    let text = destination.to_string();
    if destination.port() == HTTP { text.trim_end_matches(":80").to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn read(uri: &str, hosts: &[&str]) -> Result<String, &'static str> {
        let mut request = Request::get(uri);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        let parts = request.body(()).unwrap().into_parts().0;
        of_request(&parts).map(|destination| destination.to_string()).map_err(Rule::as_str)
    }

    #[test]
    fn a_request_is_for_its_address_and_host_agrees() {
        assert_eq!(read("http://example.com/x", &["example.com"]).unwrap(), "example.com:80");
        assert_eq!(read("http://example.com/x", &["EXAMPLE.com:80"]).unwrap(), "example.com:80");
        assert_eq!(read("http://example.com:8080/", &["example.com:8080"]).unwrap(), "example.com:8080");
        assert_eq!(read("http://[2001:db8::1]/", &[]).unwrap(), "[2001:db8::1]:80");
        assert_eq!(read("http://example.com/@other.com/", &[]).unwrap(), "example.com:80");
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for (uri, hosts, rule) in [
            ("http://example.com/", &["other.com"][..], "host_differs"),
            ("http://example.com/", &["example.com:81"], "host_differs"),
            ("http://example.com/", &["example.com", "example.com"], "host_differs"),
            ("http://example.com/", &[""], "host_differs"),
            ("http://example.com/", &["user@example.com"], "host_differs"),
            ("https://example.com/", &["example.com"], "scheme"),
            ("ftp://example.com/", &[], "scheme"),
            ("http://user@example.com/", &[], "host_userinfo"),
            ("http://user:password@example.com/", &[], "host_userinfo"),
            ("http://example.com:0/", &[], "port_invalid"),
            ("http://example.com./", &[], "host_trailing_dot"),
            ("http://0x7f.1/", &[], "host_almost_address"),
            ("http://127.1/", &[], "host_almost_address"),
            ("http://a_b.com/", &[], "host_character"),
        ] {
            assert_eq!(read(uri, hosts), Err(rule), "{uri} {hosts:?}");
        }
    }

    #[test]
    fn host_is_written_from_the_destination() {
        for (destination, host) in [
            ("a.com:80", "a.com"),
            ("a.com:8080", "a.com:8080"),
            ("[::80]:80", "[::80]"),
            ("a.com:180", "a.com:180"),
        ] {
            assert_eq!(host_header(&destination.parse().unwrap()), host);
        }
    }
}
