//! Which attempts are over, which keys revoked and which users suspended, and telling those who wait for it.
//!
//! The lease is the truth and the news only hasten it: a question is answered from the database,
//! and whoever waits is woken by news of any dispatcher. An attempt that is being completed loses
//! its authority a moment before its lease ends, while its outputs are listed; that moment is known
//! from news alone.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use sqlx::PgPool;
use tokio::{
    sync::broadcast::{self, error::RecvError},
    time::Instant,
};
use trace_contracts::{AttemptId, wire::plane::LivenessReply};

use crate::db;

/// News kept for a slow listener; one that falls behind looks into the database.
const NEWS: usize = 1024;
/// Attempts that were cut and whose end never came are forgotten after this time, which is longer
/// than any token of theirs holds.
const CUT_FOR: Duration = Duration::from_secs(3600);

/// The attempts that are over; cheap to clone.
#[derive(Debug, Clone)]
pub struct Liveness(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    cut: Mutex<HashMap<AttemptId, Instant>>,
    news: broadcast::Sender<News>,
}

/// What somebody wants to know of.
#[derive(Debug, Default)]
pub struct Asked {
    /// Attempts.
    pub attempts: HashSet<AttemptId>,
    /// Ids of keys.
    pub keys: Vec<String>,
    /// Numbers of users.
    pub users: Vec<i64>,
}

/// What listeners are told.
#[derive(Debug, Clone)]
pub enum News {
    /// These are over.
    Over(Arc<[AttemptId]>),
    /// Something may have been missed.
    LookAgain,
}

impl Default for Liveness {
    fn default() -> Self {
        Self(Arc::new(Inner { cut: Mutex::default(), news: broadcast::Sender::new(NEWS) }))
    }
}

impl Liveness {
    /// The leases of these have ended.
    pub fn ended(&self, attempts: &[AttemptId]) {
        {
            let mut cut = self.cut_attempts();
            for attempt in attempts {
                cut.remove(attempt);
            }
        }
        self.tell(News::Over(attempts.into()));
    }

    /// The authority of these is over, and their leases are about to end.
    pub fn cut(&self, attempts: &[AttemptId]) {
        let now = Instant::now();
        {
            let mut cut = self.cut_attempts();
            cut.retain(|_, since| now.duration_since(*since) < CUT_FOR);
            cut.extend(attempts.iter().map(|attempt| (*attempt, now)));
        }
        self.tell(News::Over(attempts.into()));
    }

    /// News may have been missed.
    pub fn look_again(&self) {
        self.tell(News::LookAgain);
    }

    /// All news from now on.
    #[must_use]
    pub fn news(&self) -> broadcast::Receiver<News> {
        self.0.news.subscribe()
    }

    /// Whether the attempt's authority was cut while its lease still stands.
    #[must_use]
    pub fn is_cut(&self, attempt: AttemptId) -> bool {
        self.cut_attempts().contains_key(&attempt)
    }

    /// What of `asked` has lost its authority. When nothing has, waits until something does, `wait` at most.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn over(&self, db: &PgPool, asked: &Asked, wait: Duration) -> Result<LivenessReply, db::Error> {
        let deadline = Instant::now() + wait;
        let mut news = self.news();
        loop {
            let over = self.look(db, asked).await?;
            if !is_empty(&over) || Instant::now() >= deadline {
                return Ok(over);
            }
            match tokio::time::timeout_at(deadline, told(&mut news, &asked.attempts)).await {
                Ok(Told::Over(dead)) => return Ok(LivenessReply { dead, ..over }),
                // Missed news, news of keys and users, and the end of the wait are answered by the database.
                Ok(Told::LookAgain) | Err(_) => {}
            }
        }
    }

    async fn look(&self, db: &PgPool, asked: &Asked) -> Result<LivenessReply, db::Error> {
        let ids: Vec<i64> = asked.attempts.iter().map(|attempt| attempt.get()).collect();
        let mut conn = db.acquire().await?;
        let mut dead: HashSet<AttemptId> = db::leases::dead(&mut conn, &ids).await?.into_iter().collect();
        let mut over = LivenessReply::default();
        if !asked.keys.is_empty() {
            over.revoked_keys = db::keys::revoked(&mut conn, &asked.keys).await?;
        }
        if !asked.users.is_empty() {
            over.suspended_users = db::users::suspended(&mut conn, &asked.users).await?;
        }
        let cut = self.cut_attempts();
        dead.extend(asked.attempts.iter().filter(|attempt| cut.contains_key(attempt)));
        Ok(LivenessReply { dead: dead.into_iter().collect(), ..over })
    }

    fn tell(&self, news: News) {
        // Nobody listening is no error.
        let _listeners = self.0.news.send(news);
    }

    fn cut_attempts(&self) -> MutexGuard<'_, HashMap<AttemptId, Instant>> {
        self.0.cut.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_empty(over: &LivenessReply) -> bool {
    over.dead.is_empty() && over.revoked_keys.is_empty() && over.suspended_users.is_empty()
}

enum Told {
    Over(Vec<AttemptId>),
    LookAgain,
}

async fn told(news: &mut broadcast::Receiver<News>, attempts: &HashSet<AttemptId>) -> Told {
    loop {
        match news.recv().await {
            Ok(News::Over(over)) => {
                let dead: Vec<AttemptId> =
                    over.iter().filter(|one| attempts.contains(one)).copied().collect();
                if !dead.is_empty() {
                    return Told::Over(dead);
                }
            }
            Ok(News::LookAgain) | Err(RecvError::Lagged(_)) => return Told::LookAgain,
            // The sender lives as long as `self` does.
            Err(RecvError::Closed) => return Told::LookAgain,
        }
    }
}
