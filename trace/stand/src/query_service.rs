//! The query service in a process of its own, as it is installed.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use trace_object_store::EmbeddedObjectStore;

use crate::{Cable, Dispatcher, Issuer, LONG, REGION, dispatcher::CAPABILITY_ISSUER, users::ISSUER};

/// Hundredths of a second of processor time, which nothing but a slow query takes.
const BUSY_TICKS: u64 = 30;

/// A running service; killed when dropped.
pub struct QueryService {
    child: Child,
    users: SocketAddr,
    tasks: SocketAddr,
}

impl QueryService {
    pub(crate) async fn start(
        folder: &Path,
        dispatcher: &Dispatcher,
        cable: &Cable,
        issuer: &Issuer,
        store: &EmbeddedObjectStore,
        liveness_bound: Duration,
    ) -> anyhow::Result<Self> {
        let (users, tasks) = (trace_ports::reserve_address(), trace_ports::reserve_address());
        let root = store.root_credentials();
        let jwks = format!("http://{}/.well-known/jwks.json", dispatcher.addresses().users);
        let config = json!({
            "listen_users": users, "listen_tasks": tasks, "log": "error",
            "service": {
                "dispatcher": format!("http://{}/", cable.address()),
                "identity": dispatcher.plane().expose(),
                "capabilities": { "issuer": CAPABILITY_ISSUER, "jwks": jwks },
                "users": { "issuer": ISSUER, "jwks": issuer.jwks_url() },
                "store": { "endpoint": store.endpoint().as_str(), "region": REGION, "keys": {
                    "access_key_id": root.access_key_id,
                    "secret_access_key": root.secret_access_key.expose(),
                }},
                "engines": { "count": 2, "threads": 1 },
                "limits": { "liveness_bound_ms": liveness_bound.as_millis() },
            },
        });
        let file = folder.join("query.json");
        std::fs::write(&file, config.to_string())?;
        let program = program()?;
        let child = Command::new(&program)
            .args(["serve", "--config"])
            .arg(&file)
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        let service = Self { child, users, tasks };
        service.ready().await?;
        Ok(service)
    }

    /// Asks as a task; answers whatever comes back.
    pub async fn ask(
        &self,
        http: &reqwest::Client,
        token: &str,
        sql: &str,
    ) -> anyhow::Result<reqwest::Response> {
        let url = format!("http://{}/v1/task/query", self.tasks);
        Ok(http.post(url).bearer_auth(token).json(&json!({ "sql": sql })).send().await?)
    }

    /// Asks [`SLOW`](crate::SLOW) as a task, in a task of its own.
    pub(crate) fn ask_in_background(
        &self,
        http: reqwest::Client,
        token: String,
    ) -> JoinHandle<reqwest::Result<reqwest::Response>> {
        let url = format!("http://{}/v1/task/query", self.tasks);
        let request = http.post(url).bearer_auth(token).json(&json!({ "sql": crate::SLOW }));
        tokio::spawn(request.send())
    }

    /// The same as a user.
    pub fn ask_slowly_as_user(
        &self,
        http: &reqwest::Client,
        token: &str,
    ) -> JoinHandle<reqwest::Result<reqwest::Response>> {
        let url = format!("http://{}/v1/query", self.users);
        let request = http.post(url).bearer_auth(token).json(&json!({ "sql": crate::SLOW }));
        tokio::spawn(request.send())
    }

    /// Asks as a user; answers whatever comes back.
    pub async fn ask_as_user(
        &self,
        http: &reqwest::Client,
        token: &str,
        sql: &str,
    ) -> anyhow::Result<reqwest::Response> {
        let url = format!("http://{}/v1/query", self.users);
        Ok(http.post(url).bearer_auth(token).json(&json!({ "sql": sql })).send().await?)
    }

    /// Waits until an engine works: until one has used more processor time than starting takes.
    pub async fn busy(&self) -> anyhow::Result<()> {
        let before = self.processor_ticks();
        let works = |now: &BTreeMap<u32, u64>| {
            now.iter()
                .any(|(engine, ticks)| *ticks >= before.get(engine).copied().unwrap_or_default() + BUSY_TICKS)
        };
        let mut looks = tokio::time::interval(Duration::from_millis(5));
        let busy = async {
            while !works(&self.processor_ticks()) {
                looks.tick().await;
            }
        };
        tokio::time::timeout(LONG, busy).await.context("no engine works")
    }

    /// The engines that there are, with the processor time of each.
    fn processor_ticks(&self) -> BTreeMap<u32, u64> {
        let own = self.child.id().to_string();
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        entries
            .filter_map(|entry| {
                let pid = entry.file_name().to_str()?.parse().ok()?;
                let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
                // After the name, which is in brackets: state, parent, and so on.
                let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
                (fields.get(1)? == &own).then_some(())?;
                let time = |at: usize| fields.get(at)?.parse::<u64>().ok();
                Some((pid, time(11)? + time(12)?))
            })
            .collect()
    }

    async fn ready(&self) -> anyhow::Result<()> {
        let http = reqwest::Client::builder().no_proxy().build()?;
        let url = format!("http://{}/readyz", self.tasks);
        let mut tries = tokio::time::interval(Duration::from_millis(20));
        let ready = async {
            while !http.get(&url).send().await.is_ok_and(|response| response.status().is_success()) {
                tries.tick().await;
            }
        };
        tokio::time::timeout(LONG, ready).await.context("it did not become ready")
    }
}

impl Drop for QueryService {
    fn drop(&mut self) {
        // Its engines end with it.
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// The code of a problem, where the answer is one.
pub(crate) async fn code(response: reqwest::Response) -> anyhow::Result<Option<String>> {
    if response.status().is_success() {
        return Ok(None);
    }
    let problem: Value = response.json().await?;
    Ok(problem["code"].as_str().map(ToOwned::to_owned))
}

/// The program beside this one: tests are one folder deeper than programs.
fn program() -> anyhow::Result<PathBuf> {
    let this = std::env::current_exe()?;
    let folders = this.ancestors().skip(1).take(2);
    let mut found = folders.map(|folder| folder.join("query-service")).filter(|path| path.is_file());
    let program = found.next();
    ensure!(program.is_some(), "`query-service` is not built: `cargo build --workspace` does it");
    program.context("checked")
}
