//! Heads that are right, and heads that two readers would understand differently.

use proptest::prelude::*;

use super::*;

const TOKEN: &str = "the-attempts-own";

fn written(head: &str) -> Result<String, Bad> {
    Ok(String::from_utf8(Head::parse(head.as_bytes())?.authorised(TOKEN)).unwrap())
}

#[test]
fn the_attempts_own_token_takes_the_place_of_every_other() {
    let head = "GET http://api.example.com/x HTTP/1.1\r\nHost: api.example.com\r\nproxy-authorization: Bearer stolen\r\n\
                Proxy-Authorization: Basic eDp5\r\nPROXY-AUTHORIZATION:\r\nAccept: */*\r\n\r\n";
    assert_eq!(
        written(head).unwrap(),
        "GET http://api.example.com/x HTTP/1.1\r\nHost: api.example.com\r\nAccept: */*\r\n\
         Proxy-Authorization: Bearer the-attempts-own\r\n\r\n"
    );
    let connect = "CONNECT api.example.com:443 HTTP/1.1\r\nHost: api.example.com:443\r\n\r\n";
    assert_eq!(Head::parse(connect.as_bytes()).unwrap().kind, Kind::Connect);
}

#[test]
fn the_length_of_a_body_is_said_once() {
    let kind = |lines: &str| {
        let head = format!("POST http://h/ HTTP/1.1\r\n{lines}\r\n");
        Head::parse(head.as_bytes()).map(|head| head.kind)
    };
    let bytes = |bytes| Ok(Kind::Exchange(Length::Bytes(bytes)));
    assert_eq!(kind(""), bytes(0));
    assert_eq!(kind("Content-Length: 12\r\n"), bytes(12));
    assert_eq!(kind("transfer-encoding:chunked\r\n"), Ok(Kind::Exchange(Length::Chunked)));
    for bad in [
        "Content-Length: 1\r\nContent-Length: 1\r\n",
        "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: \u{b}chunked\r\n",
        "Content-Length: +1\r\n",
        "Content-Length: 1, 1\r\n",
        "Content-Length: 0x1\r\n",
        "Content-Length:\r\n",
        "Content-Length: 99999999999999999999\r\n",
    ] {
        assert_eq!(kind(bad), Err(Bad::Length), "{bad:?}");
    }
    let old = b"POST http://h/ HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(Head::parse(old).unwrap_err(), Bad::Length);
    let connect = b"CONNECT h:443 HTTP/1.1\r\nContent-Length: 5\r\n\r\n";
    assert_eq!(Head::parse(connect).unwrap_err(), Bad::Length);
}

#[test]
fn what_is_not_quite_http_is_refused() {
    for (bad, why) in [
        ("GET http://h/ HTTP/1.1\nHost: h\r\n\r\n", Bad::Line),
        ("GET http://h/ HTTP/1.1\r\nX: a\nProxy-Authorization: Bearer x\r\n\r\n", Bad::Line),
        ("GET http://h/ HTTP/1.1\r\nX: a\rProxy-Authorization: Bearer x\r\n\r\n", Bad::Line),
        ("GET http://h/ HTTP/1.1\r\nX: a\0b\r\n\r\n", Bad::Line),
        ("GET http://h/ HTTP/1.1\r\nX: a\r\n folded\r\n\r\n", Bad::Line),
        ("GET http://h/ HTTP/1.1\r\nProxy-Authorization : Bearer x\r\n\r\n", Bad::Line),
        ("GET http://h/ HTTP/1.1\r\n\tProxy-Authorization: Bearer x\r\n\r\n", Bad::Line),
        ("GET http://h/ HTTP/1.1\r\n: x\r\n\r\n", Bad::Line),
        ("GET http://h/ HTTP/1.1\r\nno colon\r\n\r\n", Bad::Line),
        ("GET  http://h/ HTTP/1.1\r\n\r\n", Bad::RequestLine),
        ("GET http://h/ x HTTP/1.1\r\n\r\n", Bad::RequestLine),
        ("GET http://h/\tx HTTP/1.1\r\n\r\n", Bad::RequestLine),
        ("GET http://h/ HTTP/2.0\r\n\r\n", Bad::RequestLine),
        ("GET http://h/ HTTP/1.1 \r\n\r\n", Bad::RequestLine),
        ("GET http://h/\r\n\r\n", Bad::RequestLine),
        ("\r\nGET http://h/ HTTP/1.1\r\n\r\n", Bad::RequestLine),
        ("G(T http://h/ HTTP/1.1\r\n\r\n", Bad::RequestLine),
    ] {
        assert_eq!(written(bad), Err(why), "{bad:?}");
    }
    let many = format!("GET http://h/ HTTP/1.1\r\n{}\r\n", "X: a\r\n".repeat(MAX_LINES));
    assert_eq!(written(&many), Err(Bad::TooLong));
}

#[test]
fn an_answer_opens_a_tunnel_or_says_how_long_it_is() {
    let parse = |head: &str| Answer::parse(head.as_bytes());
    assert_eq!(parse("HTTP/1.1 200 Connection established\r\n\r\n"), Ok(Answer::Open));
    assert_eq!(parse("HTTP/1.1 403 Forbidden\r\nContent-Length: 7\r\n\r\n"), Ok(Answer::Closed(7)));
    assert_eq!(parse("HTTP/1.1 502 \r\n\r\n"), Ok(Answer::Closed(0)));
    for bad in ["HTTP/1.1\r\n\r\n", "SSH-2.0-x\r\n\r\n", "HTTP/1.1200 OK\r\n\r\n"] {
        assert!(parse(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn the_end_is_found_however_the_head_is_cut() {
    let head = b"GET http://h/ HTTP/1.1\r\n\r\nGET";
    for cut in 0..=head.len() {
        let found = end(&head[..cut], 0).or_else(|| end(head, cut));
        assert_eq!(found, Some(head.len() - 3), "cut after {cut} bytes");
    }
}

/// Lines of heads, most of them right: a head of a few is often taken.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let lines: Vec<&[u8]> = vec![
        b"Host: h\r\n",
        b"X: y\r\n",
        b"X: \xff\r\n",
        b"Accept:\r\n",
        b"Content-Length: 3\r\n",
        b"Proxy-Authorization: Bearer other\r\n",
        b"proxy-authorization: Bearer other\r\n",
        b"PROXY-Authorization:Bearer other\r\n",
        b"X: a\nProxy-Authorization: Bearer other\r\n",
        b"X: a\rProxy-Authorization: Bearer other\r\n",
        b"Proxy-Authorization : Bearer other\r\n",
        b" Proxy-Authorization: Bearer other\r\n",
        b"X: y\r\n\r\nGET http://h/ HTTP/1.1\r\nProxy-Authorization: Bearer other\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"\0\r\n",
    ];
    prop::collection::vec(prop::sample::select(lines), 0..5).prop_map(|lines| lines.concat())
}

/// Every value of the header, as a reader would see it that takes any line end, folds and spaces.
fn tokens_in(head: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(head).replace("\r\n", "\n").replace('\r', "\n").to_lowercase();
    let lines = text.split('\n').filter_map(|line| line.split_once(':'));
    let named = lines.filter(|(name, _)| name.trim() == AUTHORIZATION);
    named.map(|(_, value)| value.trim().to_owned()).collect()
}

proptest! {
    #[test]
    fn whatever_is_sent_one_token_arrives_and_it_is_ours(mut head in pieces()) {
        head.splice(0..0, *b"GET http://h/ HTTP/1.1\r\n");
        head.extend(b"\r\n");
        let end = end(&head, 0).unwrap();
        if let Ok(read) = Head::parse(&head[..end]) {
            let written = read.authorised(TOKEN);
            prop_assert_eq!(tokens_in(&written), vec![format!("bearer {TOKEN}")]);
            prop_assert_eq!(super::end(&written, 0), Some(written.len()), "it is one head");
        }
    }
}
