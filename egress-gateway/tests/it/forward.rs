//! Requests in absolute-form.

use std::time::Instant;

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use trace_contracts::EgressGrant;

use crate::{
    outside::Outside,
    platform::{Platform, grant, limits, loopback, status},
};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-kept: yes\r\nconnection: x-hop\r\nx-hop: 1\r\nkeep-alive: timeout=9\r\nproxy-authenticate: Basic\r\n\r\nhi";

#[tokio::test]
async fn a_granted_request_goes_through_and_says_nothing_of_the_capability() {
    let platform = Platform::start().await;
    let outside = Outside::answering(OK).await;
    let token = platform.token(1, &[grant(&outside.address.to_string())]);
    let request = format!(
        "POST http://{0}/a?b=c HTTP/1.1\r\nHost: {0}\r\nProxy-Authorization: Bearer {token}\r\nAuthorization: Bearer \
         theirs\r\nConnection: close, X-Mine\r\nX-Mine: 1\r\nTE: trailers\r\nUpgrade: h2c\r\nProxy-Connection: \
         keep-alive\r\nContent-Length: 3\r\n\r\nabc",
        outside.address
    );
    let answer = platform.raw(request.as_bytes()).await;
    assert_eq!(status(&answer), 200, "{answer}");
    assert!(answer.ends_with("\r\n\r\nhi") && answer.contains("x-kept: yes"), "{answer}");
    for hop in ["x-hop", "timeout=9", "proxy-authenticate"] {
        assert!(!answer.to_lowercase().contains(hop), "{hop}: {answer}");
    }
    let heard = outside.heard().concat();
    assert!(heard.starts_with("POST /a?b=c HTTP/1.1\r\n") && heard.ends_with("\r\n\r\nabc"), "{heard}");
    assert!(
        heard.contains(&format!("host: {}\r\n", outside.address)) && heard.contains("Bearer theirs"),
        "{heard}"
    );
    for hop in ["proxy-", "x-mine", "te:", "upgrade", "h2c", &token] {
        assert!(!heard.to_lowercase().contains(&hop.to_lowercase()), "{hop}: {heard}");
    }
    let row = platform.audit_of(|entry| entry.action == "egress.request").await;
    assert_eq!(row.object, outside.address.to_string());
    assert_eq!(row.detail["addresses"], json!(["127.0.0.1"]));
    assert_eq!(row.detail["outcome"], 200);
    assert!(row.detail["bytes_up"].as_u64() > Some(3) && row.detail["bytes_down"].as_u64() > Some(2));
    let decided = platform.audit_of(|entry| entry.action == "egress.connect").await;
    assert_eq!(serde_json::to_value(decided.verdict).unwrap(), "allow");
}

#[tokio::test]
async fn host_and_port_are_granted_exactly() {
    let platform = Platform::start().await;
    let (outside, other) = (Outside::answering(OK).await, Outside::answering(OK).await);
    let token = platform.token(1, &[grant(&outside.address.to_string())]);
    for address in [
        format!("http://{}/", other.address),
        format!("http://127.0.0.2:{}/", outside.port()),
        format!("http://localhost:{}/", outside.port()),
        "http://127.0.0.1/".to_owned(),
    ] {
        let (answered, answer) = platform.get(&token, &address).await;
        assert_eq!(answered, 403, "{address}: {answer}");
        assert!(answer.contains("not_granted"), "{answer}");
    }
    assert!(outside.heard().is_empty() && other.heard().is_empty());
    platform.denied_by("not_granted").await;
    let (answered, _) = platform.get(&platform.token(2, &[]), &format!("http://{}/", outside.address)).await;
    assert_eq!(answered, 403, "no grants, nothing");
}

/// What could mean two things to two readers means nothing here.
#[tokio::test]
async fn tricks_with_the_head_reach_nobody() {
    let platform = Platform::start().await;
    let (outside, other) = (Outside::answering(OK).await, Outside::answering(OK).await);
    let (a, b) = (outside.address.to_string(), other.address.to_string());
    let token = platform.token(1, &[grant(&a), grant(&b)]);
    let auth = format!("Proxy-Authorization: Bearer {token}\r\nConnection: close\r\n");
    for (case, request, refused) in [
        ("another Host", format!("GET http://{a}/ HTTP/1.1\r\nHost: {b}\r\n{auth}\r\n"), 400),
        ("two Hosts", format!("GET http://{a}/ HTTP/1.1\r\nHost: {a}\r\nHost: {b}\r\n{auth}\r\n"), 400),
        ("userinfo", format!("GET http://{a}@{b}/ HTTP/1.1\r\n{auth}\r\n"), 400),
        ("https", format!("GET https://{a}/ HTTP/1.1\r\n{auth}\r\n"), 400),
        ("almost an address", format!("GET http://127.1:{}/ HTTP/1.1\r\n{auth}\r\n", outside.port()), 400),
        ("hexadecimal", format!("GET http://0x7f000001:{}/ HTTP/1.1\r\n{auth}\r\n", outside.port()), 400),
        ("mapped", format!("GET http://[::ffff:127.0.0.1]:{}/ HTTP/1.1\r\n{auth}\r\n", outside.port()), 403),
        (
            "a dot at the end",
            format!("GET http://127.0.0.1.:{}/ HTTP/1.1\r\n{auth}\r\n", outside.port()),
            400,
        ),
        ("percent", format!("GET http://127.0.0.1%00:{}/ HTTP/1.1\r\n{auth}\r\n", outside.port()), 400),
        ("port 0", format!("GET http://127.0.0.1:0/ HTTP/1.1\r\n{auth}\r\n"), 400),
        (
            "two lengths",
            format!("POST http://{a}/ HTTP/1.1\r\n{auth}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
            400,
        ),
        ("a folded header", format!("GET http://{a}/ HTTP/1.1\r\n{auth}X-A: 1\r\n X-B: 2\r\n\r\n"), 400),
        ("a space before the colon", format!("GET http://{a}/ HTTP/1.1\r\n{auth}Host : {b}\r\n\r\n"), 400),
        ("a bare CR", format!("GET http://{a}/ HTTP/1.1\r\n{auth}X-A: 1\rHost: {b}\r\n\r\n"), 400),
        (
            "chunked is not last",
            format!("POST http://{a}/ HTTP/1.1\r\n{auth}Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"),
            400,
        ),
        ("a CONNECT with userinfo", format!("CONNECT x@{a} HTTP/1.1\r\n{auth}\r\n"), 400),
        ("a CONNECT without a port", format!("CONNECT 127.0.0.1 HTTP/1.1\r\n{auth}\r\n"), 400),
        ("a CONNECT with a body", format!("CONNECT {a} HTTP/1.1\r\n{auth}Content-Length: 3\r\n\r\nabc"), 400),
    ] {
        let answer = platform.raw(request.as_bytes()).await;
        assert_eq!(status(&answer), refused, "{case}: {answer}");
    }
    assert!(outside.heard().is_empty() && other.heard().is_empty(), "{:?}", outside.heard());
}

/// A request with both lengths is forwarded as it was read: one body, one framing; and it is the last one on
/// its connection.
#[tokio::test]
async fn a_request_with_two_framings_smuggles_nothing() {
    let platform = Platform::start().await;
    let outside = Outside::answering(OK).await;
    let token = platform.token(1, &[grant(&outside.address.to_string())]);
    let auth = format!("Proxy-Authorization: Bearer {token}\r\n");
    for lengths in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
    ] {
        let a = outside.address;
        let request = format!(
            "POST http://{a}/ HTTP/1.1\r\n{auth}{lengths}\r\n0\r\n\r\nGET http://{a}/smuggled HTTP/1.1\r\nConnection: close\r\n\r\n"
        );
        let answer = platform.raw(request.as_bytes()).await;
        assert_eq!(answer.matches("HTTP/1.1 200").count(), 1, "{answer}");
    }
    let heard = outside.heard().concat();
    assert!(!heard.contains("smuggled") && !heard.contains("content-length: 5"), "{heard}");
}

#[tokio::test]
async fn budgets_are_counted_over_the_whole_attempt() {
    let platform = Platform::start().await;
    let outside = Outside::answering(OK).await;
    let address = format!("http://{}/", outside.address);
    let few = EgressGrant { max_requests: 2, ..grant(&outside.address.to_string()) };
    for expected in [200, 200, 422, 422] {
        // A renewed token goes on where the last one stopped.
        let token = platform.token(1, std::slice::from_ref(&few));
        assert_eq!(platform.get(&token, &address).await.0, expected);
    }
    assert_eq!(
        platform.get(&platform.token(2, &[few]), &address).await.0,
        200,
        "another attempt has its own"
    );
    platform.denied_by("request_budget").await;
    let small = EgressGrant { max_bytes: 20, ..grant(&outside.address.to_string()) };
    let token = platform.token(3, &[small]);
    assert_eq!(platform.get(&token, &address).await.0, 422);
    assert_eq!(platform.get(&token, &address).await.0, 422);
    platform.denied_by("byte_budget").await;
}

#[tokio::test]
async fn a_huge_answer_ends_at_the_budget() {
    let platform = Platform::start().await;
    let outside = Outside::answering(HUGE).await;
    let small = EgressGrant { max_bytes: 100_000, ..grant(&outside.address.to_string()) };
    let (answered, answer) =
        platform.get(&platform.token(1, &[small]), &format!("http://{}/", outside.address)).await;
    assert_eq!(answered, 200);
    assert!(answer.len() < 100_500, "{}", answer.len());
    let row = platform.audit_of(|entry| entry.action == "egress.request").await;
    assert_eq!(row.detail["rule"], "byte_budget");
    assert!(row.detail["bytes_down"].as_u64().unwrap() <= 100_000);
}

const HUGE: &[u8] = &{
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 999999999\r\n\r\n";
    let mut bytes = [b'x'; 200_000];
    let mut place = 0;
    while place < head.len() {
        bytes[place] = head[place];
        place += 1;
    }
    bytes
};

/// Closed, denied by the operator, private and unresolvable: one text, and not before the same time is up.
#[tokio::test]
async fn what_can_not_be_reached_is_told_in_one_way() {
    let platform = Platform::start().await;
    let closed = format!("127.0.0.1:{}", trace_ports::reserve());
    let destinations = [
        closed.as_str(),
        "127.0.0.13:80",
        "10.0.0.1:80",
        "169.254.169.254:80",
        "denied.test:80",
        "none.test:80",
        "localhost:80",
    ];
    let token = platform.token(1, &destinations.map(grant));
    let mut answers = Vec::new();
    for destination in destinations {
        let since = Instant::now();
        let (answered, answer) = platform.get(&token, &format!("http://{destination}/")).await;
        assert_eq!(answered, 503, "{destination}: {answer}");
        // Not how long it took, which is the machine's affair: that it was not told before.
        assert!(since.elapsed().as_millis() >= u128::from(limits().reach_ms), "{destination}");
        answers.push(answer.split_once("\r\n\r\n").unwrap().1.to_owned());
        let (answered, _) = platform.open(&token, destination).await;
        assert_eq!(answered, 503, "{destination}");
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    for rule in
        ["denied_network", "private_use", "cloud_metadata", "denied_host", "name_unanswered", "special_name"]
    {
        platform.denied_by(rule).await;
    }
    platform.audit_of(|entry| entry.detail["outcome"] == "unreached").await;
}

/// A connection outside is used again by the caller's connection that it was made for, and by no other.
#[tokio::test]
async fn connections_outside_are_not_shared() {
    let platform = Platform::start().await;
    let outside = Outside::answering(OK).await;
    let request = |attempt: i64| {
        let token = platform.token(attempt, &[grant(&outside.address.to_string())]);
        format!("GET http://{}/ HTTP/1.1\r\nProxy-Authorization: Bearer {token}\r\n\r\n", outside.address)
    };
    let (mut one, mut other) = (platform.connect().await, platform.connect().await);
    let mut buffer = [0; 4096];
    for _ in 0..3 {
        one.write_all(request(1).as_bytes()).await.unwrap();
        assert!(one.read(&mut buffer).await.unwrap() > 0);
    }
    assert_eq!(outside.heard().len(), 1, "kept");
    other.write_all(request(1).as_bytes()).await.unwrap();
    assert!(other.read(&mut buffer).await.unwrap() > 0);
    assert_eq!(outside.heard().len(), 2, "another connection of the same attempt");
    one.write_all(request(2).as_bytes()).await.unwrap();
    assert!(one.read(&mut buffer).await.unwrap() > 0);
    assert_eq!(outside.heard().len(), 3, "another attempt on the same connection");
}

#[tokio::test]
async fn an_attempt_has_few_requests_at_once() {
    let platform = Platform::start().await;
    // Takes connections, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    let token = platform.token(1, &[grant(&address.to_string())]);
    let request = format!("GET http://{address}/ HTTP/1.1\r\nProxy-Authorization: Bearer {token}\r\n\r\n");
    let mut waiting = Vec::new();
    for _ in 0..limits().per_attempt {
        let mut stream = platform.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        waiting.push((stream, silent.accept().await.unwrap()));
    }
    let (answered, answer) = platform.get(&token, &format!("http://{address}/")).await;
    assert_eq!(answered, 429, "{answer}");
    platform.denied_by("attempt_limit").await;
    platform.kill_attempt(1);
    for (mut stream, _) in waiting {
        let mut answer = [0; 4096];
        let read = stream.read(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer[..read]);
        assert_eq!(status(&answer), 407, "those that wait are told: {answer}");
    }
}

#[tokio::test]
async fn a_silent_destination_is_given_up() {
    let limits = trace_egress_gateway::config::Limits { request_silence_ms: 200, ..limits() };
    let platform = Platform::with(limits, loopback(), Vec::new()).await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let (answered, answer) =
        platform.get(&platform.token(1, &[grant(&address)]), &format!("http://{address}/")).await;
    assert_eq!(answered, 503, "{answer}");
    let row = platform.audit_of(|entry| entry.action == "egress.request").await;
    assert_eq!(row.detail["outcome"], "no_answer");
}

#[tokio::test]
async fn redirects_are_passed_on_and_other_protocols_are_not() {
    let platform = Platform::start().await;
    let redirecting = Outside::answering(
        b"HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n",
    )
    .await;
    let switching =
        Outside::answering(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n")
            .await;
    let token =
        platform.token(1, &[grant(&redirecting.address.to_string()), grant(&switching.address.to_string())]);
    let (answered, answer) = platform.get(&token, &format!("http://{}/", redirecting.address)).await;
    assert_eq!(answered, 302);
    assert!(answer.contains("location: http://169.254.169.254/"));
    let (answered, _) = platform.get(&token, &format!("http://{}/", switching.address)).await;
    assert_eq!(answered, 503);
}
