//! held → ready, when nothing else brings it about: a rate lets the next task go, a limit was raised, or
//! there was more than one transaction admits.

use sqlx::PgConnection;
use trace_contracts::OrgId;

use super::{Core, Error};
use crate::slots::{self, Gate};

/// Admits held tasks of an org. Answers in how many seconds a rate lets the next one go, if one waits for
/// that.
///
/// # Errors
/// When the database fails.
pub async fn admit(tx: &mut PgConnection, core: &Core, org: OrgId) -> Result<Option<f64>, Error> {
    let passed = slots::pass(tx, org, Gate::default()).await?;
    if !passed.ready.is_empty() {
        core.wake.announce(tx, &passed.ready).await?;
    }
    Ok(passed.next_start)
}
