//! The way of one query through the service: permits, catalog, engine, audit.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use trace_contracts::{
    ErrorCode, InputGrant, KeyId, Name, OrgId,
    grant::Budgets,
    wire::{
        limit,
        plane::Actor,
        task::{QueryFormat, QueryRequest},
    },
};
use trace_controls::{Protection, limited};
use trace_plane::{Hold, PlaneClient, Refusal, Reply};

use crate::{
    audit,
    catalog::Resolver,
    config::Limits,
    encode::Bounds,
    engine::{
        process::Error as EngineError,
        protocol::{Answer, Query},
    },
    org_limit::OrgLimits,
    pool::{self, Pool},
};

/// Who asks, and what they may read. Made from a verified capability or a resolved user only.
pub(crate) struct Asker {
    pub(crate) org: OrgId,
    pub(crate) actor: Actor,
    pub(crate) grants: BTreeMap<Name, InputGrant>,
    pub(crate) budgets: Budgets,
    /// The key that signed the capability, for a task.
    pub(crate) kid: Option<KeyId>,
    /// What ends with the asker's authority; absent where it was over before anything ran.
    pub(crate) hold: Option<Hold>,
}

/// A query that was answered.
pub(crate) struct Done {
    pub(crate) format: QueryFormat,
    pub(crate) rows: u64,
    pub(crate) tables: Vec<Name>,
    pub(crate) bytes: Bytes,
}

/// Asks engines; shared by both routes.
pub(crate) struct Asking {
    pub(crate) planes: PlaneClient,
    pub(crate) resolver: Resolver,
    pub(crate) pool: Pool,
    pub(crate) orgs: OrgLimits,
    pub(crate) limits: Limits,
    pub(crate) tasks: TaskTracker,
    pub(crate) stopping: CancellationToken,
}

impl Done {
    /// What an engine answered, in the format that was asked for.
    pub(crate) fn new(answer: Answer, format: QueryFormat, bytes: Bytes) -> Reply<Self> {
        match answer {
            Answer::Done { rows, tables } => Ok(Self { format, rows, tables, bytes }),
            Answer::Failed { code, detail } => Err(Refusal::new(code, detail)),
            Answer::Panicked => Err(pool::Error::Engine(EngineError::Panicked).into()),
        }
    }
}

impl Asking {
    /// Answers a query. The work goes on in a task of its own, so that a caller who hangs up is
    /// audited too; hanging up kills the engine.
    pub(crate) async fn ask(self: &Arc<Self>, asker: Asker, request: QueryRequest) -> Reply<Done> {
        let hung_up = CancellationToken::new();
        let _hang_up_on_drop = hung_up.clone().drop_guard();
        let asking = Arc::clone(self);
        let task = self.tasks.spawn(async move { asking.audited(asker, request, hung_up).await });
        task.await.map_err(|error| Refusal::internal(&error))?
    }

    async fn audited(&self, asker: Asker, request: QueryRequest, hung_up: CancellationToken) -> Reply<Done> {
        let start = Instant::now();
        let outcome = self.bounded(&asker, &request, &hung_up).await;
        let entry = audit::entry(&asker, &request.sql, outcome.as_ref(), start.elapsed());
        // What can't be audited is not answered.
        self.planes.audit(vec![entry]).await?;
        outcome
    }

    /// The query, ended by whatever comes first: its answer, its deadline, the end of the asker's authority,
    /// the caller hanging up, the service stopping. Dropping it kills the engine.
    async fn bounded(
        &self,
        asker: &Asker,
        request: &QueryRequest,
        hung_up: &CancellationToken,
    ) -> Reply<Done> {
        let ended = async {
            match &asker.hold {
                Some(hold) => {
                    hold.ended().cancelled_owned().await;
                    hold.refusal()
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            refusal = ended => Err(refusal),
            () = hung_up.cancelled() => Err(Refusal::new(ErrorCode::BadRequest, "the caller hung up")),
            () = self.stopping.cancelled() => Err(pool::Error::Stopping.into()),
            answer = tokio::time::timeout(self.limits.deadline(), self.answer(asker, request)) => {
                answer.unwrap_or_else(|_| Err(too_slow(self.limits.deadline())))
            }
        }
    }

    async fn answer(&self, asker: &Asker, request: &QueryRequest) -> Reply<Done> {
        if request.sql.len() > limit::SQL_BYTES {
            let detail = format!("a statement has at most {} bytes", limit::SQL_BYTES);
            return Err(Refusal::new(ErrorCode::SqlRefused, detail));
        }
        let _place = self.orgs.take(asker.org).ok_or_else(|| {
            let detail =
                format!("an org runs at most {} queries at once; wait for one to end", self.limits.per_org);
            Refusal::new(ErrorCode::TooManyRequests, detail)
        })?;
        let catalog = self.resolver.resolve(&asker.grants).await?;
        let query = Query { catalog, format: request.format, bounds: self.bounds(&asker.budgets) };
        let (answer, bytes) = self.pool.ask(asker.org, &query, &request.sql).await?;
        Done::new(answer, request.format, bytes)
    }

    /// The service's own bounds, or the token's where they are lower.
    fn bounds(&self, budgets: &Budgets) -> Bounds {
        let most = |limit, budget: Option<u64>| {
            limited(Protection::ResultBounds, budget.map_or(limit, |budget| budget.min(limit)))
        };
        Bounds {
            rows: most(self.limits.result_rows, budgets.result_rows),
            bytes: most(self.limits.result_bytes, budgets.result_bytes),
        }
    }
}

/// What to answer once the deadline has passed.
pub(crate) fn too_slow(deadline: Duration) -> Refusal {
    let detail =
        format!("the query took longer than {deadline:?}; read fewer rows or columns, or aggregate in steps");
    Refusal::new(ErrorCode::TimedOut, detail)
}

/// The one mapping of what the pool says.
impl From<pool::Error> for Refusal {
    fn from(error: pool::Error) -> Self {
        use pool::Error as E;
        let code = match &error {
            E::Busy => ErrorCode::TooManyRequests,
            E::Stopping => ErrorCode::Unavailable,
            E::Engine(EngineError::Memory | EngineError::Stack) => ErrorCode::LimitExceeded,
            E::Engine(EngineError::Panicked) => ErrorCode::SqlFailed,
            E::Engine(EngineError::Died(_)) => ErrorCode::Internal,
            E::Engine(EngineError::Start(_) | EngineError::Slow(_) | EngineError::NotTaken) => {
                tracing::error!(error = &error as &dyn std::error::Error, "no engine");
                return Self::new(ErrorCode::Unavailable, "no query engine could be started; try again");
            }
        };
        Self::new(code, error.to_string())
    }
}
