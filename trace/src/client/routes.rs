//! One function a route.

use serde::de::DeserializeOwned;
use trace_contracts::{
    AttemptId, EgressRuleId, KeyId, Name, RunId, TaskId, UserId,
    wire::{
        authority::{KeyInfo, ReasonRequest, RevokeKeyReply, RevokeWorkerReply, SuspendReply, UserInfo},
        egress::{EgressChange, EgressRuleInfo, EgressRuleRequest},
        header,
        limits::{LimitsInfo, OrgLimits},
        plane::AuditRecord,
        user::{
            DatasetInfo, DeployReply, DeployRequest, GrantRequest, LogReply, RunInfo, TaskInfo,
            TriggerRequest,
        },
        why::{RunWhy, TaskWhy},
    },
};
use uuid::Uuid;

use super::{Client, Error, answer, send};

/// Items that one answer may hold.
const PAGE_ITEMS: usize = 1000;
/// Items of a list that are asked for; no run has as many tasks.
const MAX_ITEMS: usize = 200_000;

/// Which lines of a log to ask for.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogPosition {
    /// Of this attempt; of the latest one when absent.
    pub attempt: Option<AttemptId>,
    /// After the line of this number; from the first one when absent.
    pub after: Option<u64>,
    /// Wait this long for a line, in milliseconds.
    pub wait_ms: u64,
}

/// Which runs to list.
#[derive(Debug, Clone, Default)]
pub struct RunFilter {
    /// Of this DAG only.
    pub dag: Option<Name>,
    /// At most this many, newest first.
    pub limit: u32,
}

impl Client {
    /// `POST /v1/dags`.
    ///
    /// # Errors
    /// When the platform refuses or does not answer, as with every call.
    pub async fn deploy(&self, request: &DeployRequest) -> Result<DeployReply, Error> {
        self.post(&["v1", "dags"], request).await
    }

    /// `POST /v1/dags/{name}/runs`. Sent again with the same key when nothing came back, so that a
    /// lost answer never starts a second run.
    ///
    /// # Errors
    /// When the platform refuses or does not answer.
    pub async fn trigger(&self, dag: &Name, request: &TriggerRequest) -> Result<RunInfo, Error> {
        let key = Uuid::new_v4();
        match self.trigger_once(dag, request, key).await {
            Err(Error::Unreachable { .. }) => self.trigger_once(dag, request, key).await,
            answered => answered,
        }
    }

    async fn trigger_once(&self, dag: &Name, body: &TriggerRequest, key: Uuid) -> Result<RunInfo, Error> {
        let url = self.address.join(&["v1", "dags", dag, "runs"]);
        let request = self.request(reqwest::Method::POST, &url).json(body);
        let request = request.header(header::IDEMPOTENCY_KEY, key.to_string());
        answer(&url, send(&url, request).await?).await
    }

    /// `GET /v1/runs`.
    ///
    /// # Errors
    /// When the platform refuses or does not answer.
    pub async fn runs(&self, filter: &RunFilter) -> Result<Vec<RunInfo>, Error> {
        let mut query = vec![("limit", filter.limit.to_string())];
        query.extend(filter.dag.as_ref().map(|dag| ("dag", dag.to_string())));
        self.get(&["v1", "runs"], &query).await
    }

    /// `GET /v1/runs/{run}`.
    ///
    /// # Errors
    /// When the platform refuses or does not answer.
    pub async fn run(&self, run: RunId) -> Result<RunInfo, Error> {
        self.get(&["v1", "runs", &run.to_string()], &[]).await
    }

    /// `POST /v1/runs/{run}/cancel`.
    ///
    /// # Errors
    /// When the platform refuses or does not answer.
    pub async fn cancel(&self, run: RunId) -> Result<RunInfo, Error> {
        self.post(&["v1", "runs", &run.to_string(), "cancel"], &serde_json::json!({})).await
    }

    /// `GET /v1/runs/{run}/tasks`.
    ///
    /// # Errors
    /// When the platform refuses or does not answer.
    pub async fn tasks(&self, run: RunId) -> Result<Vec<TaskInfo>, Error> {
        self.pages(&["v1", "runs", &run.to_string(), "tasks"], |task: &TaskInfo| task.task.to_string()).await
    }

    /// `GET /v1/tasks/{task}`.
    ///
    /// # Errors
    /// When the platform refuses or does not answer.
    pub async fn task(&self, task: TaskId) -> Result<TaskInfo, Error> {
        self.get(&["v1", "tasks", &task.to_string()], &[]).await
    }

    /// `GET /v1/tasks/{task}/why`.
    ///
    /// # Errors
    /// When the platform refuses or does not answer.
    pub async fn why_task(&self, task: TaskId) -> Result<TaskWhy, Error> {
        self.get(&["v1", "tasks", &task.to_string(), "why"], &[]).await
    }

    /// `GET /v1/runs/{run}/why`.
    ///
    /// # Errors
    /// When the platform refuses or does not answer.
    pub async fn why_run(&self, run: RunId) -> Result<RunWhy, Error> {
        self.get(&["v1", "runs", &run.to_string(), "why"], &[]).await
    }

    /// `GET /v1/limits`.
    ///
    /// # Errors
    /// When the platform refuses or does not answer.
    pub async fn limits(&self) -> Result<LimitsInfo, Error> {
        self.get(&["v1", "limits"], &[]).await
    }

    /// `PUT /v1/limits`.
    ///
    /// # Errors
    /// When the platform refuses or does not answer.
    pub async fn set_limits(&self, limits: &OrgLimits) -> Result<LimitsInfo, Error> {
        let url = self.address.join(&["v1", "limits"]);
        let request = self.request(reqwest::Method::PUT, &url).json(limits);
        answer(&url, send(&url, request).await?).await
    }

    /// `GET /v1/egress`.
    ///
    /// # Errors
    /// When the platform refuses or does not answer.
    pub async fn egress_rules(&self) -> Result<Vec<EgressRuleInfo>, Error> {
        self.get(&["v1", "egress"], &[]).await
    }

    /// `POST /v1/egress`.
    ///
    /// # Errors
    /// When the platform refuses or does not answer.
    pub async fn set_egress_rule(&self, rule: &EgressRuleRequest) -> Result<EgressChange, Error> {
        self.post(&["v1", "egress"], rule).await
    }

    /// `DELETE /v1/egress/{rule}`.
    ///
    /// # Errors
    /// When the platform refuses or does not answer.
    pub async fn remove_egress_rule(&self, rule: EgressRuleId) -> Result<EgressChange, Error> {
        let url = self.address.join(&["v1", "egress", &rule.to_string()]);
        answer(&url, send(&url, self.request(reqwest::Method::DELETE, &url)).await?).await
    }

    /// `POST /v1/tasks/{task}/retry`.
    ///
    /// # Errors
    /// When the platform refuses or does not answer.
    pub async fn retry(&self, task: TaskId) -> Result<TaskInfo, Error> {
        self.post(&["v1", "tasks", &task.to_string(), "retry"], &serde_json::json!({})).await
    }

    /// `GET /v1/dead-letters`.
    ///
    /// # Errors
    /// When the platform refuses or does not answer.
    pub async fn dead_letters(&self) -> Result<Vec<TaskInfo>, Error> {
        self.pages(&["v1", "dead-letters"], |task: &TaskInfo| task.task.to_string()).await
    }

    /// `GET /v1/tasks/{task}/logs`.
    ///
    /// # Errors
    /// When the platform refuses or does not answer.
    pub async fn logs(&self, task: TaskId, position: LogPosition) -> Result<LogReply, Error> {
        let mut query = vec![("wait_ms", position.wait_ms.to_string())];
        query.extend(position.attempt.map(|attempt| ("attempt", attempt.to_string())));
        query.extend(position.after.map(|after| ("after", after.to_string())));
        self.get(&["v1", "tasks", &task.to_string(), "logs"], &query).await
    }

    /// `GET /v1/datasets`.
    ///
    /// # Errors
    /// When the platform refuses or does not answer.
    pub async fn datasets(&self) -> Result<Vec<DatasetInfo>, Error> {
        self.pages(&["v1", "datasets"], |dataset: &DatasetInfo| dataset.name.to_string()).await
    }

    /// `POST /v1/datasets/{name}/grants`.
    ///
    /// # Errors
    /// When the platform refuses or does not answer.
    pub async fn grant(&self, dataset: &Name, request: &GrantRequest) -> Result<DatasetInfo, Error> {
        self.post(&["v1", "datasets", dataset, "grants"], request).await
    }

    /// `GET /v1/audit`: the first entries after number `after`, at most `limit`.
    ///
    /// # Errors
    /// When the platform refuses or does not answer.
    pub async fn audit(&self, after: i64, limit: u32) -> Result<Vec<AuditRecord>, Error> {
        self.get(&["v1", "audit"], &[("after", after.to_string()), ("limit", limit.to_string())]).await
    }

    /// `GET /v1/keys`.
    ///
    /// # Errors
    /// When the platform refuses or does not answer.
    pub async fn keys(&self) -> Result<Vec<KeyInfo>, Error> {
        self.get(&["v1", "keys"], &[]).await
    }

    /// `POST /v1/keys/rotate`.
    ///
    /// # Errors
    /// When the platform refuses or does not answer.
    pub async fn rotate_keys(&self, reason: &str) -> Result<KeyInfo, Error> {
        self.post(&["v1", "keys", "rotate"], &because(reason)).await
    }

    /// `POST /v1/keys/{kid}/revoke`.
    ///
    /// # Errors
    /// When the platform refuses or does not answer.
    pub async fn revoke_key(&self, kid: &KeyId, reason: &str) -> Result<RevokeKeyReply, Error> {
        self.post(&["v1", "keys", kid.as_str(), "revoke"], &because(reason)).await
    }

    /// `GET /v1/keys/{kid}/touched`: the first entries after number `after`, at most `limit`.
    ///
    /// # Errors
    /// When the platform refuses or does not answer.
    pub async fn touched(&self, kid: &KeyId, after: i64, limit: u32) -> Result<Vec<AuditRecord>, Error> {
        let query = [("after", after.to_string()), ("limit", limit.to_string())];
        self.get(&["v1", "keys", kid.as_str(), "touched"], &query).await
    }

    /// `GET /v1/users`.
    ///
    /// # Errors
    /// When the platform refuses or does not answer.
    pub async fn users(&self) -> Result<Vec<UserInfo>, Error> {
        self.pages(&["v1", "users"], |user: &UserInfo| user.user.to_string()).await
    }

    /// `POST /v1/users/{user}/suspend`.
    ///
    /// # Errors
    /// When the platform refuses or does not answer.
    pub async fn suspend(&self, user: UserId, reason: &str) -> Result<SuspendReply, Error> {
        self.post(&["v1", "users", &user.to_string(), "suspend"], &because(reason)).await
    }

    /// `POST /v1/users/{user}/restore`.
    ///
    /// # Errors
    /// When the platform refuses or does not answer.
    pub async fn restore(&self, user: UserId, reason: &str) -> Result<UserInfo, Error> {
        self.post(&["v1", "users", &user.to_string(), "restore"], &because(reason)).await
    }

    /// `POST /v1/workers/{name}/revoke`.
    ///
    /// # Errors
    /// When the platform refuses or does not answer.
    pub async fn revoke_worker(&self, name: &Name, reason: &str) -> Result<RevokeWorkerReply, Error> {
        self.post(&["v1", "workers", name, "revoke"], &because(reason)).await
    }

    /// A whole list, page by page. `name` is how the next page refers to the last item of this one.
    async fn pages<T: DeserializeOwned>(
        &self,
        path: &[&str],
        name: fn(&T) -> String,
    ) -> Result<Vec<T>, Error> {
        let mut items: Vec<T> = Vec::new();
        loop {
            let mut query = vec![("limit", PAGE_ITEMS.to_string())];
            query.extend(items.last().map(|last| ("after", name(last))));
            let page: Vec<T> = self.get(path, &query).await?;
            let is_last = page.len() < PAGE_ITEMS;
            items.extend(page);
            if is_last || items.len() >= MAX_ITEMS {
                return Ok(items);
            }
        }
    }
}

fn because(reason: &str) -> ReasonRequest {
    ReasonRequest { reason: reason.to_owned() }
}
