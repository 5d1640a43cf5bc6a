//! The embedded object store: the AWS CLI for what must work, raw signed requests for what must not.

mod attacks;
mod aws_cli;
mod bodies;
mod ending;
mod limits;
mod sessions;
mod signer;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use serde_json::json;
use tempfile::TempDir;
use trace::embedded::object_store::{
    Config, Denial, DenialSink, EmbeddedObjectStore, Limits, MintRequest, SessionKeys,
};
use trace_contracts::{AttemptId, OrgId, TaskId};

use signer::Signer;

pub const BUCKET: &str = "trace";
pub const REGION: &str = "eu-test-1";

/// Keeps what was denied.
#[derive(Default)]
pub struct Denials(Mutex<Vec<Denial>>);

#[async_trait]
impl DenialSink for Denials {
    async fn denied(&self, denial: Denial) {
        self.0.lock().unwrap().push(denial);
    }
}

impl Denials {
    /// What was denied since the last call, as `operation key`.
    pub fn take(&self) -> Vec<String> {
        let denials = std::mem::take(&mut *self.0.lock().unwrap());
        denials.into_iter().map(|denial| format!("{} {}", denial.operation, denial.key)).collect()
    }
}

/// A running store in a folder of its own.
pub struct TestStore {
    pub store: EmbeddedObjectStore,
    pub denials: Arc<Denials>,
    pub folder: TempDir,
}

impl TestStore {
    pub async fn start() -> Self {
        Self::with_limits(Limits::default()).await
    }

    pub async fn with_limits(limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let denials = Arc::new(Denials::default());
        let config = Config {
            root: folder.path().join("objects"),
            listen: "127.0.0.1:0".parse().unwrap(),
            bucket: BUCKET.to_owned(),
            region: REGION.to_owned(),
            limits,
            denials: denials.clone(),
        };
        let store = EmbeddedObjectStore::start(config).await.unwrap();
        Self { store, denials, folder }
    }

    /// Keys of attempt `a1`, which reads `data/in/`, writes `data/t1/`, and lists and reads what it wrote.
    pub fn session(&self) -> SessionKeys {
        self.session_of(1, Duration::from_secs(900))
    }

    pub fn session_of(&self, attempt: i64, duration: Duration) -> SessionKeys {
        let arn = |prefix: &str| format!("arn:aws:s3:::{BUCKET}/{prefix}*");
        let policy = json!({
            "Version": "2012-10-17",
            "Statement": [
                { "Effect": "Allow", "Action": "s3:GetObject", "Resource": [arn("data/in/"), arn("data/t1/")] },
                { "Effect": "Allow", "Resource": arn("data/t1/"), "Action": [
                    "s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts" ] },
                { "Effect": "Allow", "Action": "s3:ListBucket", "Resource": format!("arn:aws:s3:::{BUCKET}"),
                  "Condition": { "StringLike": { "s3:prefix": "data/t1/*" } } },
            ]
        });
        let request = MintRequest {
            org: OrgId::from_db(1),
            task: TaskId::from_db((1 << 20) + 1),
            attempt: AttemptId::from_db(attempt),
            kid: "k1".parse().unwrap(),
            policy_json: policy.to_string(),
            duration,
        };
        self.store.mint(request).unwrap()
    }

    pub fn root(&self) -> Signer {
        Signer::root(&self.store)
    }

    pub fn signer(&self, keys: &SessionKeys) -> Signer {
        Signer::session(&self.store, keys)
    }

    /// Puts an object as the platform.
    pub async fn put(&self, key: &str, bytes: &[u8]) {
        let reply = self.root().send("PUT", &format!("/{BUCKET}/{key}"), &[], bytes).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
    }

    /// The object, as the platform reads it.
    pub async fn get(&self, key: &str) -> Option<Vec<u8>> {
        let reply = self.root().send("GET", &format!("/{BUCKET}/{key}"), &[], b"").await;
        (reply.status == 200).then_some(reply.body)
    }
}
