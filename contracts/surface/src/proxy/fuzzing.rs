//! What the fuzz target `proxy` needs: the proxy's reading of what a client sends, without sockets.

use super::{
    body::Body,
    head::{self, Head, Kind},
};

/// One request as it goes to the gateway.
#[derive(Debug)]
pub struct Passed<'a> {
    /// Its head, written anew with the attempt's token.
    pub head: Vec<u8>,
    /// Its body, as it came.
    pub body: &'a [u8],
}

/// The whole requests at the beginning of what a client sends; what is refused ends them, and so does a tunnel.
pub fn pass<'a>(mut unverified: &'a [u8], token: &str) -> Vec<Passed<'a>> {
    let mut passed = Vec::new();
    while let Some(end) = head::end(unverified, 0) {
        let (bytes, rest) = unverified.split_at(end);
        let Ok(read) = Head::parse(bytes) else { break };
        let head = read.authorised(token);
        let Kind::Exchange(length) = read.kind else {
            passed.push(Passed { head, body: &[] });
            break;
        };
        let mut body = Body::new(length);
        let Ok(own) = body.take(rest) else { break };
        if !body.is_over() {
            break;
        }
        let (body, rest) = rest.split_at(own);
        passed.push(Passed { head, body });
        unverified = rest;
    }
    passed
}
