//! The query service in a process of its own, as it is installed, with what it asks around it.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow, bail};
use axum::Router;
use serde_json::json;
use tokio::net::TcpListener;
use trace_contracts::{DatasetId, Grants, InputGrant, Manifest, Name, Sha256, grant::Budgets};
use url::Url;

use crate::{
    dispatcher::{self, Dispatcher},
    objects,
    tokens::{ISSUER, Key},
    tpch,
};

/// The service is ready within this time.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// A running service and a token for it; killed when dropped.
pub struct Service {
    child: Child,
    http: reqwest::Client,
    query: Url,
    token: String,
}

impl Service {
    /// Starts `program serve` over the Parquet files of `folder`, with engines of `threads` threads.
    pub async fn start(program: &Path, folder: &Path, threads: usize) -> anyhow::Result<Self> {
        let key = Key::new()?;
        let (inputs, manifests) = inputs(folder)?;
        let token = key.sign(Grants {
            inputs,
            output: "s3://trace/data/out/".parse()?,
            scratch: "s3://trace/data/scratch/".parse()?,
            egress: Vec::new(),
            budgets: Budgets::default(),
        })?;
        let dispatcher = listen(dispatcher::router(Dispatcher { jwks: key.jwks, manifests })).await?;
        let store = listen(objects::router(folder)).await?;
        let (users, tasks) = (trace_ports::reserve_address(), trace_ports::reserve_address());
        let config = config(&dispatcher, &store, users, tasks, threads);
        let file = folder.join("query.json");
        std::fs::write(&file, config.to_string())?;
        let child = Command::new(program)
            .args(["serve", "--config"])
            .arg(&file)
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        let http = reqwest::Client::builder().no_proxy().build()?;
        let service = Self { child, http, query: format!("http://{tasks}/v1/task/query").parse()?, token };
        service.ready().await?;
        Ok(service)
    }

    /// Asks one query: the time that a client sees in milliseconds, and the body.
    pub async fn ask(&self, sql: &str) -> anyhow::Result<(f64, Vec<u8>)> {
        let start = Instant::now();
        let request = self.http.post(self.query.clone()).bearer_auth(&self.token);
        let response = request.json(&json!({ "sql": sql })).send().await?;
        let (status, body) = (response.status(), response.bytes().await?);
        let ms = start.elapsed().as_secs_f64() * 1000.0;
        if !status.is_success() {
            bail!("{status}: {}", String::from_utf8_lossy(&body));
        }
        Ok((ms, body.to_vec()))
    }

    async fn ready(&self) -> anyhow::Result<()> {
        let mut tries = tokio::time::interval(Duration::from_millis(50));
        let mut last = None;
        let asked = async {
            while let Err(error) = self.ask("select 1").await {
                last = Some(error);
                tries.tick().await;
            }
        };
        match tokio::time::timeout(READY_WITHIN, asked).await {
            Ok(()) => Ok(()),
            Err(_) => {
                Err(last.unwrap_or_else(|| anyhow!("no answer"))).context("the service did not become ready")
            }
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Its engines end with it.
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

type Inputs = (BTreeMap<Name, InputGrant>, HashMap<Sha256, String>);

/// A grant of every table, and the manifests that the grants name.
fn inputs(folder: &Path) -> anyhow::Result<Inputs> {
    let (mut inputs, mut manifests) = (BTreeMap::new(), HashMap::new());
    for (number, (table, _)) in (1..).zip(tpch::TABLES) {
        let text = objects::manifest(folder, table)?.to_canonical_json();
        let grant = InputGrant {
            dataset: DatasetId::from_db(number),
            version: format!("dv1.{number}").parse()?,
            manifest: Manifest::digest(&text),
            partition: None,
            columns: None,
            row_filter: None,
        };
        manifests.insert(grant.manifest, text);
        inputs.insert(table.parse()?, grant);
    }
    Ok((inputs, manifests))
}

fn config(
    dispatcher: &Url,
    store: &Url,
    users: SocketAddr,
    tasks: SocketAddr,
    threads: usize,
) -> serde_json::Value {
    let issuer = json!({ "issuer": ISSUER, "jwks": format!("{dispatcher}jwks") });
    json!({
        "listen_users": users,
        "listen_tasks": tasks,
        "log": "warn",
        "service": {
            "dispatcher": dispatcher.as_str(),
            "identity": "bench",
            "capabilities": issuer,
            "users": issuer,
            "store": {
                "endpoint": store.as_str(),
                "region": "us-east-1",
                "keys": { "access_key_id": "reader", "secret_access_key": "of-the-bench" }
            },
            "engines": { "count": 1, "threads": threads }
        }
    })
}

async fn listen(router: Router) -> anyhow::Result<Url> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/", listener.local_addr()?).parse()?;
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(url)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{check, data};

    /// The stand-ins around the service must speak as the real ones do, or nothing is measured.
    #[tokio::test]
    async fn the_service_answers_what_the_benchmark_asks() {
        let folder = tempfile::tempdir().unwrap();
        for (table, columns) in tpch::TABLES {
            let value = |kind: &str| match kind {
                "date" => "1995-01-01",
                "utf8" => "text",
                _ => "1",
            };
            let header: Vec<_> = columns.iter().map(|(name, _)| *name).collect();
            let row: Vec<_> = columns.iter().map(|(_, kind)| value(kind)).collect();
            let text = format!("{}\n{}\n", header.join(","), row.join(","));
            fs::write(folder.path().join(format!("{table}.csv")), text).unwrap();
        }
        data::lay_out(folder.path(), folder.path()).unwrap();
        // The tests of a workspace lie in `deps`, beside which its programs are.
        let tests = std::env::current_exe().unwrap();
        let program = tests.parent().and_then(Path::parent).unwrap().join("query-service");
        let service = Service::start(&program, folder.path(), 1).await.unwrap();
        let (_, body) = service.ask("select count(*), max(l_comment) from lineitem").await.unwrap();
        assert_eq!(check::rows(&body).unwrap(), vec![vec![json!(1), json!("text")]]);
        for (name, sql) in tpch::QUERIES {
            service.ask(sql).await.unwrap_or_else(|error| panic!("{name}: {error:#}"));
        }
    }
}
