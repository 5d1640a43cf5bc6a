//! The limits of every listener.

use axum::{Router, routing::post};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::CancellationToken;
use trace_plane::Body;

async fn start(shutdown: CancellationToken) -> (std::net::SocketAddr, tokio::task::JoinHandle<()>) {
    async fn panics() {
        panic!("on purpose")
    }
    async fn echo(Body(value): Body<serde_json::Value>) -> String {
        value.to_string()
    }
    let router = Router::new().route("/panics", post(panics)).route("/echo", post(echo));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (address, tokio::spawn(async move { trace_plane::serve(listener, router, shutdown).await.unwrap() }))
}

async fn answer(address: std::net::SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

fn post_to(path: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn every_answer_is_a_problem_or_a_result() {
    let (address, _server) = start(CancellationToken::new()).await;
    for (request, status, code) in [
        (post_to("/nowhere", ""), "404", "not_found"),
        (
            "GET /echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".to_owned(),
            "405",
            "method_not_allowed",
        ),
        (post_to("/panics", ""), "500", "internal"),
        (post_to("/echo", "{"), "400", "bad_request"),
        (post_to("/echo", &format!("\"{}\"", "a".repeat(5 << 20))), "413", "payload_too_large"),
    ] {
        let answer = answer(address, &request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        assert!(answer.contains(&format!("\"code\":\"{code}\"")), "{answer}");
        assert!(answer.contains("application/problem+json"), "{answer}");
    }
    assert!(answer(address, &post_to("/echo", "[1]")).await.ends_with("[1]"));
}

#[tokio::test]
async fn headers_without_end_are_cut_off() {
    let (address, _server) = start(CancellationToken::new()).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let endless = format!("GET /echo HTTP/1.1\r\nhost: x\r\nx: {}", "a".repeat(8 << 20));
    // The service stops reading, so the rest may not be taken any more.
    let _ = stream.write_all(endless.as_bytes()).await;
    let mut status = [0; 12];
    match stream.read_exact(&mut status).await {
        Ok(_) => assert_eq!(&status, b"HTTP/1.1 431"),
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
    }
}

#[tokio::test]
async fn idle_connections_do_not_hold_up_the_end() {
    let shutdown = CancellationToken::new();
    let (address, server) = start(shutdown.clone()).await;
    let _idle = TcpStream::connect(address).await.unwrap();
    assert!(answer(address, &post_to("/echo", "1")).await.ends_with('1'));
    shutdown.cancel();
    server.await.unwrap();
}
