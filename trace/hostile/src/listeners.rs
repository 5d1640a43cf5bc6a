//! The listeners of a platform, found from outside as whoever is on the machine would find them.

use std::{collections::BTreeSet, fs};

use anyhow::Context as _;
use reqwest::{Client, Method, StatusCode};

use crate::scene::Scene;

/// Where each is.
pub struct Listeners {
    /// `/v1` of the dispatcher and of the query service, for users.
    pub users: String,
    /// `/v1/task` of the dispatcher.
    pub tasks: String,
    /// `/v1/task/query` of the query service.
    pub queries: String,
    /// `/internal`, for workers and planes.
    pub workers: String,
    /// The object store.
    pub objects: String,
    /// The egress gateway.
    pub gateway: String,
}

impl Listeners {
    /// Finds them: each asks for credentials where it has the route, and knows nothing of the others'.
    pub async fn of(scene: &Scene<'_>) -> anyhow::Result<Self> {
        let ports = ports(scene.platform.pid())?;
        let http = Client::builder().no_proxy().build()?;
        let find = async |what: &str, method: Method, path: &str, status: StatusCode| {
            for port in &ports {
                let base = format!("http://127.0.0.1:{port}");
                let answer = http.request(method.clone(), format!("{base}{path}")).send().await;
                if answer.is_ok_and(|answer| answer.status() == status) {
                    return Ok(base);
                }
            }
            anyhow::bail!("none of {ports:?} is that of {what}")
        };
        let asks = StatusCode::UNAUTHORIZED;
        Ok(Self {
            users: find("users", Method::GET, "/v1/runs", asks).await?,
            tasks: find("tasks", Method::GET, "/v1/task/context", asks).await?,
            queries: find("queries", Method::POST, "/v1/task/query", asks).await?,
            workers: find("workers", Method::POST, "/internal/heartbeat", asks).await?,
            objects: find("objects", Method::GET, "/trace/x", StatusCode::FORBIDDEN).await?,
            gateway: gateway(&http, &ports).await?,
        })
    }
}

/// The one that says what it is to whoever asks it for a page.
async fn gateway(http: &Client, ports: &[u16]) -> anyhow::Result<String> {
    for port in ports {
        let base = format!("http://127.0.0.1:{port}");
        let Ok(answer) = http.get(format!("{base}/")).send().await else { continue };
        if answer.text().await.is_ok_and(|text| text.contains("this is a proxy")) {
            return Ok(base);
        }
    }
    anyhow::bail!("none of {ports:?} is that of the egress gateway")
}

/// The ports that a process listens on.
fn ports(pid: u32) -> anyhow::Result<Vec<u16>> {
    let mut inodes = BTreeSet::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))?.flatten() {
        let target = fs::read_link(entry.path()).unwrap_or_default();
        let target = target.to_string_lossy().into_owned();
        inodes.extend(
            target.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']')).map(str::to_owned),
        );
    }
    let table = fs::read_to_string(format!("/proc/{pid}/net/tcp"))?;
    let listening = table.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let port = fields.get(1)?.rsplit(':').next()?;
        (fields.get(3) == Some(&"0A") && inodes.contains(*fields.get(9)?)).then_some(port)
    });
    listening.map(|port| u16::from_str_radix(port, 16).context("a port")).collect()
}
