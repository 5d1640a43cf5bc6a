//! The proxy of a sandbox: whatever code inside sends, what goes on to the egress gateway is, read by the gateway's
//! own reader, the same requests, each with the attempt's token and no other.

#![no_main]

use httparse::{EMPTY_HEADER, Request, Status, parse_chunk_size};
use libfuzzer_sys::fuzz_target;
use trace_surface::proxy::fuzzing::pass;

const TOKEN: &str = "the-attempts-own";

fuzz_target!(|bytes: &[u8]| {
    for one in pass(bytes, TOKEN) {
        let mut sent = one.head.clone();
        sent.extend(one.body);
        let mut headers = [EMPTY_HEADER; 256];
        let mut request = Request::new(&mut headers);
        let end = match request.parse(&sent) {
            // What the gateway refuses goes no further; it closes the connection.
            Err(_) => return,
            Ok(Status::Partial) => panic!("the gateway would wait for more of the head: {sent:?}"),
            Ok(Status::Complete(end)) => end,
        };
        assert_eq!(end, one.head.len(), "the head ends where it was said to");
        let named = |name: &str| {
            let of = request.headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
            of.map(|header| header.value).collect::<Vec<_>>()
        };
        assert_eq!(named("proxy-authorization"), [format!("Bearer {TOKEN}").as_bytes()]);
        let (lengths, codings) = (named("content-length"), named("transfer-encoding"));
        assert!(lengths.len() + codings.len() <= 1, "the length is said once");
        let body = match (lengths.first(), codings.first()) {
            (Some(length), _) => std::str::from_utf8(length).unwrap().trim().parse().unwrap(),
            (None, Some(_)) => chunked(one.body),
            (None, None) => 0,
        };
        assert_eq!(body, one.body.len(), "the body ends where it was said to");
    }
});

/// Where a body in chunks ends.
fn chunked(body: &[u8]) -> usize {
    let mut at = 0;
    loop {
        let Ok(Status::Complete((read, size))) = parse_chunk_size(&body[at..]) else {
            panic!("no size of a chunk at {at} of {body:?}");
        };
        at += read + usize::try_from(size).unwrap();
        assert_eq!(&body[at..at + 2], b"\r\n", "a chunk, and the last size, end in a line end");
        at += 2;
        if size == 0 {
            return at;
        }
    }
}
