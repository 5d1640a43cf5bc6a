//! `/v1/task`, for the code of a task: a capability and nothing else.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{AttemptId, Audience, Name, ObjectKey, PartitionKey, RunId, S3Prefix, Secret, TaskId};

/// `POST /v1/task/token`: the same grants for another audience, or for the same one with a later end.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// The one audience of the new token.
    pub audience: Audience,
}

/// A token for one audience.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TokenReply {
    /// The token.
    pub token: Secret<String>,
    /// When it expires; ask again before.
    pub expires_at: DateTime<Utc>,
}

/// The answer to `POST /v1/task/credentials` (no body): keys for the object store that reach what
/// the capability does. Several sessions when the grants do not fit one policy.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CredentialsReply {
    /// The region to sign for.
    pub region: String,
    /// The keys. The first one writes.
    pub sessions: Vec<SessionCredentials>,
    /// How many folders of inputs no session reaches, because they did not fit. Their objects are
    /// read by the addresses of `POST /v1/task/objects`.
    #[serde(default)]
    pub folders_by_address: u32,
}

/// Keys of one session.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SessionCredentials {
    /// Access key id.
    pub access_key_id: String,
    /// Secret access key.
    pub secret_access_key: Secret<String>,
    /// Session token; requests without it are refused.
    pub session_token: Secret<String>,
    /// When they expire; ask again before.
    pub expires_at: DateTime<Utc>,
    /// What may be read (`GetObject`) with them.
    pub read: Vec<S3Prefix>,
    /// What may be written (`PutObject`) with them.
    pub write: Vec<S3Prefix>,
}

/// `POST /v1/task/objects`: addresses of the inputs' objects that no session reaches, in the order
/// of their keys.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectsRequest {
    /// Only keys from this one on, itself included. A key's beginning will do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// So many at most; the dispatcher's own page when absent or larger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// A page of addresses.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ObjectsReply {
    /// The page.
    pub objects: Vec<ObjectAddress>,
    /// `from` of the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// When the addresses of this page expire, which is no later than the capability does.
    pub expires_at: DateTime<Utc>,
}

/// A presigned read of one object, as it was committed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ObjectAddress {
    /// The bucket.
    pub bucket: String,
    /// The key.
    pub key: ObjectKey,
    /// In bytes.
    pub size: u64,
    /// Sent as `If-Match`, in double quotes: the signature covers it.
    pub etag: String,
    /// The address, for `GET`. Whoever has it can read the object.
    pub url: Secret<String>,
}

/// The answer to `GET /v1/task/context`: what the task is, without secrets.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ContextReply {
    /// The task.
    pub task: TaskId,
    /// The attempt.
    pub attempt: AttemptId,
    /// The run.
    pub run: RunId,
    /// The DAG's name.
    pub dag: Name,
    /// The job's name.
    pub job: Name,
    /// The partition.
    pub partition: PartitionKey,
    /// The run's parameters.
    pub params: BTreeMap<String, serde_json::Value>,
    /// The names of its inputs.
    pub inputs: Vec<Name>,
    /// Where it writes.
    pub output: S3Prefix,
    /// Where it keeps what dies with it.
    pub scratch: S3Prefix,
    /// Tries before this one that count, from 0.
    pub failures: u32,
}

/// `POST /v1/task/query`, and `POST /v1/query` for users.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueryRequest {
    /// One `SELECT`.
    pub sql: String,
    /// How to answer.
    #[serde(default)]
    pub format: QueryFormat,
}

/// Forms of a query's result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueryFormat {
    /// `application/json`: `{"columns":[{"name","type"}],"rows":[[…]]}`.
    #[default]
    Json,
    /// `text/csv` with a header line.
    Csv,
    /// `application/vnd.apache.arrow.stream`.
    Arrow,
}

/// The JSON form of a result.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct QueryResult {
    /// The columns, in order.
    pub columns: Vec<Column>,
    /// The rows; each has a value for each column. Whole numbers outside ±2^53, decimals, dates and
    /// times are texts, so that no reader loses a digit; missing values are `null`.
    pub rows: Vec<Vec<serde_json::Value>>,
}

/// One column of a result.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its Arrow type, such as `Int64` or `Utf8`.
    #[serde(rename = "type")]
    pub data_type: String,
}
