//! What a DAG declares, when it is deployed.

use std::collections::BTreeSet;

use sqlx::PgConnection;
use trace_contracts::{FieldError, Name, OrgId};

use super::{Policies, Verdict};
use crate::{config::Egress, dag::EgressUse, db};

/// Says of each destination that may not be reached what would let it.
///
/// # Errors
/// When the database fails.
pub async fn check(
    conn: &mut PgConnection,
    way: Egress,
    org: OrgId,
    dag: &Name,
    uses: &[EgressUse],
) -> Result<Vec<FieldError>, db::Error> {
    if uses.is_empty() {
        return Ok(Vec::new());
    }
    let policy = Policies::of(conn, way, &BTreeSet::from([org])).await?.into_one(org);
    let wrong = uses.iter().filter_map(|used| {
        let to = &used.destination;
        let message = match (way, policy.decide(dag, to)) {
            (Egress::None, _) => format!(
                "`{to}`: nothing outside can be reached, because this platform has no egress gateway: leave \
                 `egress` empty and bring the data in as `files` or a dataset, or ask the platform's operator \
                 for a gateway"
            ),
            (Egress::Gateway, Verdict::Allowed(_)) => return None,
            (Egress::Gateway, Verdict::Denied(rule)) => format!(
                "`{to}` is denied by the rule {} (`{}`): ask an admin of your org, who can take it back with \
                 `trace egress remove {}`",
                rule.rule, rule.to, rule.rule
            ),
            (Egress::Gateway, Verdict::Unlisted) => format!(
                "the DAG `{dag}` may not reach `{to}`: ask an admin of your org to run \
                 `trace egress allow {to} --dag {dag}`"
            ),
        };
        Some(used.place.error(message))
    });
    Ok(wrong.collect())
}
