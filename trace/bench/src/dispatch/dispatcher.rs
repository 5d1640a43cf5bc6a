//! A dispatcher to measure: the real one, served on loopback, with the object store left out.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::Utc;
use futures::stream;
use sqlx::{PgPool, types::Json};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use trace_contracts::{
    DagId, DagVersionId, Manifest, ManifestObject, ObjectKey, OrgId, PartitionKey, RunId, S3Prefix, Secret,
    Sha256, UserId, token::USER_TYPES, wire::worker::Blob,
};
use trace_dispatcher::{
    Adapters, App, Config,
    blobs::{self, Spooled},
    bootstrap,
    bundles::BlobSource,
    config::{Jwks, Keys, Limits, Listen, ObjectStore, StoreKeys, UserIssuer},
    credentials::{QueryServiceOnly, Source},
    dag::spec::Spec,
    identity::Kind,
    keys::SigningKey,
    outputs::{self, OutputLister, Outputs},
    start,
    task::{
        cancel::cancel_run,
        start_run::{NewRun, start_run},
    },
};

/// Who issues the user's token.
const ISSUER: &str = "https://users.bench";

/// Runs until it is dropped.
pub struct Dispatcher {
    app: App,
    workers: String,
    users: String,
    user_key: SigningKey,
    identity: Secret<String>,
    org: OrgId,
    user: UserId,
    shutdown: CancellationToken,
    serving: JoinHandle<Result<(), trace_dispatcher::Error>>,
    _folder: TempDir,
}

/// One object under every attempt's prefix. Listing it is the object store's time, not ours.
struct OneObject;

#[async_trait]
impl OutputLister for OneObject {
    async fn list(&self, prefix: &S3Prefix, partition: &PartitionKey) -> Result<Outputs, outputs::Error> {
        let key: ObjectKey = format!("{}part-0.parquet", prefix.key_prefix())
            .parse()
            .map_err(|_| outputs::Error::Refused("the prefix makes no key".to_owned()))?;
        let object = ManifestObject {
            partition: partition.clone(),
            key,
            size: 4096,
            etag: "9e107d9d372bb6826bd81d3542a419d6".to_owned(),
            version_id: None,
        };
        Ok(Outputs::new(&Manifest::new(prefix.bucket().to_owned(), vec![object])))
    }
}

/// One bundle under every name. Fetching it is the object store's time, not ours.
struct OneBundle;

/// What it is.
const BUNDLE: &[u8] = include_bytes!("bundle.zip");

#[async_trait]
impl BlobSource for OneBundle {
    async fn fetch(&self, _: OrgId, blob: Blob) -> Result<Option<Spooled>, blobs::Error> {
        let content = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(BUNDLE))]);
        blobs::spool(content, blob.size).await.map(Some)
    }
}

impl Dispatcher {
    /// Starts one on this database.
    pub async fn start(database: &str) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let jwks = folder.path().join("users.json");
        let user_key = SigningKey::open(&folder.path().join("users"))?;
        std::fs::write(&jwks, user_key.jwks())?;
        let loopback = "127.0.0.1:0".parse()?;
        let config = Config {
            database_url: Secret::new(database.to_owned()),
            database_connections: 16,
            unverified_database: Default::default(),
            plain_http: Default::default(),
            transport: Default::default(),
            ready_file: None,
            listen: Listen { users: loopback, tasks: loopback, workers: loopback },
            key_dir: folder.path().join("keys"),
            capability_issuer: "https://dispatcher.bench".to_owned(),
            users: UserIssuer {
                issuer: ISSUER.to_owned(),
                audience: "trace".to_owned(),
                jwks: Jwks::File(jwks),
            },
            object_store: ObjectStore {
                endpoint: None,
                region: "us-east-1".to_owned(),
                bucket: "trace".to_owned(),
                keys: Some(StoreKeys {
                    access_key_id: "bench".to_owned(),
                    secret_access_key: Secret::new("bench".to_owned()),
                }),
            },
            keys: Keys { platform_org: Some("main".parse()?), ..Keys::default() },
            credentials: Source::None,
            egress: trace_dispatcher::config::Egress::None,
            webhooks: trace_dispatcher::webhooks::Settings::default(),
            wake_ups: trace_dispatcher::queue::Source::Postgres,
            limits: Limits::default(),
        };
        let mut adapters = Adapters::new(&config, Arc::new(QueryServiceOnly));
        adapters.outputs = Arc::new(OneObject);
        adapters.blobs = Arc::new(OneBundle);
        let shutdown = CancellationToken::new();
        let dispatcher = start(config, adapters, shutdown.clone()).await?;
        let listeners = dispatcher.bind().await?;
        let addresses = listeners.addresses()?;
        let app = dispatcher.app().clone();
        let serving = tokio::spawn(dispatcher.serve(listeners));
        let org = bootstrap::ensure_org(&app.db, &"main".parse()?).await?;
        let user: i64 = sqlx::query_scalar(
            "insert into users (org_id, issuer, external_id, role) values ($1, $2, 'bench', 'admin')
            on conflict (issuer, external_id) do update set role = 'admin' returning user_id",
        )
        .bind(org.get())
        .bind(ISSUER)
        .fetch_one(&app.db)
        .await?;
        let identity = bootstrap::issue_identity(&app.db, "bench", Kind::Worker).await?;
        Ok(Self {
            app,
            workers: format!("http://{}", addresses.workers),
            users: format!("http://{}", addresses.users),
            user_key,
            identity,
            org,
            user: UserId::from_db(user),
            shutdown,
            serving,
            _folder: folder,
        })
    }

    /// Its state database.
    #[must_use]
    pub fn db(&self) -> &PgPool {
        &self.app.db
    }

    /// Where workers call it.
    #[must_use]
    pub fn workers(&self) -> &str {
        &self.workers
    }

    /// Where users call it.
    #[must_use]
    pub fn users(&self) -> &str {
        &self.users
    }

    /// What its user shows it.
    pub fn user_token(&self) -> anyhow::Result<String> {
        let now = Utc::now().timestamp();
        let claims = serde_json::json!({
            "iss": ISSUER, "aud": "trace", "sub": "bench", "iat": now, "nbf": now, "exp": now + 600,
            "custom:org_id": "main", "custom:role": "admin",
        });
        Ok(self.user_key.token(USER_TYPES[0], &claims)?)
    }

    /// Says that the org has uploaded the bundle, and answers what it is.
    pub async fn own_bundle(&self) -> anyhow::Result<Blob> {
        let blob = Blob { sha256: Sha256::of(BUNDLE), size: BUNDLE.len() as u64 };
        let mut conn = self.db().acquire().await?;
        trace_dispatcher::db::blobs::insert(&mut conn, self.org, blob).await?;
        Ok(blob)
    }

    /// Cancels a run.
    pub async fn cancel(&self, run: RunId) -> anyhow::Result<()> {
        let mut tx = self.db().begin().await?;
        cancel_run(&mut tx, &self.app.core, self.org, run).await?;
        Ok(tx.commit().await?)
    }

    /// What a worker shows it.
    #[must_use]
    pub const fn identity(&self) -> &Secret<String> {
        &self.identity
    }

    /// Puts a DAG in place.
    pub async fn deploy(&self, spec: &Spec) -> anyhow::Result<(DagId, DagVersionId)> {
        let dag: i64 = sqlx::query_scalar("insert into dags (org_id, name) values ($1, $2) returning dag_id")
            .bind(self.org.get())
            .bind(spec.name.to_string())
            .fetch_one(self.db())
            .await?;
        let version: i64 = sqlx::query_scalar(
            "insert into dag_versions (dag_id, sha256, yaml, spec, deployed_by)
            values ($1, sha256('x'), '', $2, $3) returning dag_version_id",
        )
        .bind(dag)
        .bind(Json(spec))
        .bind(self.user.get())
        .fetch_one(self.db())
        .await?;
        Ok((DagId::from_db(dag), DagVersionId::from_db(version)))
    }

    /// Starts a run: the planner's part of a trigger.
    pub async fn run(&self, spec: &Spec, dag: DagId, version: DagVersionId) -> anyhow::Result<RunId> {
        let new = NewRun {
            org: self.org,
            dag,
            version,
            spec,
            params: BTreeMap::new(),
            triggered_by: self.user,
            idempotency_key: None,
        };
        let mut tx = self.db().begin().await?;
        let started = start_run(&mut tx, &self.app.core, new).await?;
        tx.commit().await?;
        Ok(started.run())
    }

    /// Stops it.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.shutdown.cancel();
        Ok(self.serving.await??)
    }
}
