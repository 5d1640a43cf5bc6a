//! Specs and runs, put in place without the user API.

use std::collections::BTreeMap;

use sqlx::types::Json;
use trace_contracts::{
    DagId, DagVersionId, RunId,
    wire::worker::{Code, Resources},
};
use trace_dispatcher::{
    dag::spec::{InputSpec, JobLimits, JobSpec, Period, Rate, Retries, Source, Spec},
    db::{self, limits::JobRow},
    task::{
        self,
        start_run::{NewRun, Started, start_run},
    },
};

use super::Platform;

/// A job without inputs and partitions.
pub fn job(name: &str) -> JobSpec {
    JobSpec {
        name: name.parse().unwrap(),
        code: Code::Operator {
            operator: "noop".parse().unwrap(),
            config: serde_json::json!({}),
            secrets: Vec::new(),
        },
        files: BTreeMap::new(),
        inputs: Vec::new(),
        partitions: vec!["all".parse().unwrap()],
        resources: Resources { cpu_millis: 1000, memory_bytes: 1 << 20, disk_bytes: 1 << 20 },
        timeout_ms: 60_000,
        retries: Retries { max: 1, backoff_ms: 0 },
        limits: JobLimits::default(),
        egress: Vec::new(),
        runtime: None,
    }
}

/// The same with `count` partitions.
pub fn partitioned(mut job: JobSpec, count: usize) -> JobSpec {
    job.partitions = (0..count).map(|n| format!("p{n}").parse().unwrap()).collect();
    job
}

/// The same with one input more.
pub fn reading(mut job: JobSpec, name: &str, source: Source) -> JobSpec {
    job.inputs.push(InputSpec { name: name.parse().unwrap(), source, columns: None, row_filter: None });
    job
}

/// The same with at most so many tasks at once.
pub const fn at_once(mut job: JobSpec, concurrency: u32) -> JobSpec {
    job.limits.concurrency = Some(concurrency);
    job
}

/// The same with this priority.
pub const fn prior(mut job: JobSpec, priority: i16) -> JobSpec {
    job.limits.priority = priority;
    job
}

/// The same with a rate.
pub const fn rated(mut job: JobSpec, tasks: u32, per: Period) -> JobSpec {
    job.limits.rate = Some(Rate { tasks, per });
    job
}

/// The same with these retries.
pub fn retrying(mut job: JobSpec, max: u32, backoff_ms: u64) -> JobSpec {
    job.retries = Retries { max, backoff_ms };
    job
}

pub fn spec(name: &str, jobs: Vec<JobSpec>) -> Spec {
    Spec {
        name: name.parse().unwrap(),
        params: BTreeMap::new(),
        jobs,
        publish: BTreeMap::new(),
        concurrency: None,
        deliver: Vec::new(),
    }
}

/// A deployed DAG.
pub struct Deployed {
    pub dag: DagId,
    pub version: DagVersionId,
    pub spec: Spec,
}

impl Platform {
    pub async fn deploy(&self, spec: Spec) -> Deployed {
        let dag: i64 = sqlx::query_scalar("insert into dags (org_id, name) values ($1, $2) returning dag_id")
            .bind(self.org.get())
            .bind(spec.name.to_string())
            .fetch_one(&self.db)
            .await
            .unwrap();
        let version: i64 = sqlx::query_scalar(
            "insert into dag_versions (dag_id, sha256, yaml, spec, deployed_by)
            values ($1, sha256('x'), '', $2, $3) returning dag_version_id",
        )
        .bind(dag)
        .bind(Json(&spec))
        .bind(self.user.get())
        .fetch_one(&self.db)
        .await
        .unwrap();
        for (name, job) in &spec.publish {
            sqlx::query("insert into datasets (org_id, dag_id, job, name) values ($1, $2, $3, $4)")
                .bind(self.org.get())
                .bind(dag)
                .bind(spec.jobs[*job].name.to_string())
                .bind(name.to_string())
                .execute(&self.db)
                .await
                .unwrap();
        }
        if spec.is_limited() {
            self.declare(DagId::from_db(dag), &spec).await;
        }
        Deployed { dag: DagId::from_db(dag), version: DagVersionId::from_db(version), spec }
    }

    /// Writes the limits of a version down, as a deploy does.
    pub async fn declare(&self, dag: DagId, spec: &Spec) {
        let mut tx = self.db.begin().await.unwrap();
        let names: Vec<String> = spec.jobs.iter().map(|job| job.name.to_string()).collect();
        db::versions::ensure_datasets(&mut tx, self.org, dag, &names).await.unwrap();
        let jobs: Vec<JobRow<'_>> = spec
            .jobs
            .iter()
            .map(|job| JobRow { job: &job.name, concurrency: job.limits.concurrency, rate: job.limits.rate })
            .collect();
        db::limits::lock(&mut tx, self.org).await.unwrap();
        db::limits::declare(&mut tx, dag, spec.concurrency, &jobs).await.unwrap();
        tx.commit().await.unwrap();
    }

    pub async fn try_start(
        &self,
        deployed: &Deployed,
        idempotency_key: Option<&str>,
    ) -> Result<Started, task::Error> {
        let new = NewRun {
            org: self.org,
            dag: deployed.dag,
            version: deployed.version,
            spec: &deployed.spec,
            params: BTreeMap::from([("greeting".to_owned(), serde_json::json!("hello"))]),
            triggered_by: self.user,
            idempotency_key,
        };
        let mut tx = self.db.begin().await.unwrap();
        let started = start_run(&mut tx, &self.app.core, new).await?;
        tx.commit().await.unwrap();
        Ok(started)
    }

    pub async fn start_run(&self, deployed: &Deployed) -> RunId {
        self.try_start(deployed, None).await.unwrap().run()
    }

    /// Deploys and starts in one.
    pub async fn run(&self, spec: Spec) -> RunId {
        let deployed = self.deploy(spec).await;
        self.start_run(&deployed).await
    }
}
