//! A dispatcher whose adapters are those of AWS, on a PostgreSQL of its own.

use std::{collections::BTreeMap, net::SocketAddr, path::Path, sync::Arc};

use anyhow::Context as _;
use async_trait::async_trait;
use tempfile::TempDir;
use tokio_util::sync::{CancellationToken, DropGuard};
use trace_contracts::{
    DagId, DagVersionId, Manifest, ManifestObject, Name, OrgId, PartitionKey, Role, RunId, S3Prefix, Secret,
    UserId,
    token::{USER_AUDIENCE, UserClaims},
    wire::worker::{Code, Resources},
};
use trace_dispatcher::{
    Adapters, Addresses, App, Config, bootstrap,
    config::{Jwks, Keys, Limits, Listen, ObjectStore, StoreKeys, UserIssuer},
    credentials::{self, QueryServiceOnly},
    dag::spec::{InputSpec, JobLimits, JobSpec, Retries, Source, Spec},
    identity::Kind,
    keys::SigningKey,
    outputs::{self, OutputLister, Outputs},
    queue, start,
    task::start_run::{NewRun, start_run},
};
use trace_object_store::EmbeddedObjectStore;
use trace_stand::{Cluster, Sessions};

use crate::REGION;

/// `iss` of capabilities.
pub const CAPABILITY_ISSUER: &str = "https://dispatcher.localstack";
const USER_ISSUER: &str = "https://users.localstack";

/// What differs from one test's platform to the next.
#[derive(Default)]
pub struct Options {
    /// How workers hear of tasks.
    pub wake_ups: queue::Source,
    /// The keys that sign.
    pub keys: Keys,
    /// Where objects really are; absent: nowhere, and every attempt is said to have left one file.
    pub store: Option<Arc<EmbeddedObjectStore>>,
    /// How long a lease holds; absent: longer than any test.
    pub lease_ms: Option<u64>,
}

/// A dispatcher. It stops when this is dropped.
pub struct Platform {
    /// Its state.
    pub app: App,
    /// Where it listens.
    pub addresses: Addresses,
    /// The identity of a worker.
    pub worker: Secret<String>,
    /// A client that waits for nothing and follows nothing.
    pub http: reqwest::Client,
    /// The org of everything here.
    pub org: OrgId,
    user: UserId,
    users: SigningKey,
    _stop: DropGuard,
    ground: Arc<Ground>,
}

/// What dispatchers of one platform share.
struct Ground {
    folder: TempDir,
    cluster: Cluster,
}

impl Platform {
    /// Starts one.
    ///
    /// # Errors
    /// When something does not start.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("trace-localstack.").tempdir()?;
        Self::on(Arc::new(Ground { folder, cluster: Cluster::start()? }), options).await
    }

    /// A second dispatcher on the same database and the same key folder.
    ///
    /// # Errors
    /// When something does not start.
    pub async fn beside(&self, options: Options) -> anyhow::Result<Self> {
        Self::on(Arc::clone(&self.ground), options).await
    }

    async fn on(ground: Arc<Ground>, options: Options) -> anyhow::Result<Self> {
        let sessions = options.store.as_ref().map(|store| Sessions(store.sessions()));
        let config = config(&ground.cluster.url(), ground.folder.path(), options)?;
        let adapters = match sessions {
            Some(sessions) => Adapters::new(&config, Arc::new(sessions)),
            None => {
                let nowhere = Adapters::new(&config, Arc::new(QueryServiceOnly));
                Adapters { outputs: Arc::new(OneFile), ..nowhere }
            }
        };
        let stop = CancellationToken::new();
        let dispatcher = start(config, adapters, stop.clone()).await?;
        let app = dispatcher.app().clone();
        let main: Name = "main".parse()?;
        let org = bootstrap::ensure_org(&app.db, &main).await?;
        let user: i64 = sqlx::query_scalar(
            "insert into users (org_id, issuer, external_id, role) values ($1, $2, 'alice', 'admin')
            on conflict (issuer, external_id) do update set role = 'admin' returning user_id",
        )
        .bind(org.get())
        .bind(USER_ISSUER)
        .fetch_one(&app.db)
        .await?;
        let listeners = dispatcher.bind().await?;
        let addresses = listeners.addresses()?;
        let name = format!("worker-{}", addresses.workers.port());
        let worker = bootstrap::issue_identity(&app.db, &name, Kind::Worker).await?;
        tokio::spawn(dispatcher.serve(listeners));
        let http = reqwest::Client::builder().no_proxy().build()?;
        Ok(Self {
            app,
            addresses,
            worker,
            http,
            org,
            user: UserId::from_db(user),
            users: SigningKey::open(&ground.folder.path().join("users"))?,
            _stop: stop.drop_guard(),
            ground,
        })
    }

    /// Starts a run of these jobs.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn run(&self, dag: &str, jobs: Vec<JobSpec>) -> anyhow::Result<RunId> {
        let spec = Spec {
            name: dag.parse()?,
            params: BTreeMap::new(),
            concurrency: None,
            deliver: Vec::new(),
            jobs,
            publish: BTreeMap::new(),
        };
        let mut tx = self.app.db.begin().await?;
        let dag: i64 = sqlx::query_scalar("insert into dags (org_id, name) values ($1, $2) returning dag_id")
            .bind(self.org.get())
            .bind(spec.name.to_string())
            .fetch_one(&mut *tx)
            .await?;
        let version: i64 = sqlx::query_scalar(
            "insert into dag_versions (dag_id, sha256, yaml, spec, deployed_by)
            values ($1, sha256('x'), '', $2, $3) returning dag_version_id",
        )
        .bind(dag)
        .bind(sqlx::types::Json(&spec))
        .bind(self.user.get())
        .fetch_one(&mut *tx)
        .await?;
        let new = NewRun {
            org: self.org,
            dag: DagId::from_db(dag),
            version: DagVersionId::from_db(version),
            spec: &spec,
            params: BTreeMap::new(),
            triggered_by: self.user,
            idempotency_key: None,
        };
        let started = start_run(&mut tx, &self.app.core, new).await?;
        tx.commit().await?;
        Ok(started.run())
    }

    /// The token of an admin of the platform.
    ///
    /// # Panics
    /// When it can't be signed.
    #[must_use]
    pub fn admin(&self) -> String {
        let now = chrono::Utc::now().timestamp();
        let claims = UserClaims {
            iss: USER_ISSUER.to_owned(),
            aud: USER_AUDIENCE.to_owned(),
            sub: "alice".to_owned(),
            email: None,
            org: "main".to_owned(),
            role: Role::Admin,
            iat: now,
            nbf: Some(now),
            exp: now + 3600,
        };
        self.users.token("JWT", &claims).expect("claims are signed")
    }

    /// Counts something.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count(&self, sql: &'static str) -> anyhow::Result<i64> {
        Ok(sqlx::query_scalar(sql).fetch_one(&self.app.db).await?)
    }

    /// Waits until every wake-up has been sent.
    ///
    /// # Errors
    /// When one is not.
    pub async fn all_sent(&self) -> anyhow::Result<()> {
        let left = "select count(*) from outbox";
        crate::until("the outbox is empty", async || Ok((self.count(left).await? == 0).then_some(()))).await
    }

    /// The state of a run.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn state_of(&self, run: RunId) -> anyhow::Result<String> {
        let state = sqlx::query_scalar("select state from runs where run_id = $1").bind(run.get());
        state.fetch_optional(&self.app.db).await?.context("there is no such run")
    }
}

/// A job with so many tasks.
///
/// # Panics
/// When the name is none.
#[must_use]
pub fn job(name: &str, tasks: usize) -> JobSpec {
    let parse = |text: &str| text.parse().expect("a name");
    JobSpec {
        name: parse(name),
        code: Code::Operator { operator: parse("noop"), config: serde_json::json!({}), secrets: Vec::new() },
        files: BTreeMap::new(),
        inputs: Vec::new(),
        partitions: (0..tasks).map(|n| format!("p{n}").parse().expect("a partition")).collect(),
        resources: Resources { cpu_millis: 1000, memory_bytes: 1 << 20, disk_bytes: 1 << 20 },
        timeout_ms: 60_000,
        retries: Retries { max: 1, backoff_ms: 0 },
        limits: JobLimits::default(),
        egress: Vec::new(),
        runtime: None,
    }
}

/// The same after all of an earlier job.
#[must_use]
pub fn after(mut job: JobSpec, earlier: usize) -> JobSpec {
    let name = "earlier".parse().expect("a name");
    let source = Source::WholeJob { job: earlier };
    job.inputs.push(InputSpec { name, source, columns: None, row_filter: None });
    job
}

fn config(database: &str, folder: &Path, options: Options) -> anyhow::Result<Config> {
    let any: SocketAddr = "127.0.0.1:0".parse()?;
    let users = SigningKey::open(&folder.join("users"))?;
    let jwks = folder.join("users.jwks.json");
    std::fs::write(&jwks, users.jwks())?;
    Ok(Config {
        database_url: Secret::new(database.to_owned()),
        database_connections: 12,
        unverified_database: Default::default(),
        plain_http: Default::default(),
        transport: Default::default(),
        ready_file: None,
        listen: Listen { users: any, tasks: any, workers: any },
        key_dir: folder.join("keys"),
        capability_issuer: CAPABILITY_ISSUER.to_owned(),
        users: UserIssuer {
            issuer: USER_ISSUER.to_owned(),
            audience: "trace".to_owned(),
            jwks: Jwks::File(jwks),
        },
        object_store: object_store(options.store.as_deref()),
        keys: Keys { platform_org: Some("main".parse()?), ..options.keys },
        credentials: credentials::Source::None,
        egress: trace_dispatcher::config::Egress::None,
        webhooks: trace_dispatcher::webhooks::Settings::default(),
        wake_ups: options.wake_ups,
        limits: Limits { lease_ms: options.lease_ms.unwrap_or(600_000), ..Limits::default() },
    })
}

fn object_store(store: Option<&EmbeddedObjectStore>) -> ObjectStore {
    let nobody =
        || StoreKeys { access_key_id: "test".to_owned(), secret_access_key: Secret::new("test".to_owned()) };
    let root = store.map(|store| store.root_credentials().clone());
    let keys = root.map_or_else(nobody, |root| StoreKeys {
        access_key_id: root.access_key_id,
        secret_access_key: root.secret_access_key,
    });
    ObjectStore {
        endpoint: store.map(|store| store.endpoint().clone()),
        region: REGION.to_owned(),
        bucket: "trace".to_owned(),
        keys: Some(keys),
    }
}

/// Says that every attempt has left one file.
struct OneFile;

#[async_trait]
impl OutputLister for OneFile {
    async fn list(&self, prefix: &S3Prefix, partition: &PartitionKey) -> Result<Outputs, outputs::Error> {
        let key =
            prefix.object("part-0.parquet").map_err(|error| outputs::Error::Refused(error.to_string()))?;
        let (partition, etag) = (partition.clone(), "etag".to_owned());
        let object = ManifestObject { partition, key, size: 100, etag, version_id: None };
        Ok(Outputs::new(&Manifest::new(prefix.bucket().to_owned(), vec![object])))
    }
}
