//! A platform on a real object store, with a bundle in it.

use std::{collections::BTreeMap, io::Write as _, net::SocketAddr, sync::Arc};

use anyhow::Context as _;
use tempfile::TempDir;
use trace_contracts::{
    Manifest, RunId, Sha256,
    wire::worker::{Blob, Code, Language, Resources},
};
use trace_dispatcher::{
    dag::spec::{JobLimits, JobSpec, Retries},
    objects::Objects,
};
use trace_localstack::{Agent, Image, Moto, Options, Platform, REGION, until};
use trace_object_store::{Config, Denial, DenialSink, EmbeddedObjectStore, Limits};

/// Nobody reads refusals of the store here.
struct Unheard;

#[async_trait::async_trait]
impl DenialSink for Unheard {
    async fn denied(&self, _denial: Denial) {}
}

/// Everything, running.
pub struct Scene {
    pub platform: Platform,
    pub store: Arc<EmbeddedObjectStore>,
    pub moto: Moto,
    pub agent: Agent,
    _folder: TempDir,
}

/// How a task ended: with its outputs by path, or with a reason and a detail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    Succeeded(BTreeMap<String, Vec<u8>>),
    Failed { reason: String, detail: String },
}

impl Scene {
    /// With leases of three seconds.
    pub async fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("trace-ecs.").tempdir().unwrap();
        let store = EmbeddedObjectStore::start(Config {
            root: folder.path().join("objects"),
            listen: "127.0.0.1:0".parse().unwrap(),
            bucket: "trace".to_owned(),
            region: REGION.to_owned(),
            limits: Limits::default(),
            denials: Arc::new(Unheard),
        })
        .await
        .unwrap();
        let store = Arc::new(store);
        let options =
            Options { store: Some(Arc::clone(&store)), lease_ms: Some(3_000), ..Options::default() };
        let platform = Platform::start(options).await.unwrap();
        let moto = Moto::here().await.unwrap();
        let agent = Agent::start(&moto, Image::here().unwrap(), reachable(&platform, &store));
        Self { platform, store, moto, agent, _folder: folder }
    }

    /// What can be reached from where code runs.
    pub fn reachable(&self) -> [SocketAddr; 3] {
        reachable(&self.platform, &self.store)
    }

    /// A job of one UDF, with a task for each of these partitions.
    pub async fn job(&self, main: &str, partitions: &[&str], timeout_ms: u64) -> JobSpec {
        let bundle = self.upload(&zipped(main)).await;
        let file = self.upload(b"declared").await;
        JobSpec {
            name: "job".parse().unwrap(),
            code: Code::Udf { language: Language::Python, bundle },
            files: BTreeMap::from([("table".parse().unwrap(), file)]),
            inputs: Vec::new(),
            partitions: partitions.iter().map(|name| name.parse().unwrap()).collect(),
            resources: Resources { cpu_millis: 1000, memory_bytes: 256 << 20, disk_bytes: 16 << 20 },
            timeout_ms,
            retries: Retries { max: 0, backoff_ms: 0 },
            limits: JobLimits::default(),
            egress: Vec::new(),
            runtime: None,
        }
    }

    /// Puts other code where the store has that of a job.
    pub async fn replace_bundle(&self, job: &JobSpec, main: &str) {
        let Code::Udf { bundle, .. } = &job.code else { panic!("it has no bundle") };
        self.put(bundle.sha256, &zipped(main)).await;
    }

    async fn upload(&self, content: &[u8]) -> Blob {
        let sha256 = Sha256::of(content);
        self.put(sha256, content).await;
        Blob { sha256, size: content.len() as u64 }
    }

    async fn put(&self, sha256: Sha256, content: &[u8]) {
        let objects = &self.platform.app.objects;
        let put =
            objects.client().put_object().bucket("trace").key(Objects::blob_key(self.platform.org, sha256));
        put.body(content.to_vec().into()).send().await.unwrap();
    }

    /// Runs a job to its end; answers how each of its tasks ended, by partition.
    pub async fn run(&self, dag: &str, job: JobSpec) -> BTreeMap<String, End> {
        let partitions: Vec<String> = job.partitions.iter().map(ToString::to_string).collect();
        let run = self.platform.run(dag, vec![job]).await.unwrap();
        self.ended(run).await;
        let mut ends = BTreeMap::new();
        for (ordinal, partition) in (0..).zip(partitions) {
            ends.insert(partition, self.end_of((run.get() << 20) + ordinal).await.unwrap());
        }
        ends
    }

    /// Waits for the end of a run.
    pub async fn ended(&self, run: RunId) {
        let platform = &self.platform;
        until("the run has ended", async || Ok((platform.state_of(run).await? != "running").then_some(())))
            .await
            .unwrap();
    }

    async fn end_of(&self, task: i64) -> anyhow::Result<End> {
        let db = &self.platform.app.db;
        let committed: Option<String> = sqlx::query_scalar("select manifest from commits where task_id = $1")
            .bind(task)
            .fetch_optional(db)
            .await?;
        if let Some(manifest) = committed {
            return self.outputs(&serde_json::from_str(&manifest)?).await.map(End::Succeeded);
        }
        let ended: (String, Option<String>) = sqlx::query_as(
            "select outcome, detail from attempts where task_id = $1 order by attempt_id desc limit 1",
        )
        .bind(task)
        .fetch_optional(db)
        .await?
        .context("the task has no attempt that ended")?;
        Ok(End::Failed { reason: ended.0, detail: ended.1.unwrap_or_default() })
    }

    async fn outputs(&self, manifest: &Manifest) -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
        let client = self.platform.app.objects.client();
        let mut outputs = BTreeMap::new();
        for object in &manifest.objects {
            let got = client.get_object().bucket(&manifest.bucket).key(object.key.as_str()).send().await?;
            let name = object.key.as_str().split_once("/out/").context("not an output")?.1.to_owned();
            outputs.insert(name, got.body.collect().await?.into_bytes().to_vec());
        }
        Ok(outputs)
    }

    /// The lines of all logs.
    pub async fn log_of_any(&self) -> anyhow::Result<Vec<String>> {
        Ok(sqlx::query_scalar("select text from log_lines").fetch_all(&self.platform.app.db).await?)
    }

    /// The lines of the logs of all attempts of a DAG, without those of the platform.
    pub async fn log_of(&self, run_dag: &str) -> Vec<String> {
        sqlx::query_scalar(
            "select stream || ': ' || text from log_lines l where stream <> 'platform' and exists (
                select from (select attempt_id, task_id from attempts union all select attempt_id, task_id from commits) a
                join runs r on r.run_id = a.task_id >> 20 join dag_versions v using (dag_version_id)
                join dags d on d.dag_id = v.dag_id
                where a.attempt_id = l.attempt_id and d.name = $1)
            order by text",
        )
        .bind(run_dag)
        .fetch_all(&self.platform.app.db)
        .await
        .unwrap()
    }
}

/// The dispatcher's listener for tasks, as itself and in place of the query service, and the object store.
fn reachable(platform: &Platform, store: &EmbeddedObjectStore) -> [SocketAddr; 3] {
    let tasks = platform.addresses.tasks;
    [tasks, tasks, address(store)]
}

/// Where a store listens.
pub fn address(store: &EmbeddedObjectStore) -> SocketAddr {
    store.endpoint().socket_addrs(|| None).unwrap()[0]
}

fn zipped(main: &str) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content) in [("main.py", main), ("helper/data.txt", "data")] {
        zip.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(content.as_bytes()).unwrap();
    }
    zip.finish().unwrap().into_inner()
}
