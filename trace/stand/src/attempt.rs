//! An attempt with all that it was given, what ends its authority, and what each plane says afterwards.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, ensure};
use aws_credential_types::Credentials;
use aws_sdk_s3::config::{BehaviorVersion, Region, retry::RetryConfig};
use reqwest::Method;
use serde_json::{Value, json};
use trace_contracts::{
    ClaimId, KeyId, Role, RunId, S3Prefix, Secret,
    wire::{
        task::{ContextReply, CredentialsReply, TokenReply},
        worker::{ClaimReply, Code, FailureReason, Lease, Resources},
    },
};
use trace_dispatcher::{
    dag::spec::{JobLimits, JobSpec, Retries, Spec},
    task::start_run::{NewRun, start_run},
};

use crate::{BUCKET, Download, LONG, REGION, Stand, query_service::code};

/// Work for hours that reads and yields nothing.
pub const SLOW: &str = "WITH v(n) AS (VALUES (1), (2), (3), (4), (5), (6), (7), (8), (9), (10), (11), (12)) \
    SELECT sum(a.n * b.n - c.n * d.n + e.n * f.n - g.n) FROM v a, v b, v c, v d, v e, v f, v g, v h, v i, v j";

/// A download is of an object of this size.
const DOWNLOAD_BYTES: usize = 48 * 1024 * 1024;

/// An attempt that runs, and the authority that it has.
pub struct Attempt {
    /// Its lease.
    pub lease: Lease,
    /// Its run.
    pub run: RunId,
    /// Who started the run.
    pub owner: String,
    /// For the dispatcher.
    pub token: Secret<String>,
    /// For the query service.
    pub query_token: Secret<String>,
    /// The key that signed both.
    pub kid: KeyId,
    /// Where it may keep what dies with it.
    pub scratch: S3Prefix,
    s3: aws_sdk_s3::Client,
}

/// What ends the authority of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Its run is cancelled.
    Cancelled,
    /// Its lease runs out.
    LostLease,
    /// It fails, and another attempt at the task is made.
    Retried,
    /// It completes.
    Completed,
    /// Whoever started the run is suspended.
    OwnerSuspended,
    /// The key that signed its tokens is revoked.
    KeyRevoked,
}

impl Cause {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Cancelled,
        Self::LostLease,
        Self::Retried,
        Self::Completed,
        Self::OwnerSuspended,
        Self::KeyRevoked,
    ];
}

/// Where an attempt shows what it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plane {
    /// `GET /v1/task/context` of the dispatcher.
    TaskApi,
    /// `POST /v1/task/token`, for another audience.
    TokenExchange,
    /// `POST /v1/task/token`, for the same audience again.
    TokenRefresh,
    /// `POST /v1/task/credentials`.
    Credentials,
    /// A query.
    Query,
    /// A request to the object store with keys that it was given before.
    ObjectStore,
}

impl Plane {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::TaskApi,
        Self::TokenExchange,
        Self::TokenRefresh,
        Self::Credentials,
        Self::Query,
        Self::ObjectStore,
    ];
}

/// What a plane said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It did what was asked.
    Served,
    /// It refused, with this code.
    Refused(String),
}

impl Stand {
    /// A new attempt of a run that `owner` has started, with tokens and keys.
    pub async fn attempt(&self, owner: &str) -> anyhow::Result<Attempt> {
        let run = self.run(owner).await?;
        let claim = json!({ "claim_id": ClaimId::random(), "max": 1, "wait_ms": 20_000 });
        let claimed: ClaimReply = self.dispatcher.worker("/internal/claim", &claim).await?;
        let lease = claimed.leases.into_iter().next().context("nothing is ready")?;
        ensure!(lease.launch.run == run, "another run's task is ready");
        self.attempt_of(lease, owner).await
    }

    /// The attempt of a lease, with tokens and keys.
    pub async fn attempt_of(&self, lease: Lease, owner: &str) -> anyhow::Result<Attempt> {
        let token = lease.capability_token.clone();
        let body = json!({ "audience": "trace:query" });
        let exchanged = self.dispatcher.task(Method::POST, "/v1/task/token", &token, Some(&body)).await?;
        let exchanged: TokenReply = exchanged.error_for_status()?.json().await?;
        let given = self.dispatcher.task(Method::POST, "/v1/task/credentials", &token, None).await?;
        let given: CredentialsReply = given.error_for_status()?.json().await?;
        let session = given.sessions.first().context("no session")?;
        let keys = Credentials::new(
            session.access_key_id.clone(),
            session.secret_access_key.expose().clone(),
            Some(session.session_token.expose().clone()),
            None,
            "attempt",
        );
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(REGION))
            .credentials_provider(keys)
            .retry_config(RetryConfig::disabled())
            .force_path_style(true)
            .endpoint_url(self.store.endpoint().as_str().trim_end_matches('/'));
        let header = jsonwebtoken::decode_header(token.expose())?;
        let context = self.dispatcher.task(Method::GET, "/v1/task/context", &token, None).await?;
        let context: ContextReply = context.error_for_status()?.json().await?;
        Ok(Attempt {
            run: lease.launch.run,
            owner: owner.to_owned(),
            token,
            query_token: exchanged.token,
            kid: header.kid.context("a key id")?.parse()?,
            scratch: context.scratch,
            s3: aws_sdk_s3::Client::from_conf(config.build()),
            lease,
        })
    }

    /// Starts a run of one task in the name of `owner`, who is made where there is none.
    pub async fn run(&self, owner: &str) -> anyhow::Result<RunId> {
        let app = self.dispatcher.app();
        let who: Value =
            self.dispatcher.get(&self.issuer.token(owner, Role::Operator)?, "/v1/whoami").await?;
        let (user, org) =
            (serde_json::from_value(who["user"].clone())?, serde_json::from_value(who["org"].clone())?);
        let spec = one_job()?;
        let mut tx = app.db.begin().await?;
        let dag: i64 = sqlx::query_scalar(
            "insert into dags (org_id, name) values ($1, 'd') on conflict (org_id, name) do update set name = 'd'
            returning dag_id",
        )
        .bind(trace_contracts::OrgId::get(org))
        .fetch_one(&mut *tx)
        .await?;
        let version: i64 = sqlx::query_scalar(
            "insert into dag_versions (dag_id, sha256, yaml, spec, deployed_by) values ($1, sha256('x'), '', $2, $3)
            on conflict (dag_id, sha256) do update set yaml = '' returning dag_version_id",
        )
        .bind(dag)
        .bind(sqlx::types::Json(&spec))
        .bind(trace_contracts::UserId::get(user))
        .fetch_one(&mut *tx)
        .await?;
        let new = NewRun {
            org,
            dag: trace_contracts::DagId::from_db(dag),
            version: trace_contracts::DagVersionId::from_db(version),
            spec: &spec,
            params: BTreeMap::new(),
            triggered_by: user,
            idempotency_key: None,
        };
        let started = start_run(&mut tx, &app.core, new).await?;
        tx.commit().await?;
        Ok(started.run())
    }

    /// Ends the authority of an attempt. When this answers, so has whoever was told to.
    pub async fn end(&self, attempt: &Attempt, cause: Cause) -> anyhow::Result<()> {
        let admin = self.issuer.token("admin", Role::Admin)?;
        let reason = json!({ "reason": "a test" });
        let done: Value = match cause {
            Cause::Cancelled => {
                let path = format!("/v1/runs/{}/cancel", attempt.run);
                self.dispatcher.user(&admin, &path, &json!({})).await?
            }
            Cause::LostLease => {
                // The lease's own end is brought forward; everything after that is as ever.
                let mut tx = self.dispatcher.app().db.begin().await?;
                sqlx::query("update leases set expires_at = clock_timestamp() where attempt_id = $1")
                    .bind(attempt.lease.attempt.get())
                    .execute(&mut *tx)
                    .await?;
                sqlx::query("select pg_notify('trace_later', '')").execute(&mut *tx).await?;
                tx.commit().await?;
                Value::Null
            }
            Cause::Retried => {
                let failed =
                    json!({ "outcome": "failed", "reason": FailureReason::Exit, "detail": "exit status 1" });
                self.complete(attempt, failed).await?
            }
            Cause::Completed => self.complete(attempt, json!({ "outcome": "succeeded" })).await?,
            Cause::OwnerSuspended => {
                let who: Value = self
                    .dispatcher
                    .get(&self.issuer.token(&attempt.owner, Role::Operator)?, "/v1/whoami")
                    .await?;
                let user = who["user"].as_str().context("a user")?;
                self.dispatcher.user(&admin, &format!("/v1/users/{user}/suspend"), &reason).await?
            }
            Cause::KeyRevoked => {
                self.dispatcher.user(&admin, &format!("/v1/keys/{}/revoke", attempt.kid), &reason).await?
            }
        };
        drop(done);
        Ok(())
    }

    async fn complete(&self, attempt: &Attempt, outcome: Value) -> anyhow::Result<Value> {
        let lease = &attempt.lease;
        let fence = json!({
            "task": lease.launch.task, "attempt": lease.attempt, "lease_token": lease.lease_token,
        });
        let body = json!({ "completions": [{ "fence": fence, "outcome": outcome }] });
        let reply: Value = self.dispatcher.worker("/internal/complete", &body).await?;
        ensure!(reply["verdicts"][0]["verdict"] == "recorded", "{reply}");
        Ok(reply)
    }

    /// Shows a plane what the attempt was given.
    pub async fn show(&self, attempt: &Attempt, plane: Plane) -> anyhow::Result<Verdict> {
        let audience = |audience: &str| json!({ "audience": audience });
        let (dispatcher, token) = (&self.dispatcher, &attempt.token);
        let response = match plane {
            Plane::TaskApi => dispatcher.task(Method::GET, "/v1/task/context", token, None).await?,
            Plane::TokenExchange => {
                let body = audience("trace:query");
                dispatcher.task(Method::POST, "/v1/task/token", token, Some(&body)).await?
            }
            Plane::TokenRefresh => {
                let body = audience("trace:dispatcher");
                dispatcher.task(Method::POST, "/v1/task/token", token, Some(&body)).await?
            }
            Plane::Credentials => dispatcher.task(Method::POST, "/v1/task/credentials", token, None).await?,
            Plane::Query => self.query.ask(&self.http, attempt.query_token.expose(), "SELECT 1").await?,
            Plane::ObjectStore => return attempt.list_scratch().await,
        };
        Ok(code(response).await?.map_or(Verdict::Served, Verdict::Refused))
    }

    /// Shows it again and again until the plane refuses; answers with which code.
    pub async fn until_refused(&self, attempt: &Attempt, plane: Plane) -> anyhow::Result<String> {
        let refused = async {
            loop {
                if let Verdict::Refused(code) = self.show(attempt, plane).await? {
                    return anyhow::Ok(code);
                }
            }
        };
        tokio::time::timeout(LONG, refused).await.with_context(|| format!("{plane:?} goes on serving"))?
    }

    /// A query that runs, and does not end by itself. Once it is over: the code that it was answered with.
    pub async fn running_query(
        &self,
        attempt: &Attempt,
    ) -> anyhow::Result<impl Future<Output = anyhow::Result<Option<String>>> + use<>> {
        let (http, token) = (self.http.clone(), attempt.query_token.expose().clone());
        let asked = self.query.ask_in_background(http, token);
        self.query.busy().await?;
        Ok(async move {
            let response = tokio::time::timeout(LONG, asked).await.context("the query goes on")???;
            code(response).await
        })
    }
}

impl Attempt {
    /// Lists its scratch prefix with its keys.
    async fn list_scratch(&self) -> anyhow::Result<Verdict> {
        let listed = self.s3.list_objects_v2().bucket(BUCKET).prefix(self.scratch.key_prefix()).send().await;
        match listed {
            Ok(_) => Ok(Verdict::Served),
            Err(error) => {
                let status = error.raw_response().map(|response| response.status().as_u16());
                let status = status.with_context(|| format!("the store did not answer: {error:?}"))?;
                ensure!((400..500).contains(&status), "the store failed with {status}");
                Ok(Verdict::Refused(status.to_string()))
            }
        }
    }

    /// Leaves an output, so that it may complete.
    pub async fn put_output(&self) -> anyhow::Result<()> {
        let key = self.scratch.key_prefix().replace("/scratch/", "/out/");
        let request = self.s3.put_object().bucket(BUCKET).key(format!("{key}part-0.parquet"));
        request.body(b"rows".to_vec().into()).send().await?;
        Ok(())
    }

    /// A download of its own that has begun, of an object that is larger than what connections hold.
    pub async fn running_download(&self) -> anyhow::Result<Download> {
        let key = format!("{}large", self.scratch.key_prefix());
        let put = self.s3.put_object().bucket(BUCKET).key(&key).body(vec![7; DOWNLOAD_BYTES].into());
        tokio::time::timeout(LONG, put.send()).await??;
        let got = self.s3.get_object().bucket(BUCKET).key(&key).send().await?;
        Download::begin(got.body, DOWNLOAD_BYTES).await
    }
}

fn one_job() -> anyhow::Result<Spec> {
    let job = JobSpec {
        name: "job".parse()?,
        code: Code::Operator { operator: "noop".parse()?, config: json!({}), secrets: Vec::new() },
        files: BTreeMap::new(),
        inputs: Vec::new(),
        partitions: vec!["all".parse()?],
        resources: Resources { cpu_millis: 1000, memory_bytes: 64 << 20, disk_bytes: 64 << 20 },
        timeout_ms: u64::try_from(Duration::from_secs(3600).as_millis())?,
        retries: Retries { max: 1, backoff_ms: 0 },
        limits: JobLimits::default(),
        egress: Vec::new(),
        runtime: None,
    };
    Ok(Spec {
        name: "d".parse()?,
        params: BTreeMap::new(),
        concurrency: None,
        deliver: Vec::new(),
        jobs: vec![job],
        publish: BTreeMap::new(),
    })
}
