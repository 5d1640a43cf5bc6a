//! Secrets of Secrets Manager: given to built-in operators that declare them, and found nowhere else.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use aws_sdk_secretsmanager::{Client, primitives::Blob};
use tempfile::TempDir;
use trace_contracts::{Name, OrgId, RunId, wire::worker::Code};
use trace_dispatcher::dag::spec::{JobSpec, Retries};
use trace_localstack::{Emulator, Fault, Given, Options, Platform, Proxy, REGION, Worker, job, until};
use trace_object_store::{Config, Denial, DenialSink, EmbeddedObjectStore, Limits};
use trace_worker_wrapper::{
    config::LauncherSettings,
    secrets::{Error, ManagerConfig, SecretStore, SecretsManager, Source},
};
use uuid::Uuid;

/// JSON of two lines, as secrets of databases are; one text has a quote in it.
const VALUE: &str = "{\"user\": \"loader\",\n \"password\": \"correct-horse-battery\", \"token\": \"staple-staple\\\"quoted-end\"}";
/// What must not be found. None has a character that a database or JSON would write in another way.
const HIDDEN: [&str; 3] = ["correct-horse-battery", "staple-staple", "quoted-end"];

/// Secrets of an environment that no other test has.
struct Kept {
    client: Client,
    environment: String,
}

impl Kept {
    fn new(emulator: &Emulator) -> Self {
        let environment = format!("test-{}", &Uuid::new_v4().simple().to_string()[..12]);
        Self { client: emulator.secrets_manager(), environment }
    }

    fn id(&self, org: OrgId, name: &str) -> String {
        format!("/{}/{org}/{name}", self.environment)
    }

    async fn create(&self, org: OrgId, name: &str, value: &str) {
        let made = self.client.create_secret().name(self.id(org, name)).secret_string(value);
        made.send().await.unwrap();
    }

    async fn rotate(&self, org: OrgId, name: &str, value: &str) {
        let put = self.client.put_secret_value().secret_id(self.id(org, name)).secret_string(value);
        put.send().await.unwrap();
    }

    fn config(&self, aws: trace_aws::Aws, cache_seconds: u64) -> ManagerConfig {
        let environment = serde_json::from_value(self.environment.clone().into()).unwrap();
        ManagerConfig { aws, environment, cache_seconds }
    }
}

fn warehouse() -> Name {
    "warehouse".parse().unwrap()
}

async fn value(store: &SecretsManager, org: i64, name: &str) -> Result<String, Error> {
    let value = store.value(OrgId::from_db(org), &name.parse().unwrap()).await;
    value.map(|value| value.expose().clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_its_orgs_is_asked_for_once_and_a_rotated_one_counts_when_its_time_is_up() {
    let emulator = Emulator::here();
    let (kept, proxy) = (Kept::new(&emulator), Proxy::start(&emulator).await.unwrap());
    kept.create(OrgId::from_db(1), "warehouse", "first-value").await;
    let remembering = Arc::new(SecretsManager::new(&kept.config(proxy.aws(), 3_600)));
    let fresh = SecretsManager::new(&kept.config(emulator.aws(), 0));

    let asking = (0..20).map(|_| {
        let store = Arc::clone(&remembering);
        tokio::spawn(async move { value(&store, 1, "warehouse").await.unwrap() })
    });
    for asked in asking.collect::<Vec<_>>() {
        assert_eq!(asked.await.unwrap(), "first-value");
    }
    assert_eq!(proxy.seen("GetSecretValue"), 1, "twenty attempts at once ask once");

    kept.rotate(OrgId::from_db(1), "warehouse", "second-value").await;
    assert_eq!(value(&remembering, 1, "warehouse").await.unwrap(), "first-value", "until its time is up");
    assert_eq!(value(&fresh, 1, "warehouse").await.unwrap(), "second-value");
    let others = value(&fresh, 2, "warehouse").await.unwrap_err();
    assert!(others.to_string().contains("is not there"), "{others}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_given_is_told_with_the_service_and_what_to_do() {
    let emulator = Emulator::here();
    let (kept, proxy) = (Kept::new(&emulator), Proxy::start(&emulator).await.unwrap());
    let org = OrgId::from_db(1);
    let store = SecretsManager::new(&kept.config(proxy.aws(), 0));
    let absent = value(&store, 1, "warehouse").await.unwrap_err();
    let place = kept.id(org, "warehouse");
    assert!(matches!(absent, Error::Unavailable { .. }));
    let told = absent.to_string();
    assert!(
        told.contains(&format!("Secrets Manager has no {place}")) && told.contains("creates it"),
        "{told}"
    );

    kept.create(org, "warehouse", "the-value-itself").await;
    kept.create(org, "short", "hunter2").await;
    let bytes = Blob::new(b"the-value-itself");
    kept.client.create_secret().name(kept.id(org, "bytes")).secret_binary(bytes).send().await.unwrap();
    for (name, why) in [("short", "too short to be masked"), ("bytes", "is not text")] {
        let told = value(&store, 1, name).await.unwrap_err();
        assert!(matches!(told, Error::Unavailable { .. }), "{told}");
        assert!(told.to_string().contains(why) && !told.to_string().contains("hunter2"), "{told}");
    }

    for (fault, is_away, why) in [
        (Fault::Refused(400, "AccessDeniedException"), false, "secretsmanager:GetSecretValue"),
        (Fault::Refused(400, "InvalidRequestException"), false, "refuses"),
        (Fault::Refused(400, "ThrottlingException"), true, "takes no more calls"),
        (Fault::Refused(400, "ExpiredTokenException"), true, "identity, or its keys have expired"),
        (Fault::Refused(500, "InternalServiceError"), true, "gives no answer"),
        (Fault::Cut, true, "gives no answer"),
    ] {
        proxy.always(Some(fault.clone()));
        let told = value(&store, 1, "warehouse").await.unwrap_err();
        assert_eq!(matches!(told, Error::Away { .. }), is_away, "{fault:?}: {told}");
        let told = told.to_string();
        assert!(told.contains("Secrets Manager") && told.contains(why), "{fault:?}: {told}");
        // What AWS says names accounts and roles: it is for the log.
        assert!(!told.contains("said the proxy"), "{told}");
    }
    proxy.always(None);
    assert_eq!(value(&store, 1, "warehouse").await.unwrap(), "the-value-itself", "it is back");
}

/// Nobody reads refusals of the store here.
struct Unheard;

#[async_trait::async_trait]
impl DenialSink for Unheard {
    async fn denied(&self, _denial: Denial) {}
}

/// Everything that dispatcher and worker log in this process.
#[derive(Clone, Default)]
struct Logged(Arc<Mutex<Vec<u8>>>);

impl Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Logged {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

/// A platform whose worker runs the leaky operator.
struct Scene {
    platform: Platform,
    _store: Arc<EmbeddedObjectStore>,
    _worker: Worker,
    _folder: TempDir,
}

impl Scene {
    async fn start(secrets: Source) -> Self {
        let folder = tempfile::Builder::new().prefix("trace-secrets.").tempdir().unwrap();
        let store = EmbeddedObjectStore::start(Config {
            root: folder.path().join("objects"),
            listen: "127.0.0.1:0".parse().unwrap(),
            bucket: "trace".to_owned(),
            region: REGION.to_owned(),
            limits: Limits::default(),
            denials: Arc::new(Unheard),
        });
        let store = Arc::new(store.await.unwrap());
        let options = Options { store: Some(Arc::clone(&store)), ..Options::default() };
        let platform = Platform::start(options).await.unwrap();
        let leaky = PathBuf::from(env!("CARGO_BIN_EXE_leaky-operator"));
        let tools = BTreeMap::from([("trace-operator".to_owned(), leaky)]);
        let given = Given { launcher: LauncherSettings::Process, secrets, tools };
        let worker = Worker::with(&platform, &store, given).unwrap();
        Self { platform, _store: store, _worker: worker, _folder: folder }
    }

    /// Runs a job of the leaky operator to its end.
    async fn run(&self, dag: &str, secrets: Vec<Name>) -> RunId {
        let code = Code::Operator {
            operator: "csv_to_parquet".parse().unwrap(),
            config: serde_json::json!({ "table": "configured-value" }),
            secrets,
        };
        let job = JobSpec {
            code,
            retries: Retries { max: 0, backoff_ms: 0 },
            resources: trace_contracts::wire::worker::Resources {
                cpu_millis: 1_000,
                memory_bytes: 128 << 20,
                disk_bytes: 16 << 20,
            },
            ..job("load", 1)
        };
        let run = self.platform.run(dag, vec![job]).await.unwrap();
        let platform = &self.platform;
        until("the run has ended", async || Ok((platform.state_of(run).await? != "running").then_some(())))
            .await
            .unwrap();
        run
    }

    /// All rows of all tables, as text.
    async fn database(&self) -> anyhow::Result<String> {
        let tables: Vec<String> = sqlx::query_scalar(
            "select quote_ident(table_schema) || '.' || quote_ident(table_name) from information_schema.tables
            where table_schema not in ('pg_catalog', 'information_schema') and table_type = 'BASE TABLE'",
        )
        .fetch_all(&self.platform.app.db)
        .await?;
        anyhow::ensure!(tables.len() > 10, "there are more tables than {tables:?}");
        let mut all = String::new();
        for table in tables {
            let every = sqlx::AssertSqlSafe(format!("select t::text from {table} t"));
            let rows: Vec<String> = sqlx::query_scalar(every).fetch_all(&self.platform.app.db).await?;
            all.extend(rows.into_iter().flat_map(|row| [row, "\n".to_owned()]));
        }
        Ok(all)
    }

    /// Whatever the API tells an admin of a run.
    async fn answers(&self, run: RunId) -> anyhow::Result<String> {
        let task = format!("t{}.0", run.get());
        let mut all = String::new();
        for path in [
            "runs".to_owned(),
            format!("runs/{run}"),
            format!("runs/{run}/tasks"),
            format!("runs/{run}/why"),
            format!("tasks/{task}"),
            format!("tasks/{task}/why"),
            format!("tasks/{task}/logs"),
            "dags".to_owned(),
            "dead-letters".to_owned(),
            "audit".to_owned(),
        ] {
            let url = format!("http://{}/v1/{path}", self.platform.addresses.users);
            let answer = self.platform.http.get(url).bearer_auth(self.platform.admin()).send().await?;
            let (status, text) = (answer.status(), answer.text().await?);
            anyhow::ensure!(status.is_success(), "{path}: {status}: {text}");
            all.push_str(&text);
            all.push('\n');
        }
        Ok(all)
    }
}

/// The places where a text is found.
fn search(places: &[(&str, &str)], looked_for: &str) -> Vec<String> {
    let found = places.iter().filter(|(_, text)| text.contains(looked_for));
    found.map(|(place, _)| (*place).to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_reaches_the_operator_that_declares_it_and_nothing_that_is_kept_or_told() {
    let logged = Logged::default();
    let writer = logged.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::DEBUG)
        .with_writer(move || writer.clone())
        .with_ansi(false);
    // The only test here that asks for the log of this process.
    subscriber.init();
    let emulator = Emulator::here();
    let kept = Kept::new(&emulator);
    let secrets = Source::SecretsManager(Box::new(kept.config(emulator.aws(), 60)));
    let scene = Scene::start(secrets).await;
    kept.create(scene.platform.org, "warehouse", VALUE).await;
    let run = scene.run("leaky", vec![warehouse()]).await;

    let (database, answers) = (scene.database().await.unwrap(), scene.answers(run).await.unwrap());
    let logged = logged.text();
    let places = [("database", &*database), ("API", &*answers), ("log", &*logged)];

    // The operator was given it: it said so backwards, which nothing masks.
    let backwards: String = HIDDEN[0].chars().rev().collect();
    assert_eq!(search(&places, &backwards), ["database", "API"]);
    // The search finds what is no secret: in lines that were printed, and in the words that the task failed with.
    assert_eq!(search(&places, "positive-control-value"), ["database", "API"]);
    assert_eq!(search(&places, "positive-control-error: can't log in with"), ["database", "API", "log"]);
    assert_eq!(search(&places, "[masked]"), ["database", "API", "log"]);
    for hidden in HIDDEN {
        assert_eq!(search(&places, hidden), Vec::<String>::new(), "`{hidden}` was found");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_whose_secret_is_not_there_fails_and_says_so_and_one_whose_store_is_away_is_tried_again() {
    let emulator = Emulator::here();
    let (kept, proxy) = (Kept::new(&emulator), Proxy::start(&emulator).await.unwrap());
    let secrets = Source::SecretsManager(Box::new(kept.config(proxy.aws(), 0)));
    let scene = Scene::start(secrets).await;
    let db = &scene.platform.app.db;
    let ends = async |run: RunId| -> anyhow::Result<Vec<(String, String)>> {
        let first = run.get() << 20;
        Ok(sqlx::query_as("select outcome, detail from attempts where task_id = $1 order by attempt_id")
            .bind(first)
            .fetch_all(db)
            .await?)
    };
    let absent = scene.run("absent", vec![warehouse()]).await;
    let [(outcome, detail)] = &ends(absent).await.unwrap()[..] else { panic!("one attempt") };
    assert_eq!(outcome, "secret");
    assert!(detail.contains("the secret `warehouse` is not there: Secrets Manager has no"), "{detail}");

    // Three tries of one call: the first attempt is lost, and the second one is given it.
    kept.create(scene.platform.org, "warehouse", VALUE).await;
    proxy.next("GetSecretValue", [Fault::Cut, Fault::Cut, Fault::Cut]);
    let back = scene.run("back", vec![warehouse()]).await;
    let ends = ends(back).await.unwrap();
    let outcomes: Vec<&str> = ends.iter().map(|(outcome, _)| outcome.as_str()).collect();
    assert_eq!(outcomes, ["launch", "exit"], "{ends:?}");
    assert!(ends[0].1.contains("the secret `warehouse` can't be read now: Secrets Manager"), "{ends:?}");
}
