//! A DAG that has its events told, to a receiver on a loopback address that the gateway's operator allows: signed, so
//! that the specification's own library takes it, and sent again after a power cut.

use std::{sync::mpsc, time::Duration};

use axum::{
    Router,
    body::Bytes,
    http::{HeaderMap, StatusCode, Uri},
    routing::any,
};
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use tokio_util::sync::{CancellationToken, DropGuard};
use trace_plane::{Door, tls::Tls};

use crate::{
    authority::Authority,
    platform::{Platform, stderr},
};

const POLICY: &str = r#"{"allow_private": {"networks": ["127.0.0.2/32"]}}"#;
/// Longer than a claim of a gateway that is gone.
const PATIENCE: Duration = Duration::from_secs(120);

const TELLING: &str = "
from trace_udf import task

@task
def run(ctx):
    ctx.deliver('ops', {'late': 7}, key='late-2013')
    ctx.write([{'n': 1}])
";

const JOBS: &str = "  - name: a
    udf: { language: python, path: a }
    retries: { max: 0 }
publish:
  told: { from: { job: a } }
deliver:
  - { on: run_finished, to: ops }
  - { on: dataset_published, to: ops }
  - { on: task_message, to: ops, job: a }
";

/// A message as it came in.
struct Message {
    headers: HeaderMap,
    body: Bytes,
}

impl Message {
    fn id(&self) -> String {
        self.headers["webhook-id"].to_str().unwrap().to_owned()
    }

    /// What it says, once the specification's library has taken it.
    fn verified(&self, key: &str) -> Value {
        let webhook = Webhook::new(key).unwrap();
        webhook.verify(&self.body, &self.headers).expect("a signature of ours");
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// A receiver that answers 204; at `/never` it answers the first message never.
struct Receiver {
    address: String,
    authorities: String,
    messages: mpsc::Receiver<Message>,
    _stop: DropGuard,
    _folder: tempfile::TempDir,
    _runtime: tokio::runtime::Runtime,
}

impl Receiver {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
        let files = authority.pair("127.0.0.2").write(folder.path());
        let authorities = std::fs::read_to_string(authority.file(folder.path())).unwrap();
        let (tell, messages) = mpsc::channel();
        let stop = CancellationToken::new();
        let listener = runtime.block_on(async {
            Door::Tls(Tls::open(files).unwrap()).bind("127.0.0.2:0".parse().unwrap()).await.unwrap()
        });
        let address = listener.local_addr().unwrap().to_string();
        let seen = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let handler = move |uri: Uri, headers: HeaderMap, body: Bytes| {
            let before = seen.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            tell.send(Message { headers, body }).unwrap();
            async move {
                if uri.path() == "/never" && before == 0 {
                    std::future::pending::<()>().await;
                }
                StatusCode::NO_CONTENT
            }
        };
        let router = Router::new().route("/{*path}", any(handler));
        runtime.spawn(trace_plane::serve(listener, router, stop.clone()));
        Self { address, authorities, messages, _stop: stop.drop_guard(), _folder: folder, _runtime: runtime }
    }

    fn next(&self) -> Message {
        self.messages.recv_timeout(PATIENCE).expect("a message")
    }
}

fn add(platform: &Platform, url: &str) -> String {
    let added = platform.json(&["webhooks", "add", "ops", url, "--json"]);
    added["key"].as_str().unwrap().to_owned()
}

#[test]
fn a_dag_s_events_are_told_signed_and_listed() {
    let receiver = Receiver::start();
    let platform = Platform::with_receivers(POLICY, &receiver.authorities);
    let refused = platform.try_deploy_python("telling", JOBS, &[("a", TELLING)]);
    assert!(stderr(&refused).contains("trace webhooks add ops"), "{}", stderr(&refused));
    let key = add(&platform, &format!("https://{}/services/hunter2", receiver.address));
    let refused = platform.try_deploy_python("telling", JOBS, &[("a", TELLING)]);
    let command = format!("trace egress allow {} --dag telling", receiver.address);
    assert!(stderr(&refused).contains(&command), "{}", stderr(&refused));
    platform.json(&["egress", "allow", &receiver.address, "--dag", "telling", "--json"]);
    platform.deploy_python("telling", JOBS, &[("a", TELLING)]);

    let run = platform.json(&["trigger", "telling", "--wait", "--json"]);
    assert_eq!(run["state"], "succeeded", "{run}");
    let mut told: Vec<Value> = (0..3).map(|_| receiver.next().verified(&key)).collect();
    told.sort_by_key(|message| message["type"].as_str().unwrap().to_owned());
    let types: Vec<&Value> = told.iter().map(|message| &message["type"]).collect();
    assert_eq!(types, ["dataset.published", "run.finished", "task.message"]);
    assert_eq!((&told[1]["data"]["run"], &told[1]["data"]["state"]), (&run["run"], &json!("succeeded")));
    assert_eq!(told[2]["data"]["body"], json!({ "late": 7 }));

    let delivered = loop {
        let listed = platform.json(&["webhooks", "deliveries", "ops", "--state", "delivered", "--json"]);
        if listed.as_array().unwrap().len() == 3 {
            break listed;
        }
    };
    assert_eq!(delivered[0]["last_status"], 204);
    let log = platform.json(&["audit", "--limit", "1000", "--json"]);
    let sent = log.as_array().unwrap().iter().filter(|row| row["action"] == "delivery.sent").count();
    assert_eq!(sent, 3, "{log}");
    assert!(!log.to_string().contains("hunter2") && !log.to_string().contains("whsec_"));
    assert!(receiver.messages.try_recv().is_err(), "nothing else has come");
}

#[test]
fn a_power_cut_between_sending_and_reporting_sends_it_again_with_the_same_id() {
    let receiver = Receiver::start();
    let mut platform = Platform::with_receivers(POLICY, &receiver.authorities);
    let key = add(&platform, &format!("https://{}/never", receiver.address));
    platform.json(&["egress", "allow", &receiver.address, "--json"]);
    let quiet = JOBS.replace("  - { on: dataset_published, to: ops }\n", "");
    let source = TELLING.replace("    ctx.deliver('ops', {'late': 7}, key='late-2013')\n", "");
    platform.deploy_python("cut", &quiet, &[("a", &source)]);
    platform.json(&["trigger", "cut", "--wait", "--json"]);
    let first = receiver.next();
    platform.crash_and_restart();
    let second = receiver.next();
    assert_eq!(second.id(), first.id());
    assert_eq!(second.verified(&key), first.verified(&key));
}
