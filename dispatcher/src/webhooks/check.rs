//! What a DAG has told to whom, when it is deployed.

use std::collections::{BTreeSet, HashMap};

use sqlx::PgConnection;
use trace_contracts::{FieldError, Name, OrgId};

use crate::{
    config::Egress,
    dag::DeliverUse,
    db,
    egress::{Policies, Policy, Verdict},
};

/// Says of each webhook that a DAG names and that nothing could be sent to, what would let it.
///
/// # Errors
/// When the database fails.
pub async fn check(
    conn: &mut PgConnection,
    way: Egress,
    org: OrgId,
    dag: &Name,
    uses: &[DeliverUse],
) -> Result<Vec<FieldError>, db::Error> {
    if uses.is_empty() {
        return Ok(Vec::new());
    }
    if way == Egress::None {
        let why = "nothing is delivered, because this platform has no egress gateway: leave `deliver` out, or \
                   ask the platform's operator for a gateway";
        return Ok(uses.iter().map(|used| used.place.error(why)).collect());
    }
    let policy = Policies::of(conn, way, &BTreeSet::from([org])).await?.into_one(org);
    let webhooks: HashMap<Name, db::webhooks::WebhookRow> =
        db::webhooks::of_org(conn, org).await?.into_iter().map(|row| (row.name.clone(), row)).collect();
    let wrong = |used: &DeliverUse| {
        let message = match webhooks.get(&used.to) {
            None => format!(
                "your org has no webhook `{}`: ask an admin to run `trace webhooks add {} https://…`",
                used.to, used.to
            ),
            Some(webhook) => refused(&policy, dag, webhook)?,
        };
        Some(used.place.error(message))
    };
    Ok(uses.iter().filter_map(wrong).collect())
}

/// Why the rules do not let a DAG reach a webhook, and what would.
pub(super) fn refused(policy: &Policy, dag: &Name, webhook: &db::webhooks::WebhookRow) -> Option<String> {
    let (name, to) = (&webhook.name, &webhook.destination);
    match policy.decide(dag, to) {
        Verdict::Allowed(_) => None,
        Verdict::Denied(rule) => Some(format!(
            "the webhook `{name}` is at `{to}`, which is denied by the rule {} (`{}`): ask an admin of your org, \
             who can take it back with `trace egress remove {}`",
            rule.rule, rule.to, rule.rule
        )),
        Verdict::Unlisted => Some(format!(
            "the webhook `{name}` is at `{to}`, which the DAG `{dag}` may not reach: ask an admin of your org to \
             run `trace egress allow {to} --dag {dag}`"
        )),
    }
}
