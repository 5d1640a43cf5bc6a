//! The group commits of the worker API.

use std::{future::Future, sync::Arc};

use sqlx::Acquire as _;
use trace_contracts::wire::worker::{CompleteVerdict, HeartbeatVerdict};
use trace_plane::{Refusal, Reply};

use crate::{
    batcher::{Batcher, Unanswered},
    db::{
        self,
        leases::{LeaseRow, ShownFence},
    },
    lease::Wakes,
    liveness::Liveness,
    mint::{Minter, Signer},
    queue::Signals,
    task::{
        self, Core,
        claim::Claim,
        complete::{Completed, Ended, complete},
        cut::cut,
    },
};

/// Requests that share a transaction at most.
const MAX_REQUESTS: usize = 64;

/// One request's items, answered one by one, or with the error that all of them share.
type Group<I, O> = Batcher<Vec<I>, Result<Vec<O>, Arc<task::Error>>>;

/// What a claim was given, and who signs its tokens.
#[derive(Debug)]
pub struct Taken {
    /// The leases; at least one.
    pub leases: Vec<LeaseRow>,
    /// Asked for after the leases were there; see [`Minter::signer`].
    pub signer: Signer,
}

/// A group commit for each kind of request; cheap to clone.
#[derive(Clone)]
pub struct Batches {
    claims: Group<Claim, Option<Taken>>,
    heartbeats: Group<ShownFence, HeartbeatVerdict>,
    cuts: Group<ShownFence, Option<LeaseRow>>,
    completions: Group<Ended, CompleteVerdict>,
}

impl Batches {
    /// Starts them.
    #[must_use]
    pub fn start(core: &Core, minter: &Minter, liveness: &Liveness, signals: &Signals) -> Self {
        Self {
            claims: {
                let minter = minter.clone();
                group(core, move |core, claims| {
                    let minter = minter.clone();
                    async move { take(&core, &minter, &claims).await }
                })
            },
            heartbeats: group(core, |core, shown| async move {
                let mut tx = core.db.begin().await?;
                let verdicts = task::heartbeat::heartbeat(&mut tx, &core.limits, &shown).await?;
                tx.commit().await?;
                Ok(verdicts)
            }),
            cuts: {
                let liveness = liveness.clone();
                group(core, move |core, shown| {
                    let liveness = liveness.clone();
                    async move {
                        let current = cut(&mut *core.db.acquire().await?, &shown).await?;
                        // Known here before anything else happens; others hear of it by the news.
                        let attempts: Vec<_> = current.iter().flatten().map(|lease| lease.attempt).collect();
                        liveness.cut(&attempts);
                        Ok(current)
                    }
                })
            },
            completions: {
                let signals = signals.clone();
                group(core, move |core, ended| {
                    let signals = signals.clone();
                    async move {
                        let mut tx = core.db.begin().await?;
                        let Completed { verdicts, committed, wakes } =
                            complete(&mut tx, &core, &ended).await?;
                        tx.commit().await?;
                        core.facts.recent.add(committed);
                        // Who waits here need not wait for the news to come around.
                        if wakes == Wakes::Workers {
                            signals.tell_ready();
                        }
                        Ok(verdicts)
                    }
                })
            },
        }
    }

    /// Takes a claim; nothing is ready where it answers none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn claim(&self, claim: Claim) -> Reply<Option<Taken>> {
        let mut taken = self.claims.submit(vec![claim]).await?.map_err(shared)?;
        taken.pop().ok_or_else(|| Refusal::from(Unanswered))
    }

    /// Extends leases.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn heartbeat(&self, shown: Vec<ShownFence>) -> Reply<Vec<HeartbeatVerdict>> {
        self.heartbeats.submit(shown).await?.map_err(shared)
    }

    /// Cuts the authority of attempts that are about to end; answers the leases that are current.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn cut(&self, shown: Vec<ShownFence>) -> Reply<Vec<Option<LeaseRow>>> {
        self.cuts.submit(shown).await?.map_err(shared)
    }

    /// Records attempts that ended.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn complete(&self, ended: Vec<Ended>) -> Reply<Vec<CompleteVerdict>> {
        self.completions.submit(ended).await?.map_err(shared)
    }
}

/// Claims together, and the key that signs asked for once for all of them.
async fn take(core: &Core, minter: &Minter, claims: &[Claim]) -> Result<Vec<Option<Taken>>, task::Error> {
    let mut ids = core.attempt_ids.reserve(&core.db, task::claim::most(claims)).await?;
    let mut conn = core.db.acquire().await?;
    let at_once = task::claim::claim_at_once(&mut conn, &core.limits, &mut ids, claims).await?;
    let leases = match at_once {
        Some(leases) => leases,
        None => {
            let mut tx = conn.begin().await?;
            let leases = task::claim::claim(&mut tx, &core.limits, &mut ids, claims).await?;
            tx.commit().await?;
            leases
        }
    };
    drop(ids);
    if leases.iter().all(Vec::is_empty) {
        return Ok(leases.into_iter().map(|_| None).collect());
    }
    let signer = minter.signer(&mut conn).await?;
    let taken =
        |leases: Vec<LeaseRow>| (!leases.is_empty()).then(|| Taken { leases, signer: signer.clone() });
    Ok(leases.into_iter().map(taken).collect())
}

fn shared(error: Arc<task::Error>) -> Refusal {
    Refusal::from(&*error)
}

/// A group commit of `run`. When a shared transaction fails, each request gets one of its own, so
/// that a request that makes it fail fails alone.
fn group<I, O, F, Fut>(core: &Core, run: F) -> Group<I, O>
where
    I: Clone + Send + Sync + 'static,
    O: Send + 'static,
    F: Fn(Core, Vec<I>) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Vec<O>, task::Error>> + Send,
{
    let core = core.clone();
    Batcher::start(MAX_REQUESTS, move |requests: Vec<Vec<I>>| {
        let (core, run) = (core.clone(), run.clone());
        async move {
            let sizes: Vec<usize> = requests.iter().map(Vec::len).collect();
            match run(core.clone(), requests.concat()).await {
                Ok(answers) => return split(answers, &sizes),
                Err(error) if requests.len() == 1 => return vec![Err(Arc::new(error))],
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        requests = requests.len(),
                        "a shared transaction failed; trying its requests one by one"
                    );
                }
            }
            let mut answers = Vec::with_capacity(requests.len());
            for request in requests {
                answers.push(run(core.clone(), request).await.map_err(Arc::new));
            }
            answers
        }
    })
}

/// Deals answers out to the requests that they belong to.
fn split<O>(answers: Vec<O>, sizes: &[usize]) -> Vec<Result<Vec<O>, Arc<task::Error>>> {
    let mut answers = answers.into_iter();
    sizes
        .iter()
        .map(|size| {
            let own: Vec<O> = answers.by_ref().take(*size).collect();
            let complete = own.len() == *size;
            complete.then_some(own).ok_or_else(|| {
                Arc::new(task::Error::Db(db::Error::corrupt("a batch", "an item was not answered")))
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::future::join_all;

    use super::*;
    use crate::{attempt_ids::AttemptIds, config::Limits, facts::FactCache, queue::postgres::PgWakeUps};

    /// A core whose database is never asked.
    fn core() -> Core {
        Core {
            db: sqlx::PgPool::connect_lazy("postgres://localhost/none").unwrap(),
            wake: Arc::new(PgWakeUps),
            facts: Arc::new(FactCache::default()),
            limits: Limits::default(),
            attempt_ids: AttemptIds::default(),
        }
    }

    #[tokio::test]
    async fn a_request_that_makes_its_transaction_fail_fails_alone() {
        let group: Group<u32, u32> = group(&core(), |_, items: Vec<u32>| async move {
            if items.contains(&13) {
                return Err(task::Error::NotFound("number"));
            }
            Ok(items.into_iter().map(|item| item * 2).collect())
        });
        let requests = [vec![1, 2], vec![13, 3], vec![4], vec![]];
        let answers = join_all(requests.into_iter().map(|request| group.submit(request))).await;
        let doubled: Vec<Option<Vec<u32>>> = answers.into_iter().map(|answer| answer.unwrap().ok()).collect();
        assert_eq!(doubled, [Some(vec![2, 4]), None, Some(vec![8]), Some(vec![])]);
    }

    #[tokio::test]
    async fn an_unanswered_item_is_an_error() {
        let group: Group<u32, u32> = group(&core(), |_, _: Vec<u32>| async { Ok(vec![1]) });
        assert!(group.submit(vec![1, 2]).await.unwrap().is_err());
    }
}
