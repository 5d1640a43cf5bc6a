//! A client, this proxy, and a gateway that writes down what reaches it.

use std::{net::SocketAddr, sync::Mutex};

use async_trait::async_trait;
use tokio::{net::TcpListener, sync::mpsc};
use trace_contracts::Secret;

use super::*;

/// Long enough for any test, and an end for one that hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// Tokens that are numbered, or a refusal.
struct Tokens(Mutex<Result<u32, NoToken>>);

#[async_trait]
impl EgressTokens for Tokens {
    async fn current(&self) -> Result<Secret<String>, NoToken> {
        let mut held = self.0.lock().unwrap();
        let number = held.clone()?;
        *held = Ok(number + 1);
        Ok(Secret::new(format!("token-{number}")))
    }
}

/// A gateway: each connection is answered with these texts, one after each head that ends, and everything it
/// is sent arrives here.
async fn gateway(answers: &'static [&'static str]) -> (SocketAddr, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (told, seen) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut received = Vec::new();
            let mut answers = answers.iter();
            let mut buffer = [0; 4096];
            let mut waiting = 0;
            loop {
                let bytes = stream.read(&mut buffer).await.unwrap_or(0);
                received.extend_from_slice(&buffer[..bytes]);
                let heads = String::from_utf8_lossy(&received).matches("\r\n\r\n").count();
                while waiting < heads {
                    waiting += 1;
                    match answers.next() {
                        Some(answer) => stream.write_all(answer.as_bytes()).await.unwrap(),
                        None => break,
                    }
                }
                if bytes == 0 {
                    break;
                }
            }
            told.send(String::from_utf8_lossy(&received).into_owned()).unwrap();
        }
    });
    (address, seen)
}

/// A client's connection to a proxy before this gateway.
async fn client(address: SocketAddr, tokens: Result<u32, NoToken>) -> TcpStream {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own = listener.local_addr().unwrap();
    let gateway = Gateway { upstream: address.into(), tokens: Arc::new(Tokens(Mutex::new(tokens))) };
    tokio::spawn(async move {
        let (inside, _) = listener.accept().await.unwrap();
        proxy(inside, &gateway, PATIENCE).await
    });
    TcpStream::connect(own).await.unwrap()
}

/// Sends, ends its direction, and reads everything.
async fn ask(mut stream: TcpStream, sent: &str) -> String {
    stream.write_all(sent.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut said = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut said)).await.expect("an end comes");
    drop(read);
    String::from_utf8_lossy(&said).into_owned()
}

const REFUSAL: &str = "HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nno!\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[tokio::test]
async fn every_request_of_a_connection_is_shown_with_the_token_of_its_moment() {
    let (address, mut seen) = gateway(&[OK, OK, OK]).await;
    let sent = "GET http://a/1 HTTP/1.1\r\nHost: a\r\nProxy-Authorization: Bearer stolen\r\n\r\n\
                POST http://a/2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
                2b\r\nGET http://a/hidden HTTP/1.1\r\nHost: a\r\n--\r\n\r\n0\r\n\r\n\
                GET http://a/3 HTTP/1.1\r\nHost: a\r\n\r\n";
    let answered = ask(client(address, Ok(1)).await, sent).await;
    assert_eq!(answered.matches("200 OK").count(), 3, "{answered}");
    let arrived = seen.recv().await.unwrap();
    let tokens: Vec<&str> = arrived.lines().filter(|line| line.contains("Authorization")).collect();
    let own = ["1", "2", "3"].map(|number| format!("Proxy-Authorization: Bearer token-{number}"));
    assert_eq!(tokens, own, "{arrived}");
    assert!(!arrived.contains("stolen"));
}

#[tokio::test]
async fn a_tunnel_carries_bytes_once_it_is_open() {
    let (address, mut seen) = gateway(&["HTTP/1.1 200 Connected\r\n\r\nbanner"]).await;
    let sent = "CONNECT a.example.com:443 HTTP/1.1\r\nHost: a.example.com:443\r\n\r\n\
                Proxy-Authorization: this is the tunnel's own\r\n\r\n";
    let answered = ask(client(address, Ok(7)).await, sent).await;
    assert_eq!(answered, "HTTP/1.1 200 Connected\r\n\r\nbanner");
    let arrived = seen.recv().await.unwrap();
    assert_eq!(
        arrived,
        "CONNECT a.example.com:443 HTTP/1.1\r\nHost: a.example.com:443\r\n\
         Proxy-Authorization: Bearer token-7\r\n\r\nProxy-Authorization: this is the tunnel's own\r\n\r\n"
    );
}

#[tokio::test]
async fn nothing_follows_a_tunnel_that_was_refused() {
    let (address, mut seen) = gateway(&[REFUSAL, OK]).await;
    let sent = "CONNECT a.example.com:443 HTTP/1.1\r\n\r\n\
                GET http://a/ HTTP/1.1\r\nProxy-Authorization: Bearer stolen\r\n\r\n";
    assert_eq!(ask(client(address, Ok(1)).await, sent).await, REFUSAL);
    let arrived = seen.recv().await.unwrap();
    assert!(!arrived.contains("stolen") && !arrived.contains("GET"), "{arrived}");
}

#[tokio::test]
async fn a_tunnel_after_a_request_is_not_passed_on() {
    let (address, mut seen) = gateway(&[OK, OK]).await;
    let sent = "GET http://a/ HTTP/1.1\r\n\r\nCONNECT a.example.com:443 HTTP/1.1\r\n\r\n";
    ask(client(address, Ok(1)).await, sent).await;
    assert!(!seen.recv().await.unwrap().contains("CONNECT"));
}

#[tokio::test]
async fn what_is_refused_here_is_told_and_reaches_no_gateway() {
    let (address, mut seen) = gateway(&[OK]).await;
    let bad = ask(client(address, Ok(1)).await, "GET http://a/ HTTP/1.1\nHost: a\r\n\r\n").await;
    assert!(bad.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{bad}");
    let get = "GET http://a/ HTTP/1.1\r\n\r\n";
    let refused = NoToken::Refused("taken away".to_owned());
    let forbidden = ask(client(address, Err(refused)).await, get).await;
    assert!(forbidden.starts_with("HTTP/1.1 403 Forbidden\r\n") && forbidden.ends_with("taken away\n"));
    let away = ask(client(address, Err(NoToken::Away)).await, get).await;
    assert!(away.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{away}");
    let long = format!("GET http://a/ HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(MAX_HEAD_BYTES));
    let long = ask(client(address, Ok(1)).await, &long).await;
    assert!(long.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{long}");
    let nobody = trace_ports::reserve_address();
    let gone = ask(client(nobody, Ok(1)).await, get).await;
    assert!(gone.starts_with("HTTP/1.1 502 Bad Gateway\r\n"), "{gone}");
    assert!(seen.try_recv().is_err(), "nothing has reached the gateway");
}
