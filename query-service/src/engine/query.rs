//! One query in an engine.

use std::{panic::AssertUnwindSafe, sync::Arc};

use futures::FutureExt as _;
use trace_contracts::Name;

use super::{
    failure::Failure,
    protocol::{Answer, Query},
};
use crate::{
    encode::{self, Encoded},
    gate::{Statement, VerifiedPlan},
    session::{Blank, Environment},
    store::GrantedStore,
};

/// Answers a query. Never fails: what goes wrong is part of the answer. A panic is, too: decoders of
/// Parquet panic at some forged files. The process is the border behind it.
pub(crate) async fn answer(
    environment: Environment,
    session: Blank,
    query: Query,
    unverified_sql: Vec<u8>,
) -> (Answer, Vec<u8>) {
    // Whatever a panic leaves half done is not used again: the engine ends after this answer.
    let answered =
        AssertUnwindSafe(answered(environment, session, query, unverified_sql)).catch_unwind().await;
    answered.unwrap_or((Answer::Panicked, Vec::new()))
}

async fn answered(
    environment: Environment,
    session: Blank,
    query: Query,
    unverified_sql: Vec<u8>,
) -> (Answer, Vec<u8>) {
    let (http, blocks) = (environment.http.clone(), Arc::clone(&environment.blocks));
    let store = Arc::new(GrantedStore::new(http, blocks, &query.catalog));
    match execute(&environment, session, &query, &unverified_sql, Arc::clone(&store)).await {
        Ok((tables, encoded)) => (Answer::Done { rows: encoded.rows, tables }, encoded.bytes),
        Err(Failure::Panicked) => (Answer::Panicked, Vec::new()),
        Err(failure) => (store.failure().map_or(failure, Failure::from).into(), Vec::new()),
    }
}

async fn execute(
    environment: &Environment,
    session: Blank,
    query: &Query,
    unverified_sql: &[u8],
    store: Arc<GrantedStore>,
) -> Result<(Vec<Name>, Encoded), Failure> {
    let unverified_sql = std::str::from_utf8(unverified_sql).map_err(|_| Failure::not_utf8())?;
    let statement = Statement::read(unverified_sql, &query.catalog.tables)?;
    let session = session.open(environment, &query.catalog, statement.tables(), store).await?;
    let plan = VerifiedPlan::new(statement, session).await?;
    let tables = plan.tables().to_vec();
    let batches = plan.execute().await?;
    Ok((tables, encode::encode(batches, query.format, query.bounds).await?))
}
