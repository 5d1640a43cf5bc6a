//! Attacks by a user of the platform: content that is not what it is called, content of others, content
//! that changes after the deploy.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    os::unix::fs::FileExt as _,
};

use anyhow::{Context as _, ensure};
use trace::client::{Client, Content, Error};
use trace_contracts::{
    Problem, Sha256,
    wire::{user::DeployRequest, worker::Blob},
};

use crate::{
    bundles, outside,
    round::{self, End},
    scene::Scene,
    vector::{Seen, Story},
};

/// A DAG of one job, whose bundle is called `udf`.
const YAML: &str = "  - name: only\n    udf: { language: python, path: udf }\n    retries: { max: 0 }\n";

/// What a call of the platform's API came to.
pub fn answered<T>(answer: Result<T, Error>, success: &str) -> anyhow::Result<Seen> {
    match answer {
        Ok(_) => Ok(Seen::got(success)),
        Err(Error::Refused(problem)) => Ok(Seen::refused(how(&problem), words(&problem))),
        Err(error) => Err(error.into()),
    }
}

fn how(problem: &Problem) -> String {
    let code = serde_json::to_value(problem.code).unwrap_or_default();
    format!("http {} {}", problem.status, code.as_str().unwrap_or("?"))
}

fn words(problem: &Problem) -> String {
    let fields = problem.errors.iter().map(|error| error.message.clone());
    std::iter::once(problem.detail.clone()).chain(fields).collect::<Vec<_>>().join("; ")
}

async fn deploy(client: &Client, name: &str, blob: Blob) -> Result<(), Error> {
    let yaml = format!("name: {name}\njobs:\n{YAML}");
    let blobs = BTreeMap::from([("udf".to_owned(), blob)]);
    client.deploy(&DeployRequest { yaml, blobs }).await.map(drop)
}

/// Uploads one bundle under the hash of another.
pub fn wrong_hash(scene: Scene<'_>) -> Story<'_> {
    Box::pin(async move {
        let client = scene.platform.client("main")?;
        let content = bundles::harmless("what it is");
        let called = bundles::harmless("what it is called");
        let blob = Blob { sha256: Sha256::of(&called), size: content.len() as u64 };
        let put = client.put_blob(blob, &Content::Bytes(content.into()), |_| ()).await;
        answered(put, "the store has content under the hash of another")
    })
}

/// Deploys a bundle that was never uploaded.
pub fn missing(scene: Scene<'_>) -> Story<'_> {
    Box::pin(async move {
        let client = scene.platform.client("main")?;
        let content = bundles::harmless("nobody has uploaded this");
        let blob = Blob { sha256: Sha256::of(&content), size: content.len() as u64 };
        if scene.planted {
            round::upload(&client, content).await?;
        }
        answered(deploy(&client, "missing", blob).await, "it was deployed")
    })
}

/// Deploys, as another org, a bundle that only the first one has uploaded: knowing a hash is no right.
pub fn of_another_org(scene: Scene<'_>) -> Story<'_> {
    Box::pin(async move {
        let blob = round::upload(&scene.platform.client("main")?, bundles::harmless("of main")).await?;
        let org = if scene.planted { "main" } else { "rival" };
        answered(deploy(&scene.platform.client(org)?, "borrowed", blob).await, "it was deployed")
    })
}

/// Deploys a bundle with another size than it has.
pub fn wrong_size(scene: Scene<'_>) -> Story<'_> {
    Box::pin(async move {
        let client = scene.platform.client("main")?;
        let blob = round::upload(&client, bundles::harmless("of some size")).await?;
        let size = if scene.planted { blob.size } else { blob.size - 1 };
        answered(deploy(&client, "missized", Blob { size, ..blob }).await, "it was deployed")
    })
}

/// Deploys a bundle as a DAG of its own and runs it: what refused it, or how its task ended.
pub async fn run(scene: &Scene<'_>, name: &str, bundle: Vec<u8>) -> anyhow::Result<Result<End, Seen>> {
    let client = scene.platform.client("main")?;
    let blob = round::upload(&client, bundle).await?;
    let deployed = answered(deploy(&client, name, blob).await, "deployed")?;
    if !deployed.got {
        return Ok(Err(deployed));
    }
    let mut ends = round::triggered(&client, name).await?;
    Ok(Ok(ends.remove("only").context("a task of the job")?))
}

/// Deploys a bundle, changes it in the store, and runs it.
pub fn swapped(scene: Scene<'_>) -> Story<'_> {
    Box::pin(async move {
        let client = scene.platform.client("main")?;
        // Another one each time: the worker keeps what it has fetched.
        let words = format!("to be swapped {}", scene.platform.pid());
        let good = bundles::harmless(&words);
        let bad = bundles::harmless(&words.replace("swapped", "SWAPPED"));
        ensure!(good.len() == bad.len(), "both have {} bytes", good.len());
        let blob = round::upload(&client, good.clone()).await?;
        deploy(&client, "swapped", blob).await?;
        let hash = blob.sha256.to_string();
        let is_it = &mut |path: &std::path::Path| {
            Ok(path.to_string_lossy().contains(&hash) && fs::read(path)?.starts_with(&good))
        };
        let objects = scene.platform.data().join("objects");
        let path = outside::search(&objects, is_it)?.context("the bundle's file in the object store")?;
        OpenOptions::new().write(true).open(path)?.write_all_at(&bad, 0)?;
        let ends = round::triggered(&client, "swapped").await?;
        Ok(ends.get("only").context("a task of the job")?.as_seen())
    })
}
