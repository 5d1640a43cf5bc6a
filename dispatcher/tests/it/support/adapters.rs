//! The parts around the dispatcher, in memory.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Mutex,
};

use async_trait::async_trait;
use sqlx::PgConnection;
use trace_contracts::{AttemptId, Manifest, ManifestObject, PartitionKey, S3Prefix, Secret, TaskId};
use trace_dispatcher::{
    credentials::{self, CredentialMinter, SessionKeys, SessionRequest},
    db,
    db::notify::{Channel, News},
    outputs::{self, OutputLister, Outputs},
    queue::WakeUps,
};

/// What lies under an attempt's prefix: one file, unless told otherwise.
#[derive(Default)]
pub struct MemoryOutputs {
    told: Mutex<HashMap<AttemptId, Told>>,
}

#[derive(Clone)]
pub enum Told {
    Nothing,
    Unacceptable(&'static str),
    StoreIsAway,
}

impl MemoryOutputs {
    pub fn tell(&self, attempt: AttemptId, told: Told) {
        self.told.lock().unwrap().insert(attempt, told);
    }

    pub fn forget(&self, attempt: AttemptId) {
        self.told.lock().unwrap().remove(&attempt);
    }
}

#[async_trait]
impl OutputLister for MemoryOutputs {
    async fn list(&self, prefix: &S3Prefix, partition: &PartitionKey) -> Result<Outputs, outputs::Error> {
        let attempt: AttemptId = prefix.key_prefix().split('/').nth(4).unwrap().parse().unwrap();
        let object = ManifestObject {
            partition: partition.clone(),
            key: prefix.object("part-0.parquet").unwrap(),
            size: 100,
            etag: format!("etag-{attempt}"),
            version_id: None,
        };
        let objects = match self.told.lock().unwrap().get(&attempt) {
            None => vec![object],
            Some(Told::Nothing) => Vec::new(),
            Some(Told::Unacceptable(why)) => return Err(outputs::Error::Refused((*why).to_owned())),
            Some(Told::StoreIsAway) => {
                let reason = "connection refused".to_owned();
                return Err(outputs::Error::Unavailable { prefix: prefix.to_string(), reason });
            }
        };
        Ok(Outputs::new(&Manifest::new(prefix.bucket().to_owned(), objects)))
    }
}

/// Sessions by attempt, and which attempts were revoked.
#[derive(Default)]
pub struct MemorySessions {
    pub minted: Mutex<BTreeMap<AttemptId, Vec<String>>>,
    pub revoked: Mutex<Vec<AttemptId>>,
}

#[async_trait]
impl CredentialMinter for MemorySessions {
    async fn mint(&self, request: SessionRequest) -> Result<SessionKeys, credentials::Error> {
        let mut minted = self.minted.lock().unwrap();
        let sessions = minted.entry(request.attempt).or_default();
        sessions.push(request.policy.document);
        Ok(SessionKeys {
            access_key_id: format!("{}-{}", request.attempt, sessions.len()),
            secret_access_key: Secret::new("secret".to_owned()),
            session_token: Secret::new("session".to_owned()),
            expires_at: chrono::Utc::now() + request.duration,
        })
    }

    async fn revoke(&self, attempt: AttemptId) -> Result<(), credentials::Error> {
        self.revoked.lock().unwrap().push(attempt);
        Ok(())
    }
}

/// A queue that loses every wake-up.
pub struct Lossy;

#[async_trait]
impl WakeUps for Lossy {
    async fn announce(&self, _tx: &mut PgConnection, _tasks: &[TaskId]) -> Result<Vec<News>, db::Error> {
        Ok(Vec::new())
    }
}

/// A queue that says everything twice.
pub struct Doubled;

#[async_trait]
impl WakeUps for Doubled {
    async fn announce(&self, tx: &mut PgConnection, tasks: &[TaskId]) -> Result<Vec<News>, db::Error> {
        use trace_dispatcher::queue::postgres::PgWakeUps;
        let mut news = PgWakeUps.announce(&mut *tx, tasks).await?;
        // PostgreSQL sends news with the same words once a transaction.
        news.push(News { channel: Channel::Ready, payload: "again".to_owned() });
        Ok(news)
    }
}
