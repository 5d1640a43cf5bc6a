//! Engines started ahead, one query each at a time.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use trace_contracts::OrgId;

use crate::{
    engine::{
        process::{Engine, Error as EngineError},
        protocol::{Answer, Query, Setup},
        spawner::Spawner,
    },
    turns::{self, Coming, Place, Turns},
};

/// A pool of engines; cheap to clone.
///
/// An engine works for one org from its start to its end. Where another org needs its place, it is
/// replaced, so that nothing of one org's data is in the memory that computes for another.
#[derive(Clone)]
pub(crate) struct Pool(Arc<Inner>);

struct Inner {
    spawner: Spawner,
    setup: Setup,
    queries_per_engine: u32,
    idle: Mutex<Vec<Engine>>,
    /// One place for each engine that may exist.
    turns: Turns,
    background: TaskTracker,
    stopping: CancellationToken,
}

/// Why there is no engine for a query.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Every engine is busy and the queue is full.
    #[error("too many queries are waiting; try again later")]
    Busy,
    /// The service is stopping.
    #[error("the query service is stopping; try again")]
    Stopping,
    /// An engine could not be started, or died.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// What a pool needs to know.
pub(crate) struct Size {
    pub(crate) engines: usize,
    pub(crate) waiting: usize,
    pub(crate) queries_per_engine: u32,
}

/// An engine for one query. Dropping it before the query is answered kills the engine.
struct Checkout {
    engine: Option<Engine>,
    place: Option<Place>,
    pool: Pool,
}

impl From<turns::Error> for Error {
    fn from(error: turns::Error) -> Self {
        match error {
            turns::Error::Full => Self::Busy,
            turns::Error::Closed => Self::Stopping,
        }
    }
}

impl Pool {
    /// Starts all engines. Fails when one does not start, because the next would not either.
    pub(crate) async fn start(
        spawner: Spawner,
        setup: Setup,
        size: Size,
        stopping: CancellationToken,
    ) -> Result<Self, EngineError> {
        let engines = (0..size.engines).map(|_| Engine::start(&spawner, &setup));
        let idle = futures::future::try_join_all(engines).await?;
        let pool = Self(Arc::new(Inner {
            setup,
            queries_per_engine: size.queries_per_engine,
            idle: Mutex::new(idle),
            turns: Turns::new(size.engines, size.waiting),
            background: TaskTracker::new(),
            stopping,
            spawner,
        }));
        pool.0.background.spawn(pool.clone().stop());
        pool.0.background.close();
        Ok(pool)
    }

    /// Asks a query for this org when its turn has come. A query whose engine another org takes back
    /// starts anew: it reads and does nothing else.
    pub(crate) async fn ask(&self, org: OrgId, query: &Query, sql: &str) -> Result<(Answer, Bytes), Error> {
        let mut coming = Coming::First;
        loop {
            let place = self.0.turns.place(org, coming).await?;
            let recalled = place.recalled();
            tokio::select! {
                biased;
                answer = self.ask_at(place, org, query, sql) => return answer,
                () = recalled.cancelled() => coming = Coming::Again,
            }
        }
    }

    async fn ask_at(
        &self,
        place: Place,
        org: OrgId,
        query: &Query,
        sql: &str,
    ) -> Result<(Answer, Bytes), Error> {
        self.acquire(place, org).await?.ask(query, sql).await
    }

    /// An engine for this org.
    async fn acquire(&self, place: Place, org: OrgId) -> Result<Checkout, Error> {
        let mut checkout = Checkout { engine: None, place: Some(place), pool: self.clone() };
        let mut engine = match self.take(org) {
            Some(engine) => engine,
            None => Engine::start(&self.0.spawner, &self.0.setup).await?,
        };
        engine.org = Some(org);
        checkout.engine = Some(engine);
        Ok(checkout)
    }

    /// Waits until every engine that this pool started has been let go.
    pub(crate) async fn stopped(&self) {
        self.0.background.wait().await;
    }

    /// The best idle engine: one of this org, else one of none. One of another org makes room.
    fn take(&self, org: OrgId) -> Option<Engine> {
        let mut idle = self.idle();
        idle.retain_mut(Engine::is_alive);
        let best = idle
            .iter()
            .position(|engine| engine.org == Some(org))
            .or_else(|| idle.iter().position(|engine| engine.org.is_none()));
        if best.is_none() {
            idle.pop();
        }
        best.map(|index| idle.swap_remove(index))
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Engine>> {
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a used engine back, or starts one in its place where it is used up or gone. The place
    /// stays taken until the new one is ready.
    fn give_back(&self, engine: Option<Engine>, place: Place) {
        if self.0.stopping.is_cancelled() {
            return;
        }
        if let Some(engine) = engine.filter(|engine| engine.answered < self.0.queries_per_engine) {
            self.idle().push(engine);
            return;
        }
        let pool = self.clone();
        self.0.background.spawn(async move {
            match pool.0.stopping.run_until_cancelled(Engine::start(&pool.0.spawner, &pool.0.setup)).await {
                Some(Ok(engine)) => pool.idle().push(engine),
                // The next query tries again and says what is wrong.
                Some(Err(error)) => tracing::error!(error = &error as &dyn std::error::Error, "no engine"),
                None => {}
            }
            drop(place);
        });
    }

    async fn stop(self) {
        self.0.stopping.cancelled().await;
        self.0.turns.close();
        self.idle().clear();
    }
}

impl Checkout {
    /// Asks the query and gives the engine back.
    async fn ask(mut self, query: &Query, sql: &str) -> Result<(Answer, Bytes), Error> {
        let engine = self.engine.as_mut().ok_or(Error::Stopping)?;
        let answer = match engine.ask(query, sql).await {
            Err(EngineError::NotTaken) => self.replaced().await?.ask(query, sql).await?,
            answer => answer?,
        };
        if let (engine @ Some(_), Some(place)) = (self.engine.take(), self.place.take()) {
            self.pool.give_back(engine, place);
        }
        Ok(answer)
    }

    /// A new engine in the place of one that died at rest.
    async fn replaced(&mut self) -> Result<&mut Engine, EngineError> {
        let org = self.engine.take().and_then(|engine| engine.org);
        let mut engine = Engine::start(&self.pool.0.spawner, &self.pool.0.setup).await?;
        engine.org = org;
        Ok(self.engine.insert(engine))
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        drop(self.engine.take());
        if let Some(place) = self.place.take() {
            self.pool.give_back(None, place);
        }
    }
}
