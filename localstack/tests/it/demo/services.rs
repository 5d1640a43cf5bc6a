//! A platform as it is installed in a cloud: dispatcher, query service and worker are programs with a configuration
//! file each, TLS between them, wake-ups by SQS, keys certified by KMS, sessions of STS. What is AWS there is
//! LocalStack and SeaweedFS here.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};
use tempfile::TempDir;
use trace_contracts::{Role, Sha256};
use trace_localstack::{Emulator, LONG, Queue, REGION};
use trace_plane::{Trust, tls::Files};
use trace_stand::{Cluster, ISSUER, Issuer};

use super::programs::{Running, command, program, run};
use crate::{
    authority::Authority,
    kms::RootKey,
    seaweed::{BUCKET, KEY, ROLE, Seaweed},
};

const CAPABILITY_ISSUER: &str = "https://trace.example/capabilities";
/// The tokens of the identities; the dispatcher's database is told their hashes alone.
const WORKER: &str = "worker_that-was-made-elsewhere";
const PLANE: &str = "plane_that-was-made-elsewhere";

/// Ports of the listeners.
struct Ports {
    users: u16,
    tasks: u16,
    workers: u16,
    queries: u16,
    task_queries: u16,
    health: u16,
}

/// Everything, running. Services stop before what they stand on.
pub struct Services {
    _worker: Running,
    _query: Running,
    dispatcher: Running,
    issuer: Issuer,
    pub queue: Queue,
    ground: Ground,
    _seaweed: Seaweed,
    _cluster: Cluster,
}

/// What every configuration is made of.
struct Ground {
    folder: TempDir,
    ports: Ports,
    files: Files,
    ca_file: PathBuf,
    aws: Value,
}

impl Services {
    pub async fn start() -> Self {
        let emulator = Emulator::here();
        let (seaweed, cluster) = (Seaweed::start("1h").await, Cluster::start().unwrap());
        let (queue, root) = (Queue::create(&emulator, 30).await.unwrap(), RootKey::p256(&emulator).await);
        let ground = Ground::new(&emulator);
        let folder = ground.folder.path();
        let issuer = Issuer::start(&folder.join("issuer")).await.unwrap();
        fs::write(folder.join("root.pem"), root.pem().await).unwrap();

        let config =
            ground.write("dispatcher", &ground.dispatcher(&cluster, &issuer, &seaweed, &root.id, &queue.url));
        ground.init(&config).await;
        let dispatcher = ground.run("dispatcher", &["--config", &config]).await;
        let config = ground.write("query-service", &ground.query(&issuer, &seaweed));
        let query = ground.run("query-service", &["serve", "--config", &config]).await;
        let config = ground.write("worker-wrapper", &ground.worker(&seaweed, &queue));
        let worker = ground.run("worker-wrapper", &["--config", &config]).await;
        Self {
            _worker: worker,
            _query: query,
            dispatcher,
            issuer,
            queue,
            ground,
            _seaweed: seaweed,
            _cluster: cluster,
        }
    }

    /// The command line, as an admin; answers the JSON that it prints.
    pub async fn trace(&self, arguments: &[&str]) -> Value {
        let mut command = Command::new(program("trace"));
        command
            .args(arguments)
            .arg("--json")
            .env("TRACE_URL", format!("https://localhost:{}", self.ground.ports.users))
            .env("TRACE_TOKEN", self.token())
            .env("TRACE_CA_FILE", &self.ground.ca_file);
        serde_json::from_slice(&run(command).await.stdout).unwrap()
    }

    /// A query of a user; answers the result's rows.
    pub async fn query(&self, sql: &str) -> Value {
        let http = Trust::read(Some(&self.ground.ca_file)).unwrap().http_client(LONG);
        let url = format!("https://localhost:{}/v1/query", self.ground.ports.queries);
        let body = json!({ "sql": sql, "format": "json" });
        let answer = http.post(url).bearer_auth(self.token()).json(&body).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap_or_default());
        answer.json::<Value>().await.unwrap()["rows"].take()
    }

    /// What the dispatcher has logged.
    pub fn log(&self) -> String {
        self.dispatcher.log()
    }

    fn token(&self) -> String {
        self.issuer.token("alice", Role::Admin).unwrap()
    }
}

impl Ground {
    fn new(emulator: &Emulator) -> Self {
        let folder = tempfile::Builder::new().prefix("trace-demo.").tempdir().unwrap();
        let authority = Authority::new();
        let [users, tasks, workers, queries, task_queries, health] =
            std::array::from_fn(|_| trace_ports::reserve());
        Self {
            files: authority.pair("localhost").write(folder.path()),
            ca_file: authority.file(folder.path()),
            ports: Ports { users, tasks, workers, queries, task_queries, health },
            aws: json!({
                "region": REGION, "endpoint": emulator.endpoint().as_str(),
                "keys": { "access_key_id": "test", "secret_access_key": "test" },
            }),
            folder,
        }
    }

    fn write(&self, name: &str, config: &Value) -> String {
        let path = self.folder.path().join(format!("{name}.json"));
        fs::write(&path, config.to_string()).unwrap();
        path.display().to_string()
    }

    async fn run(&self, name: &'static str, arguments: &[&str]) -> Running {
        Running::start(name, arguments, self.folder.path(), self.ready_file(name)).await
    }

    fn ready_file(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.ready"))
    }

    /// The org and the identities, whose tokens the operator has made.
    async fn init(&self, config: &str) {
        let hashed = |name: &str, token: &str| format!("{name}={}", Sha256::of(token.as_bytes()));
        let mut init = command("dispatcher");
        init.args(["init", "--config", config, "--org", "main"]);
        init.args(["--worker", &hashed("worker", WORKER), "--plane", &hashed("query", PLANE)]);
        run(init).await;
    }

    fn url(&self, port: u16, path: &str) -> String {
        format!("https://localhost:{port}/{path}")
    }

    fn transport(&self) -> Value {
        json!({ "tls": { "certificate": self.files.certificate, "key": self.files.key } })
    }

    fn dispatcher(
        &self,
        cluster: &Cluster,
        issuer: &Issuer,
        seaweed: &Seaweed,
        root: &str,
        queue: &str,
    ) -> Value {
        let at = |port: u16| format!("127.0.0.1:{port}");
        let Ports { users, tasks, workers, .. } = self.ports;
        json!({
            "database_url": cluster.url(),
            "listen": { "users": at(users), "tasks": at(tasks), "workers": at(workers) },
            "transport": self.transport(),
            "ready_file": self.ready_file("dispatcher"),
            "key_dir": self.folder.path().join("keys"),
            "capability_issuer": CAPABILITY_ISSUER,
            "users": { "issuer": ISSUER, "jwks": { "file": issuer.jwks_file() } },
            "object_store": {
                "endpoint": seaweed.endpoint, "region": REGION, "bucket": BUCKET,
                "access_key_id": KEY, "secret_access_key": KEY,
            },
            "credentials": { "sts": { "role_arn": ROLE, "endpoint": seaweed.endpoint } },
            "keys": { "platform_org": "main", "root": { "kms": { "aws": self.aws, "key": root } } },
            "wake_ups": { "sqs": { "aws": self.aws, "queues": { "process": queue } } },
        })
    }

    fn query(&self, issuer: &Issuer, seaweed: &Seaweed) -> Value {
        let Ports { users, workers, queries, task_queries, .. } = self.ports;
        json!({
            "listen_users": format!("127.0.0.1:{queries}"),
            "listen_tasks": format!("127.0.0.1:{task_queries}"),
            "transport": self.transport(),
            "ready_file": self.ready_file("query-service"),
            "service": {
                "dispatcher": self.url(workers, ""),
                "identity": PLANE,
                "capabilities": { "issuer": CAPABILITY_ISSUER, "jwks": self.url(users, ".well-known/jwks.json") },
                "capability_root": self.folder.path().join("root.pem"),
                "ca_file": self.ca_file,
                "users": { "issuer": ISSUER, "jwks": issuer.jwks_url() },
                "store": { "endpoint": seaweed.endpoint, "region": REGION, "keys": {
                    "access_key_id": KEY, "secret_access_key": KEY,
                }},
                "engines": { "count": 2, "threads": 1 },
            },
        })
    }

    fn worker(&self, seaweed: &Seaweed, queue: &Queue) -> Value {
        let Ports { tasks, workers, task_queries, health, .. } = self.ports;
        let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../udf-sdk/python").canonicalize().unwrap();
        json!({
            "dispatcher": self.url(workers, ""),
            "task_api": self.url(tasks, ""),
            "query": self.url(task_queries, ""),
            "ca_file": self.ca_file,
            "object_store": { "endpoint": seaweed.endpoint, "region": REGION },
            "identity": WORKER,
            "work_dir": self.folder.path().join("work"),
            "slots": 3,
            "health": format!("127.0.0.1:{health}"),
            "transport": self.transport(),
            "ready_file": self.ready_file("worker-wrapper"),
            "wake_ups": { "sqs": { "aws": self.aws, "queue": queue.url, "dead_letters": queue.dead_letters } },
            "sandbox": { "sdk": sdk, "tools": {
                "trace-operator": program("trace-operator"),
                "trace-udf-native": program("trace-udf-native"),
            }},
        })
    }
}
