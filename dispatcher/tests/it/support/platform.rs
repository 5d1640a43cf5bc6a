//! A dispatcher on loopback ports, with a worker and a plane that it knows.

use std::sync::Arc;

use sqlx::PgPool;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use trace_contracts::{OrgId, RunId, Secret, UserId};
use trace_dispatcher::{
    Adapters, Addresses, App, Config, CredentialMinter, Error, bootstrap,
    config::{Egress, Jwks, Keys, Limits, Listen, ObjectStore, StoreKeys, UserIssuer},
    credentials::Source,
    identity::Kind,
    keys::SigningKey,
    queue::{self, WakeUps},
    start,
};

use super::{
    adapters::{MemoryOutputs, MemorySessions},
    postgres::fresh_database,
};

pub const CAPABILITY_ISSUER: &str = "https://dispatcher.test";
pub const USER_ISSUER: &str = "https://users.test";

/// Everything a test needs. Dropping it stops the dispatcher.
pub struct Platform {
    pub app: App,
    pub db: PgPool,
    pub url: String,
    pub addresses: Addresses,
    pub http: reqwest::Client,
    pub org: OrgId,
    pub user: UserId,
    pub worker: Secret<String>,
    pub plane: Secret<String>,
    pub user_key: SigningKey,
    pub outputs: Arc<MemoryOutputs>,
    pub sessions: Arc<MemorySessions>,
    pub dir: Arc<tempfile::TempDir>,
    shutdown: CancellationToken,
    serving: Option<JoinHandle<Result<(), Error>>>,
}

/// What differs from one test's platform to the next.
#[derive(Default)]
pub struct Options {
    pub limits: Limits,
    pub wake: Option<Arc<dyn WakeUps>>,
    /// How workers hear of tasks.
    pub wake_ups: queue::Source,
    pub object_store: Option<String>,
    /// Where sessions come from, if not from memory.
    pub credentials: Option<Arc<dyn CredentialMinter>>,
    /// The way out.
    pub egress: Egress,
    /// An empty database that is there already.
    pub database: Option<String>,
}

impl Platform {
    pub async fn start() -> Self {
        Self::with(Options::default()).await
    }

    pub async fn with_limits(limits: Limits) -> Self {
        Self::with(Options { limits, ..Options::default() }).await
    }

    pub async fn with(options: Options) -> Self {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let url = match &options.database {
            Some(url) => url.clone(),
            None => fresh_database().await,
        };
        Self::on(url, dir, options).await
    }

    /// On a database that is there already.
    pub async fn on_database(url: String) -> Self {
        Self::on(url, Arc::new(tempfile::tempdir().unwrap()), Options::default()).await
    }

    /// A second dispatcher beside this one: the same database, the same key, the same worker.
    pub async fn beside(&self) -> Self {
        let config = &self.app.config;
        let options = Options { limits: config.limits, egress: config.egress, ..Options::default() };
        let mut other = Self::on(self.url.clone(), Arc::clone(&self.dir), options).await;
        // Identities were issued anew, and both know only the newest: the database is shared.
        other.worker = bootstrap::issue_identity(&self.db, "w2", Kind::Worker).await.unwrap();
        other
    }

    async fn on(url: String, dir: Arc<tempfile::TempDir>, options: Options) -> Self {
        let user_key = SigningKey::open(&dir.path().join("users")).unwrap();
        let jwks = dir.path().join("users.jwks.json");
        std::fs::write(&jwks, user_key.jwks()).unwrap();
        let loopback = "127.0.0.1:0".parse().unwrap();
        let config = Config {
            database_url: Secret::new(url.clone()),
            database_connections: 12,
            unverified_database: Default::default(),
            plain_http: Default::default(),
            transport: Default::default(),
            ready_file: None,
            listen: Listen { users: loopback, tasks: loopback, workers: loopback },
            key_dir: dir.path().join("keys"),
            capability_issuer: CAPABILITY_ISSUER.to_owned(),
            users: UserIssuer {
                issuer: USER_ISSUER.to_owned(),
                audience: "trace".to_owned(),
                jwks: Jwks::File(jwks),
            },
            object_store: ObjectStore {
                endpoint: options.object_store.map(|url| url.parse().unwrap()),
                region: "us-east-1".to_owned(),
                bucket: "trace".to_owned(),
                keys: Some(StoreKeys {
                    access_key_id: "test".to_owned(),
                    secret_access_key: Secret::new("test".to_owned()),
                }),
            },
            keys: Keys { platform_org: Some("main".parse().unwrap()), ..Keys::default() },
            credentials: Source::None,
            egress: options.egress,
            webhooks: trace_dispatcher::webhooks::Settings::default(),
            wake_ups: options.wake_ups,
            limits: options.limits,
        };
        let (outputs, sessions) = (Arc::new(MemoryOutputs::default()), Arc::new(MemorySessions::default()));
        let mut adapters = Adapters::new(&config, Arc::clone(&sessions) as _);
        if config.object_store.endpoint.is_none() {
            adapters.outputs = Arc::clone(&outputs) as _;
        }
        adapters.credentials = options.credentials.unwrap_or(adapters.credentials);
        adapters.wake = options.wake.unwrap_or(adapters.wake);
        let shutdown = CancellationToken::new();
        let dispatcher = start(config, adapters, shutdown.clone()).await.unwrap();
        let listeners = dispatcher.bind().await.unwrap();
        let addresses = listeners.addresses().unwrap();
        let app = dispatcher.app().clone();
        let db = app.db.clone();
        let org = bootstrap::ensure_org(&db, &"main".parse().unwrap()).await.unwrap();
        let user = sqlx::query_scalar(
            "insert into users (org_id, issuer, external_id, role) values ($1, $2, 'alice', 'admin')
            on conflict (issuer, external_id) do update set role = 'admin' returning user_id",
        )
        .bind(org.get())
        .bind(USER_ISSUER)
        .fetch_one(&db)
        .await
        .unwrap();
        let unique = uuid::Uuid::new_v4();
        Self {
            worker: bootstrap::issue_identity(&db, &format!("w-{unique}"), Kind::Worker).await.unwrap(),
            plane: bootstrap::issue_identity(&db, &format!("p-{unique}"), Kind::Plane).await.unwrap(),
            serving: Some(tokio::spawn(dispatcher.serve(listeners))),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            user: UserId::from_db(user),
            app,
            db,
            url,
            addresses,
            org,
            user_key,
            outputs,
            sessions,
            dir,
            shutdown,
        }
    }

    /// Stops the dispatcher as SIGTERM would.
    pub async fn stop(mut self) {
        self.shutdown.cancel();
        self.serving.take().unwrap().await.unwrap().unwrap();
    }

    pub async fn state_of(&self, run: RunId) -> String {
        sqlx::query_scalar("select state from runs where run_id = $1")
            .bind(run.get())
            .fetch_one(&self.db)
            .await
            .unwrap()
    }

    pub async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.db).await.unwrap()
    }

    /// What must hold of every database at any time: a task is in one place at most, runs and
    /// versions count what the rows say, and an ended run has nothing left to do.
    pub async fn assert_consistent(&self) {
        let misplaced = "select count(*) from (
                select task_id from (
                    select task_id from ready union all select task_id from delayed
                    union all select task_id from held
                    union all select task_id from leases union all select task_id from commits
                    union all select task_id from task_ends
                ) places group by task_id having count(*) > 1
            ) twice";
        assert_eq!(self.count(misplaced).await, 0, "a task is in two places");
        let miscounted = "select count(*) from runs r cross join lateral (
                select (select count(*) from ready where task_id >> 20 = r.run_id)
                        + (select count(*) from delayed where task_id >> 20 = r.run_id)
                        + (select count(*) from held where task_id >> 20 = r.run_id)
                        + (select count(*) from leases where task_id >> 20 = r.run_id) as open,
                    (select count(*) from commits where task_id >> 20 = r.run_id) as succeeded,
                    (select count(*) from task_ends where task_id >> 20 = r.run_id and state = 'dead') as dead
            ) n where (r.tasks_open, r.tasks_succeeded, r.tasks_dead) <> (n.open, n.succeeded, n.dead)
                or (r.state <> 'running' and n.open > 0)";
        assert_eq!(self.count(miscounted).await, 0, "a run's counters do not say what its tasks do");
        self.assert_limits_are_kept().await;
        let versions = "select count(*) from dataset_versions v where v.partitions_done <>
            (select count(*) from commits c where c.task_id >= v.dataset_version_id
                and c.task_id < v.dataset_version_id + v.partitions_total)";
        assert_eq!(self.count(versions).await, 0, "a version does not count its commits");
        let beyond = "select count(*) from commits c join runs r on r.run_id = c.task_id >> 20
            where c.task_id & 1048575 >= r.tasks_total";
        assert_eq!(self.count(beyond).await, 0, "a commit of a task that its run does not list");
    }

    /// What must hold of limits: counters count slots, a slot belongs to a task that is ready or runs,
    /// every such task of an org with a limit has one, and no more of them do than the limit says.
    async fn assert_limits_are_kept(&self) {
        let miscounted = "select count(*) from (
                select 'org' as scope, org_id as key from slots
                union all select 'dag', dag_id from slots where dag_id <> 0
                union all select 'job', dataset_id from slots where dataset_id <> 0
            ) s full join limits_in_use l using (scope, key)
            where coalesce(l.in_use, 0) <> (select count(*) from slots t where
                (scope = 'org' and t.org_id = key) or (scope = 'dag' and t.dag_id = key)
                or (scope = 'job' and t.dataset_id = key))";
        assert_eq!(self.count(miscounted).await, 0, "a limit does not count its slots");
        let stray =
            "select count(*) from slots s where not exists (select from ready r where r.task_id = s.task_id)
            and not exists (select from leases l where l.task_id = s.task_id)";
        assert_eq!(self.count(stray).await, 0, "a slot of a task that is neither ready nor runs");
        let uncounted = "select count(*) from (
                select task_id from ready union all select task_id from leases
            ) t join runs r on r.run_id = t.task_id >> 20
            join org_limits o on o.org_id = r.org_id and o.tasks_at_once is not null
            where not exists (select from slots s where s.task_id = t.task_id)";
        assert_eq!(self.count(uncounted).await, 0, "a task that its org's limit does not count");
        let passed = "select count(*) from limits_in_use where in_use > max";
        assert_eq!(self.count(passed).await, 0, "a limit is passed");
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}
