//! A whole platform of a run's own: PostgreSQL, an object store, dispatchers and workers, each a
//! process with a disk and a clock of its own, and the proxies between them.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use serde_json::json;
use sqlx::postgres::PgPoolOptions;
use trace_contracts::{Role, Secret, token::UserClaims};
use trace_dispatcher::{bootstrap, identity::Kind, keys::SigningKey};

use crate::{
    client::Client,
    cluster::{SLOT, Server},
    dice::Dice,
    disk::Disk,
    plan::{DISPATCHERS, Target, WORKERS},
    proxy::{HttpProxy, PostgresProxy, Scissors},
    service::{
        store::{BUCKET, REGION, Whereabouts},
        worker::Launcher,
    },
    shim::Dials,
    supervise::{Recipe, Supervised},
    wait::until,
    weather::Weather,
    workshop::Workshop,
};

const ISSUER: &str = "https://users.chaos";
const START: Duration = Duration::from_secs(60);
/// A lease of a platform that is broken holds so long without a heartbeat.
const LEASE_MS: u64 = 3_000;

/// A platform that runs.
pub struct Platform {
    /// The processes.
    pub processes: BTreeMap<Target, Supervised>,
    /// Their clocks and disks' speed.
    pub dials: BTreeMap<Target, Dials>,
    /// Their disks, where they have one of their own.
    pub disks: BTreeMap<Target, Disk>,
    /// The database server itself.
    pub server: Server,
    /// The object store.
    pub store: Whereabouts,
    /// Cuts connections.
    pub scissors: Scissors,
    /// What happens to single requests.
    pub weather: Arc<Weather>,
    /// A user.
    pub client: Client,
    /// Where all of it lies.
    pub folder: PathBuf,
    listens: Vec<Listens>,
    _proxies: (Vec<HttpProxy>, Vec<PostgresProxy>),
}

/// What a platform is started for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To be broken: every process has a small disk that can be filled (mounting it takes root), and leases
    /// are so short that pauses outlast them.
    Breaking,
    /// To serve: folders, and leases as long as they are by default. A machine that is busy loses none.
    Serving,
}

/// Where one dispatcher listens.
#[derive(Debug, Clone, Copy)]
struct Listens {
    users: SocketAddr,
    tasks: SocketAddr,
    workers: SocketAddr,
}

impl Listens {
    fn pick() -> Self {
        let [users, tasks, workers] = std::array::from_fn(|_| trace_ports::reserve_address());
        Self { users, tasks, workers }
    }
}

impl Platform {
    /// Starts everything, in calm.
    ///
    /// # Errors
    /// When something does not start within a minute.
    pub async fn start(
        workshop: &Workshop,
        seed: u64,
        launcher: Launcher,
        purpose: Purpose,
    ) -> anyhow::Result<Self> {
        let folder = workshop.folder_of(seed);
        fs::create_dir_all(folder.join("log"))?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))?;
        let weather = Arc::new(Weather::new(seed));
        let scissors = Scissors::default();
        let mut parts = Parts {
            workshop,
            folder: folder.clone(),
            processes: BTreeMap::new(),
            dials: all_dials(&folder)?,
            disks: disks(&folder, purpose)?,
            purpose,
        };
        let server = parts.postgres().await?;
        let store = parts.store().await?;
        let users = SigningKey::open(&folder.join("users"))?;
        fs::write(folder.join("users.jwks.json"), users.jwks())?;
        let mut relays = Vec::new();
        let mut listens = Vec::new();
        for number in 0..DISPATCHERS {
            let relay = PostgresProxy::start(server.address, Arc::clone(&weather), scissors.clone()).await?;
            let at = Listens::pick();
            parts.dispatcher(number, at, &server.url(relay.address()), &store).await?;
            relays.push(relay);
            listens.push(at);
        }
        let balance = async |plane: fn(&Listens) -> SocketAddr, name: &str| {
            let backends = [plane(&listens[0]), plane(&listens[1])];
            HttpProxy::start(backends, Arc::clone(&weather), Dice::new(seed, name), scissors.clone()).await
        };
        let users_at = balance(|at| at.users, "users").await?;
        let tasks_at = balance(|at| at.tasks, "tasks").await?;
        let workers_at = balance(|at| at.workers, "workers").await?;
        let tokens = identities(&server).await?;
        for (number, token) in tokens.iter().enumerate() {
            parts.worker(number, launcher, token, &workers_at.url(), &tasks_at.url(), &store)?;
        }
        let client = Client::new(users_at.url(), user_token(&users)?)?;
        let Parts { processes, dials, disks, .. } = parts;
        let _proxies = (vec![users_at, tasks_at, workers_at], relays);
        Ok(Self {
            processes,
            dials,
            disks,
            server,
            store,
            scissors,
            weather,
            client,
            folder,
            listens,
            _proxies,
        })
    }

    /// Waits until a dispatcher takes requests.
    ///
    /// # Errors
    /// When it does not within a minute.
    pub async fn dispatcher_ready(&self, number: usize) -> anyhow::Result<()> {
        ready(self.listens[number].users).await
    }

    /// The process of a target.
    #[must_use]
    pub fn process(&self, target: Target) -> &Supervised {
        &self.processes[&target]
    }

    /// A worker's own folder.
    #[must_use]
    pub fn work_dir(&self, worker: usize) -> PathBuf {
        self.disks[&Target::Worker(worker)].path().join("work")
    }
}

/// What has been started so far.
struct Parts<'a> {
    workshop: &'a Workshop,
    folder: PathBuf,
    processes: BTreeMap<Target, Supervised>,
    dials: BTreeMap<Target, Dials>,
    disks: BTreeMap<Target, Disk>,
    purpose: Purpose,
}

impl Parts<'_> {
    async fn postgres(&mut self) -> anyhow::Result<Server> {
        let Workshop { shim, template, .. } = self.workshop;
        let disk = self.disks[&Target::Postgres].path();
        let dials = &self.dials[&Target::Postgres];
        let (server, process) =
            template.start(disk, trace_ports::reserve(), (shim, dials), self.log("postgres"))?;
        self.processes.insert(Target::Postgres, process);
        let mut connection = until("PostgreSQL starts", START, async || server.connect().await.ok()).await?;
        sqlx::query("select pg_create_logical_replication_slot($1, 'test_decoding')")
            .bind(SLOT)
            .execute(&mut connection)
            .await?;
        Ok(server)
    }

    async fn store(&mut self) -> anyhow::Result<Whereabouts> {
        let ready = self.folder.join("store.json");
        let root = self.disks[&Target::Store].path().join("store");
        self.spawn(Target::Store, "store", vec!["store".into(), root, ready.clone()], Vec::new());
        until("the object store starts", START, async || serde_json::from_slice(&fs::read(&ready).ok()?).ok())
            .await
    }

    async fn dispatcher(
        &mut self,
        number: usize,
        at: Listens,
        database: &str,
        store: &Whereabouts,
    ) -> anyhow::Result<()> {
        let limits = match self.purpose {
            Purpose::Breaking => json!({ "lease_ms": LEASE_MS, "sweep_ms": 1_000 }),
            Purpose::Serving => json!({}),
        };
        let config = json!({
            "database_url": database,
            "database_connections": 8,
            "listen": { "users": at.users, "tasks": at.tasks, "workers": at.workers },
            "key_dir": self.folder.join("keys"),
            "capability_issuer": "https://dispatcher.chaos",
            "users": { "issuer": ISSUER, "jwks": { "file": self.folder.join("users.jwks.json") } },
            "object_store": {
                "endpoint": store.endpoint, "region": REGION, "bucket": BUCKET,
                "access_key_id": store.access_key_id,
                "secret_access_key": store.secret_access_key.expose(),
            },
            "limits": limits,
        });
        let name = format!("dispatcher-{number}");
        let path = self.configuration(&name, &config)?;
        let arguments = vec!["dispatcher".into(), path, store.sessions.clone().into()];
        self.spawn(Target::Dispatcher(number), &name, arguments, Vec::new());
        ready(at.users).await
    }

    fn worker(
        &mut self,
        number: usize,
        launcher: Launcher,
        token: &Secret<String>,
        dispatcher: &str,
        task_api: &str,
        store: &Whereabouts,
    ) -> anyhow::Result<()> {
        let target = Target::Worker(number);
        let config = json!({
            "dispatcher": dispatcher,
            "task_api": task_api,
            // No task asks for a query here.
            "query": task_api,
            "object_store": { "endpoint": store.endpoint, "region": REGION },
            "work_dir": self.disks[&target].path().join("work"),
            "slots": 8,
            "claim_wait_ms": 5_000,
            "drain_ms": 10_000,
        });
        let name = format!("worker-{number}");
        let path = self.configuration(&name, &config)?;
        let arguments = vec!["worker".into(), path, launcher.as_str().into()];
        self.spawn(target, &name, arguments, vec![("TRACE_WORKER_TOKEN", token.expose().into())]);
        Ok(())
    }

    fn spawn(
        &mut self,
        target: Target,
        name: &str,
        arguments: Vec<PathBuf>,
        mut environment: Vec<(&'static str, PathBuf)>,
    ) {
        environment.extend(self.workshop.shim.environment(&self.dials[&target]));
        let recipe = Recipe {
            name: name.to_owned(),
            command: [self.workshop.program.clone(), "serve".into()].into_iter().chain(arguments).collect(),
            environment,
            folder: self.folder.clone(),
            account: None,
            log: self.log(name),
        };
        self.processes.insert(target, Supervised::start(recipe));
    }

    fn configuration(&self, name: &str, config: &serde_json::Value) -> anyhow::Result<PathBuf> {
        let path = self.folder.join(format!("{name}.json"));
        fs::write(&path, serde_json::to_vec_pretty(config)?)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        Ok(path)
    }

    fn log(&self, name: &str) -> PathBuf {
        self.folder.join("log").join(format!("{name}.log"))
    }
}

/// Waits until a dispatcher says that it is ready.
async fn ready(at: SocketAddr) -> anyhow::Result<()> {
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(2)).build()?;
    let health = format!("http://{at}/readyz");
    until("a dispatcher starts", START, async || {
        client.get(&health).send().await.ok()?.error_for_status().ok()
    })
    .await
    .map(drop)
}

fn all_targets() -> impl Iterator<Item = Target> {
    [Target::Postgres, Target::Store]
        .into_iter()
        .chain((0..DISPATCHERS).map(Target::Dispatcher))
        .chain((0..WORKERS).map(Target::Worker))
}

fn all_dials(folder: &Path) -> anyhow::Result<BTreeMap<Target, Dials>> {
    fs::create_dir_all(folder.join("dials"))?;
    all_targets()
        .enumerate()
        .map(|(number, target)| Ok((target, Dials::new(&folder.join("dials").join(number.to_string()))?)))
        .collect()
}

/// Small ones: filling them costs memory.
fn disks(folder: &Path, purpose: Purpose) -> anyhow::Result<BTreeMap<Target, Disk>> {
    const MIB: u64 = 1 << 20;
    let mut disks = BTreeMap::new();
    for target in all_targets() {
        let (name, bytes) = match target {
            Target::Postgres => ("postgres".to_owned(), 256 * MIB),
            Target::Store => ("store".to_owned(), 64 * MIB),
            Target::Worker(number) => (format!("worker-{number}"), 48 * MIB),
            Target::Dispatcher(_) => continue,
        };
        let path = folder.join("disk").join(name);
        let disk = match purpose {
            Purpose::Breaking => Disk::mount(&path, bytes)?,
            Purpose::Serving => Disk::folder(&path)?,
        };
        disks.insert(target, disk);
    }
    Ok(disks)
}

async fn identities(server: &Server) -> anyhow::Result<Vec<Secret<String>>> {
    let db = PgPoolOptions::new().max_connections(1).connect(&server.url(server.address)).await?;
    bootstrap::ensure_org(&db, &"main".parse()?).await?;
    let mut tokens = Vec::new();
    for number in 0..WORKERS {
        tokens.push(bootstrap::issue_identity(&db, &format!("worker-{number}"), Kind::Worker).await?);
    }
    db.close().await;
    Ok(tokens)
}

/// A user's token, from well before and until well after any clock of the run.
fn user_token(key: &SigningKey) -> anyhow::Result<Secret<String>> {
    let now = chrono::Utc::now().timestamp();
    let claims = UserClaims {
        iss: ISSUER.to_owned(),
        aud: trace_contracts::token::USER_AUDIENCE.to_owned(),
        sub: "chaos".to_owned(),
        email: None,
        org: "main".to_owned(),
        role: Role::Admin,
        iat: now - 3_600,
        nbf: None,
        exp: now + 24 * 3_600,
    };
    let token = key.token(trace_contracts::token::USER_TYPES[0], &claims).context("a token is signed")?;
    Ok(Secret::new(token))
}
