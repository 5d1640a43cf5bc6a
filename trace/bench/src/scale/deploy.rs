//! Deploying a large DAG, as a user does.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    time::{Duration, Instant},
};

use anyhow::ensure;
use trace_contracts::wire::user::{DeployReply, DeployRequest};

use crate::dispatch::dispatcher::Dispatcher;

/// Deploys a DAG of `jobs` jobs in layers of a hundred, each reading two of the layer before, over
/// HTTP; answers how long the dispatcher took to answer.
pub async fn large(dispatcher: &Dispatcher, jobs: usize) -> anyhow::Result<Duration> {
    let bundle = dispatcher.own_bundle().await?;
    let request = DeployRequest { yaml: yaml(jobs)?, blobs: BTreeMap::from([("u".to_owned(), bundle)]) };
    let http = reqwest::Client::builder().no_proxy().build()?;
    let since = Instant::now();
    let response = http
        .post(format!("{}/v1/dags", dispatcher.users()))
        .bearer_auth(dispatcher.user_token()?)
        .json(&request)
        .send()
        .await?;
    let (status, body) = (response.status(), response.bytes().await?);
    let took = since.elapsed();
    ensure!(status.is_success(), "the deploy was answered {status}: {}", String::from_utf8_lossy(&body));
    let reply: DeployReply = serde_json::from_slice(&body)?;
    ensure!(reply.created, "the DAG was there already");
    Ok(took)
}

/// Jobs of one layer.
const LAYER: usize = 100;

fn yaml(jobs: usize) -> anyhow::Result<String> {
    let mut yaml = String::from("name: large\njobs:\n");
    for job in 0..jobs {
        writeln!(yaml, "  - {{ name: j{job}, udf: {{ language: python, path: u }}")?;
        if job >= LAYER {
            let (a, b) = (job - LAYER, job - LAYER - job % LAYER);
            write!(yaml, "    , inputs: [{{ name: a, from: {{ job: j{a} }} }}")?;
            if a != b {
                write!(yaml, ", {{ name: b, from: {{ job: j{b} }} }}")?;
            }
            writeln!(yaml, "]")?;
        }
        writeln!(yaml, "    }}")?;
    }
    Ok(yaml)
}
