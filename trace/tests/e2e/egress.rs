//! Out of the sandbox: Python's own client in a UDF, through the sandbox's proxy and the egress gateway, to a server
//! on a loopback address that the gateway's operator allows.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::mpsc,
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use crate::platform::{Platform, stderr};

/// The operator of this gateway lets granted destinations be on this machine. `127.0.0.2`, because `127.0.0.1` is
/// the sandbox itself to a program in it.
const POLICY: &str = r#"{"allow_private": {"networks": ["127.0.0.2/32"]}}"#;
/// Nothing here takes as long.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the server outside tells a test.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    /// A request, as its line and whether any header shows authority.
    Asked(String, Shown),
    /// A connection whose answer never ends is over.
    Over,
}

#[derive(Debug, PartialEq, Eq)]
enum Shown {
    Nothing,
    Authority,
}

/// A server that answers `/hello` at once and `/forever` never to the end.
fn outside() -> (SocketAddr, mpsc::Receiver<Seen>) {
    let listener = TcpListener::bind("127.0.0.2:0").unwrap();
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

fn serve(mut stream: TcpStream, tell: &mpsc::Sender<Seen>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
            break;
        }
        head.push(line.trim_end().to_owned());
    }
    let Some(request) = head.first().cloned() else { return };
    let shows = head.iter().any(|line| line.to_lowercase().contains("authorization"));
    tell.send(Seen::Asked(request.clone(), if shows { Shown::Authority } else { Shown::Nothing })).unwrap();
    if request.contains("/forever") {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nbegun").unwrap();
        let _until_it_ends = reader.read_to_end(&mut Vec::new());
        tell.send(Seen::Over).unwrap();
    } else {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello").unwrap();
    }
}

/// Asks for what is granted, and for what is not.
fn asking(address: SocketAddr) -> String {
    format!(
        "
import os, urllib.error, urllib.request
from trace_udf import task

def ask(url, **headers):
    try:
        return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30).read().decode()
    except urllib.error.HTTPError as refused:
        return str(refused.code)

@task
def run(ctx):
    granted = 'http://{address}'
    own = {{'Proxy-Authorization': 'Bearer ' + os.environ['TRACE_TASK_CAPABILITY_TOKEN']}}
    ctx.write([
        {{'what': 'granted', 'said': ask(granted + '/hello')}},
        {{'what': 'own token', 'said': ask(granted + '/hello', **own)}},
        {{'what': 'another port', 'said': ask('http://{ip}:1/')}},
        {{'what': 'another host', 'said': ask('http://api.example.com/')}},
        {{'what': 'metadata', 'said': ask('http://169.254.169.254/latest/meta-data/')}},
        {{'what': 'proxy', 'said': os.environ['HTTPS_PROXY']}},
    ])
",
        ip = address.ip()
    )
}

/// Has no grant, and looks for a way all the same.
const STAYING: &str = "
import os, socket
from trace_udf import task

def reached(address):
    try:
        socket.create_connection(address, timeout=5).close()
        return 'REACHED'
    except OSError:
        return 'refused'

@task
def run(ctx):
    ctx.write([
        {'what': 'variables', 'said': ' '.join(name for name in os.environ if 'proxy' in name.lower())},
        {'what': 'listener', 'said': reached(('127.0.0.1', 8004))},
        {'what': 'outside', 'said': reached(('127.0.0.2', 80))},
    ])
";

fn jobs(egress: &str, publish: &str) -> String {
    format!(
        "  - name: a\n    udf: {{ language: python, path: a }}\n    timeout: 300s\n    retries: {{ max: 0 }}\n{egress}\
         publish:\n  {publish}: {{ from: {{ job: a }} }}\n"
    )
}

fn reaching(address: SocketAddr, publish: &str) -> String {
    jobs(&format!("    egress: [\"{address}\"]\n"), publish)
}

/// What a UDF has written, by what it is about.
fn said(platform: &Platform, table: &str) -> Value {
    let sql = format!("SELECT what, said FROM {table}");
    let rows = platform.json(&["query", &sql, "--format", "json"])["rows"].take();
    let pair = |row: &Value| (row[0].as_str().unwrap().to_owned(), row[1].clone());
    Value::Object(rows.as_array().unwrap().iter().map(pair).collect())
}

fn run(platform: &Platform, dag: &str) {
    let ended = platform.json(&["trigger", dag, "--wait", "--json"]);
    assert_eq!(ended["state"], "succeeded", "{ended}");
}

#[test]
fn a_udf_reaches_what_its_dag_declares_and_an_admin_allows() {
    let platform = Platform::with_egress_policy(POLICY);
    let (address, seen) = outside();
    let source = asking(address);
    let refused = platform.try_deploy_python("out", &reaching(address, "answers"), &[("a", &source)]);
    assert_eq!(refused.status.code(), Some(3));
    let command = format!("trace egress allow {address} --dag out");
    assert!(stderr(&refused).contains(&command), "{}", stderr(&refused));

    platform.json(&["egress", "allow", &address.to_string(), "--dag", "out", "--json"]);
    platform.deploy_python("out", &reaching(address, "answers"), &[("a", &source)]);
    run(&platform, "out");
    let expected = json!({
        "granted": "hello", "own token": "hello", "another port": "403", "another host": "403",
        "metadata": "403", "proxy": "http://127.0.0.1:8004",
    });
    assert_eq!(said(&platform, "answers"), expected);
    for _ in 0..2 {
        let asked = seen.recv_timeout(PATIENCE).unwrap();
        assert_eq!(asked, Seen::Asked("GET /hello HTTP/1.1".to_owned(), Shown::Nothing));
    }
    assert!(seen.try_recv().is_err(), "nothing else has come");

    let log = platform.json(&["audit", "--limit", "1000", "--json"]);
    let of = |verdict: &str| {
        let entries = log.as_array().unwrap().iter();
        entries.filter(|entry| entry["plane"] == "egress" && entry["verdict"] == verdict).count()
    };
    assert!(of("allow") >= 2 && of("deny") >= 3, "every request is in the audit log: {log}");
}

#[test]
fn a_udf_without_a_grant_finds_no_way_out() {
    let platform = Platform::with_egress_policy(POLICY);
    platform.deploy_python("inside", &jobs("", "nothing"), &[("a", STAYING)]);
    run(&platform, "inside");
    let expected = json!({ "variables": "", "listener": "refused", "outside": "refused" });
    assert_eq!(said(&platform, "nothing"), expected);
}

/// The first attempt waits for an answer that never ends; whatever comes after it has no way out.
fn waiting(address: SocketAddr) -> String {
    format!(
        "
import os, urllib.request
from trace_udf import task

@task
def run(ctx):
    if 'HTTP_PROXY' in os.environ:
        urllib.request.urlopen('http://{address}/forever', timeout=300).read()
    ctx.write([{{'what': 'proxy', 'said': os.environ.get('HTTP_PROXY', 'none')}}])
"
    )
}

#[test]
fn a_destination_that_is_taken_away_ends_what_is_under_way() {
    let platform = Platform::with_egress_policy(POLICY);
    let (address, seen) = outside();
    let rule = platform.json(&["egress", "allow", &address.to_string(), "--json"]);
    let rule = rule["rule"]["rule"].as_str().unwrap().to_owned();
    platform.deploy_python("held", &reaching(address, "after"), &[("a", &waiting(address))]);
    let run = platform.json(&["trigger", "held", "--json"])["run"].as_str().unwrap().to_owned();
    let asked = seen.recv_timeout(PATIENCE).unwrap();
    assert_eq!(asked, Seen::Asked("GET /forever HTTP/1.1".to_owned(), Shown::Nothing));

    let removed = platform.json(&["egress", "remove", &rule, "--json"]);
    assert_eq!(removed["attempts_ended"], 1);
    assert_eq!(seen.recv_timeout(PATIENCE).unwrap(), Seen::Over, "the connection is closed");
    let ended = loop {
        let task = platform.json(&["tasks", &run, "--json"])[0].take();
        assert_ne!(task["state"], "dead", "it must not use up a retry: {task}");
        if task["state"] == "succeeded" {
            break task;
        }
    };
    let outcomes: Vec<&Value> =
        ended["attempts"].as_array().unwrap().iter().map(|attempt| &attempt["outcome"]).collect();
    assert!(outcomes.contains(&&json!("egress_withdrawn")), "{outcomes:?}");
    assert_eq!(said(&platform, "after"), json!({ "proxy": "none" }));
    assert!(seen.try_recv().is_err(), "nothing else has come");
}
