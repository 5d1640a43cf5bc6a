//! An org's limits change, with tasks in every state.

use sqlx::PgConnection;
use trace_contracts::{OrgId, wire::limits::OrgLimits};

use super::{Core, Error};
use crate::{
    db::{self, notify::Channel},
    slots::{self, Gate},
};

/// Sets what an org may use at most. From then on it holds for everything: what is ready or running
/// already is counted, and what is ready is admitted anew. Tasks that run go on, even where they are more
/// than the new limit.
///
/// # Errors
/// When the database fails.
pub async fn set_limits(
    tx: &mut PgConnection,
    core: &Core,
    org: OrgId,
    limits: &OrgLimits,
) -> Result<(), Error> {
    // Nobody else changes tasks of the org meanwhile: transitions hold the first lock shared, claims take
    // the second, and the sweep the third.
    db::org_limits::lock(tx, org).await?;
    db::claims::lock(tx).await?;
    db::limits::lock(tx, org).await?;
    let before = db::org_limits::read(tx, org).await?;
    db::org_limits::set(tx, org, limits).await?;
    match (before.tasks_at_once, limits.tasks_at_once) {
        (None, Some(_)) => db::org_limits::count_everything(tx, org).await?,
        (Some(_), None) => {
            let released = db::org_limits::release_everything(tx, org).await?;
            if released > 0 {
                db::notify::send(tx, Channel::Ready).await?;
            }
        }
        _ => {}
    }
    let passed = slots::pass(tx, org, Gate::default()).await?;
    if !passed.ready.is_empty() {
        for news in core.wake.announce(tx, &passed.ready).await? {
            db::notify::send(tx, news.channel).await?;
        }
    }
    // Whatever is left for another batch is the sweep's.
    Ok(db::notify::send(tx, Channel::Later).await?)
}
