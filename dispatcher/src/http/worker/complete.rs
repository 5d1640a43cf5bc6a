//! `POST /internal/complete`.

use std::collections::BTreeSet;

use axum::{Json, extract::State};
use futures::{StreamExt, stream};
use trace_contracts::{
    AttemptId, ErrorCode,
    wire::worker::{CompleteReply, CompleteRequest, CompleteVerdict, Completion, Outcome},
};
use trace_plane::{Body, Refusal, Reply};

use super::{Worker, bounded};
use crate::{
    App, db,
    db::leases::{LeaseRow, ShownFence},
    grants::AttemptPrefixes,
    outputs,
    task::{
        complete::{Claimed, End, Ended},
        fail::Failure,
    },
};

/// Listings that one request has under way.
const LISTINGS: usize = 16;
/// A failure's detail is cut to this many bytes.
const MAX_DETAIL: usize = 4096;

/// Records attempts that ended; a verdict for each.
pub(super) async fn complete(
    State(app): State<App>,
    Worker(worker): Worker,
    Body(request): Body<CompleteRequest>,
) -> Reply<Json<CompleteReply>> {
    bounded(&request.completions)?;
    request.completions.iter().try_for_each(check_reason)?;
    let shown: Vec<ShownFence> =
        request.completions.iter().map(|one| ShownFence { worker, fence: one.fence }).collect();
    let current = app.batches.cut(shown.clone()).await?;
    for lease in current.iter().flatten() {
        revoke(&app, lease.attempt).await;
    }
    let ends: Vec<Result<End, Refusal>> = stream::iter(request.completions.into_iter().zip(current))
        .map(|(completion, lease)| end(&app, completion.outcome, lease))
        .buffered(LISTINGS)
        .collect()
        .await;
    let verdicts = record(&app, shown, ends).await?;
    Ok(Json(CompleteReply { verdicts }))
}

/// Some reasons are the dispatcher's own to give.
fn check_reason(completion: &Completion) -> Reply<()> {
    match &completion.outcome {
        Outcome::Failed { reason, .. } if reason.is_the_dispatchers() => Err(Refusal::new(
            ErrorCode::BadRequest,
            format!(
                "`{}` is set by the dispatcher alone; report what happened to the process",
                reason.as_str()
            ),
        )),
        _ => Ok(()),
    }
}

/// Sessions of the object store end before outputs are listed. A store that can't end them now does
/// not stop the completion: what it lets through later is in no manifest.
async fn revoke(app: &App, attempt: AttemptId) {
    if let Err(error) = app.credentials.revoke(attempt).await {
        tracing::warn!(%attempt, error = &error as &dyn std::error::Error, "sessions were not revoked");
    }
}

async fn end(app: &App, outcome: Outcome, lease: Option<LeaseRow>) -> Result<End, Refusal> {
    match (outcome, lease) {
        (Outcome::Succeeded, None) => Ok(End::NotCurrent(Claimed::Succeeded)),
        (Outcome::Failed { reason, .. }, None) => Ok(End::NotCurrent(Claimed::Failed(reason))),
        (Outcome::Failed { reason, detail }, Some(lease)) => {
            Ok(End::Failed(lease.run(), Failure { reason, detail: printable(&detail) }))
        }
        (Outcome::Succeeded, Some(lease)) => match list(app, &lease).await? {
            Ok(outputs) => Ok(End::Succeeded(lease.run(), outputs)),
            Err(outputs::Error::Refused(detail)) => Ok(End::Refused(lease.run(), printable(&detail))),
            Err(unavailable) => Err(unavailable.into()),
        },
    }
}

async fn list(app: &App, lease: &LeaseRow) -> Result<Result<outputs::Outputs, outputs::Error>, db::Error> {
    let facts = app.core.facts.of_pool(&app.db, &BTreeSet::from([lease.run()])).await?;
    let facts = facts.get(&lease.run()).ok_or_else(|| db::Error::corrupt("a run", lease.run()))?;
    let prefixes = AttemptPrefixes::of(&app.config.object_store.bucket, facts, lease)?;
    Ok(app.outputs.list(&prefixes.output, facts.place(lease.task)?.partition).await)
}

/// Records what can be recorded. Where some outputs could not be listed, the others are recorded
/// all the same, and the request as a whole is to be sent again: it is answered from the record.
async fn record(
    app: &App,
    shown: Vec<ShownFence>,
    ends: Vec<Result<End, Refusal>>,
) -> Reply<Vec<CompleteVerdict>> {
    let mut unlisted = None;
    let mut ended = Vec::with_capacity(ends.len());
    for (shown, end) in shown.into_iter().zip(ends) {
        match end {
            Ok(end) => ended.push(Ended { shown, end }),
            Err(refusal) => unlisted = Some(refusal),
        }
    }
    let verdicts = app.batches.complete(ended).await?;
    unlisted.map_or(Ok(verdicts), Err)
}

/// A text that PostgreSQL stores and a terminal shows: bounded, without control characters.
fn printable(unverified: &str) -> String {
    let mut end = unverified.len().min(MAX_DETAIL);
    while !unverified.is_char_boundary(end) {
        end -= 1;
    }
    unverified[..end].chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_are_bounded_and_storable() {
        assert_eq!(printable("a\0b\nc"), "a\u{fffd}b\nc");
        let long = "ä".repeat(4096);
        assert_eq!(printable(&long).len(), 4096);
        assert_eq!(printable(&format!("x{long}")).len(), 4095);
    }
}
