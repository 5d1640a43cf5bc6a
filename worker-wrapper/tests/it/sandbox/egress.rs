//! The way out: only for who has one, with the attempt's own token, for clients as they are.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    sync::{Arc, mpsc},
    thread,
};

use async_trait::async_trait;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use trace_contracts::Secret;
use trace_plane::{Listener, Transport, Trust};
use trace_worker_wrapper::{
    egress::{EgressTokens, NoToken},
    sandbox::{Exit, Program, Sandbox, SandboxConfig, Upstream},
};

use super::kit::{Task, alone, run_in, sandbox_with_spares};
use crate::authority::Authority;

/// Always the same token.
struct Token;

#[async_trait]
impl EgressTokens for Token {
    async fn current(&self) -> Result<Secret<String>, NoToken> {
        Ok(Secret::new("the-attempts-own".to_owned()))
    }
}

/// A gateway that opens every tunnel, and is the server behind it: it answers each head with `hello`, and
/// tells what it was sent.
fn gateway() -> (SocketAddr, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, seen) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let tell = tell.clone();
            thread::spawn(move || serve(stream.unwrap(), &tell));
        }
    });
    (address, seen)
}

fn serve(mut stream: TcpStream, tell: &mpsc::Sender<String>) {
    let mut unread = String::new();
    let mut buffer = [0; 4096];
    loop {
        while let Some(end) = unread.find("\r\n\r\n") {
            let head: String = unread.drain(..end + 4).collect();
            let answer = match head.starts_with("CONNECT ") {
                true => "HTTP/1.1 200 Connected\r\n\r\n",
                false => "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            };
            stream.write_all(answer.as_bytes()).unwrap();
            tell.send(head).unwrap();
        }
        match stream.read(&mut buffer) {
            Ok(bytes @ 1..) => unread.push_str(&String::from_utf8_lossy(&buffer[..bytes])),
            _ => return,
        }
    }
}

fn granted(mut task: Task, gateway: impl Into<Upstream>) -> Task {
    task.confinement.upstreams.egress = Some(gateway.into());
    task.confinement.egress = Some(Arc::new(Token));
    task
}

/// The values of a header in a head.
fn values<'a>(head: &'a str, name: &str) -> Vec<&'a str> {
    let named = |line: &'a str| line.split_once(": ").filter(|(found, _)| found.eq_ignore_ascii_case(name));
    head.lines().filter_map(named).map(|(_, value)| value).collect()
}

/// What a program sees of a way out.
const LOOK: &str = "
def reached(port):
    with socket.socket() as s:
        s.settimeout(5)
        s.connect(('127.0.0.1', port))
print(json.dumps({
    'variables': {n: v for n, v in sorted(os.environ.items()) if 'proxy' in n.lower()},
    'listener': refusal(reached, 8004),
}))";

#[tokio::test]
async fn without_a_grant_there_is_no_listener_and_no_variable() {
    let (address, seen) = gateway();
    let mut task = Task::python(LOOK);
    // The worker knows a gateway; the attempt has nothing that opens it.
    task.confinement.upstreams.egress = Some(address.into());
    let report = task.report().await;
    assert_eq!(report["variables"], json!({}));
    assert!(["EACCES", "ECONNREFUSED"].contains(&report["listener"].as_str().unwrap()), "{report}");
    assert!(seen.try_recv().is_err());
}

#[tokio::test]
async fn a_client_that_knows_proxies_needs_no_change() {
    let (address, seen) = gateway();
    let script = "
import urllib.request
stolen = {'Proxy-Authorization': 'Bearer stolen', 'X-Own': 'kept'}
def ask(**headers):
    request = urllib.request.Request('http://api.example.com/x', headers=headers)
    return urllib.request.urlopen(request, timeout=60).read().decode()
print(json.dumps([ask(), ask(**stolen)]))";
    let report = granted(Task::python(script), address).report().await;
    assert_eq!(report, json!(["hello", "hello"]));
    for _ in 0..2 {
        let head = seen.recv().unwrap();
        assert!(head.starts_with("GET http://api.example.com/x HTTP/1.1\r\n"), "{head}");
        assert_eq!(values(&head, "Proxy-Authorization"), ["Bearer the-attempts-own"], "{head}");
    }
}

#[tokio::test]
async fn curl_opens_tunnels_through_it() {
    let _alone = alone().await;
    let (address, seen) = gateway();
    let tools = [("curl".to_owned(), PathBuf::from("/usr/bin/curl"))];
    let config = SandboxConfig { spares: 0, tools: tools.into(), ..SandboxConfig::default() };
    let sandbox = Sandbox::probe(config).await.unwrap();
    let mut task = granted(Task::python(""), address);
    let arguments = ["-sS", "--proxytunnel", "http://api.example.com/y"];
    task.confinement.program = Program::Executable {
        path: "/trace/bin/curl".to_owned(),
        arguments: arguments.map(str::to_owned).to_vec(),
    };
    let finished = run_in(&sandbox, task).await;
    assert_eq!(finished.exit, Exit::Success, "{}", finished.stderr);
    assert_eq!(finished.stdout, "hello");
    let connect = seen.recv().unwrap();
    assert!(connect.starts_with("CONNECT api.example.com:80 HTTP/1.1\r\n"), "{connect}");
    assert_eq!(values(&connect, "Proxy-Authorization"), ["Bearer the-attempts-own"]);
    let inside = seen.recv().unwrap();
    assert!(inside.starts_with("GET /y HTTP/1.1\r\n"), "{inside}");
    assert!(values(&inside, "Proxy-Authorization").is_empty(), "the tunnel is the client's own: {inside}");
}

/// Answers one request of each connection that goes through with its handshake, and tells what it was sent.
async fn serve_by_tls(listener: Listener, tell: mpsc::Sender<String>) {
    while let Ok(arrival) = listener.accept().await {
        let Ok(mut stream) = arrival.greet().await else { continue };
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").await.unwrap();
        stream.flush().await.unwrap();
        tell.send(String::from_utf8(head).unwrap()).unwrap();
    }
}

#[tokio::test]
async fn the_token_is_shown_by_tls_to_a_gateway_that_is_believed_and_to_no_other() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let transport = Transport::Tls(authority.pair("localhost").write(folder.path()));
    let listener = transport.open().unwrap().bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let url = format!("https://localhost:{}/", address.port()).parse().unwrap();
    let (tell, seen) = mpsc::channel();
    tokio::spawn(serve_by_tls(listener, tell));
    let script = "
import urllib.error, urllib.request
try:
    print(json.dumps(urllib.request.urlopen('http://api.example.com/x', timeout=60).read().decode()))
except urllib.error.HTTPError as error:
    print(json.dumps(error.code))";
    let by = |trust: &Trust| Upstream { address, tls: trust.connector(&url).unwrap() };

    let believing = Trust::read(Some(&authority.file(folder.path()))).unwrap();
    let report = granted(Task::python(script), by(&believing)).report().await;
    assert_eq!(report, json!("hello"), "the program inside speaks plain HTTP, as ever");
    assert_eq!(values(&seen.recv().unwrap(), "Proxy-Authorization"), ["Bearer the-attempts-own"]);

    let report = granted(Task::python(script), by(&Trust::default())).report().await;
    assert_eq!(report, json!(502));
    assert!(seen.try_recv().is_err(), "no token to whom nobody believes");
}

#[tokio::test]
async fn the_platform_is_not_asked_for_through_the_proxy() {
    let (address, seen) = gateway();
    let (query, direct) = gateway();
    let script = "
import urllib.request
print(json.dumps(urllib.request.urlopen(os.environ['TRACE_QUERY_URL'] + '/q', timeout=60).read().decode()))";
    let report = granted(Task::python(script), address).query(query).report().await;
    assert_eq!(report, json!("hello"));
    assert!(direct.recv().unwrap().starts_with("GET /q HTTP/1.1\r\n"));
    assert!(seen.try_recv().is_err());
}

#[tokio::test]
async fn a_prepared_sandbox_has_the_listeners_of_its_attempt() {
    let _alone = alone().await;
    let (address, _seen) = gateway();
    let sandbox = sandbox_with_spares(2).await;
    let staying = || {
        let mut task = Task::python(LOOK);
        task.confinement.upstreams.egress = Some(address.into());
        task
    };
    for _ in 0..2 {
        for (task, is_granted) in [(staying(), false), (granted(Task::python(LOOK), address), true)] {
            // One like it waits, and one of the other kind.
            sandbox.prepare(&task.ahead()).await.unwrap();
            let finished = run_in(&sandbox, task).await;
            let report: serde_json::Value = serde_json::from_str(&finished.stdout).unwrap();
            assert_eq!(report["listener"] == "ALLOWED", is_granted, "{report}");
            assert_eq!(report["variables"] != json!({}), is_granted, "{report}");
        }
    }
}
