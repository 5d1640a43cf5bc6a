//! A service with TLS, reached by a program that speaks none.

use axum::{Router, routing::get};
use serde_json::json;
use tokio_util::sync::{CancellationToken, DropGuard};
use trace_plane::{Transport, Trust};
use trace_worker_wrapper::sandbox::Upstream;

use super::kit::Task;
use crate::authority::Authority;

/// What the program inside says of `TRACE_QUERY_URL`.
const ASK: &str = "
import os, socket
_, _, place = os.environ['TRACE_QUERY_URL'].partition('//')
host, _, port = place.partition(':')
answer = b''
with socket.create_connection((host, int(port))) as s:
    s.settimeout(20)
    try:
        s.sendall(b'GET / HTTP/1.1\\r\\nhost: x\\r\\nconnection: close\\r\\n\\r\\n')
        while piece := s.recv(65536):
            answer += piece
    except OSError:
        pass
print(json.dumps({'url': os.environ['TRACE_QUERY_URL'].split(':')[0], 'answer': answer.decode()[-6:]}))
";

/// A service with a certificate of this authority, and how a wrapper that trusts so reaches it.
async fn service(authority: &Authority, trust: &Trust) -> (Upstream, DropGuard) {
    let folder = tempfile::tempdir().unwrap();
    let transport = Transport::Tls(authority.pair("localhost").write(folder.path()));
    let listener = transport.open().unwrap().bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let router = Router::new().route("/", get(|| async { "served" }));
    tokio::spawn(trace_plane::serve(listener, router, stop.clone()));
    let url = format!("https://localhost:{}/", address.port()).parse().unwrap();
    (Upstream { address, tls: trust.connector(&url).unwrap() }, stop.drop_guard())
}

#[tokio::test]
async fn the_forwarder_speaks_tls_for_the_program_inside_with_whom_the_wrapper_believes_alone() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let believing = Trust::read(Some(&authority.file(folder.path()))).unwrap();
    let (upstream, _serving) = service(&authority, &believing).await;
    let report = Task::python(ASK).query(upstream).report().await;
    assert_eq!(report, json!({ "url": "http", "answer": "served" }));

    let (upstream, _serving) = service(&authority, &Trust::default()).await;
    let report = Task::python(ASK).query(upstream).report().await;
    assert_eq!(report, json!({ "url": "http", "answer": "" }), "nothing passes to whom nobody believes");
}
