//! Giving out what is due: asked of the rules once more, and signed.

use std::collections::{BTreeSet, HashMap};

use chrono::Utc;
use serde_json::json;
use sqlx::PgConnection;
use trace_contracts::{
    OrgId, Secret, WebhookUrl,
    wire::{
        delivery::{DeliveryClaimRequest, OutgoingDelivery},
        limit,
        plane::{AuditEntry, AuditVerdict, Plane},
    },
};

use super::{
    Error, Settings, check, outcome,
    seal::{self, Label, SealingKey, What},
    sign::{SigningSecret, signature},
};
use crate::{
    config::Egress,
    db::{
        self,
        delivery_claims::{Claimed, Claiming, End, Standing},
        webhooks::KeyRow,
    },
    egress::{Policies, Policy},
};

/// Claims deliveries. What may not be sent any more is given up here, with the reason. The caller commits
/// before it answers: a delivery goes out once its claim is known to all.
///
/// # Errors
/// When the database fails.
pub async fn claim(
    tx: &mut PgConnection,
    settings: &Settings,
    seal: &SealingKey,
    request: &DeliveryClaimRequest,
) -> Result<Vec<OutgoingDelivery>, Error> {
    let claiming = Claiming {
        claim: request.claim,
        max: request.max.clamp(1, limit::CLAIMED_DELIVERIES),
        at_once: settings.at_once.max(1),
        rest_after: settings.rest_after.max(1),
        holds: settings.claim(),
        fingerprint: seal.fingerprint(),
    };
    if db::delivery_claims::claim(tx, claiming).await? == 0 {
        return Ok(Vec::new());
    }
    let claimed = db::delivery_claims::claimed(tx, request.claim).await?;
    let policies = policies(tx, &claimed).await?;
    let keys = keys(tx, &claimed).await?;
    let (mut outgoing, mut ends, mut refusals) = (Vec::new(), Vec::new(), Vec::new());
    for one in claimed {
        let keys = keys.get(&one.webhook.id).map(Vec::as_slice).unwrap_or_default();
        let signed = match refused(settings, &policies[&one.org], &one) {
            Some(why) => Err(why),
            // One webhook that can't be opened must not keep the others waiting.
            None => sign(settings, seal, &one, keys).map_err(|error| error.to_string()),
        };
        match signed {
            Ok(signed) => outgoing.push(signed),
            Err(why) => {
                refusals.push(refusal(&one, &why));
                ends.push(End { delivery: one.delivery, dead: Some(why), status: None });
            }
        }
    }
    if !ends.is_empty() {
        db::delivery_claims::end(tx, &ends).await?;
        db::audit::append(tx, &refusals).await?;
    }
    Ok(outgoing)
}

async fn policies(tx: &mut PgConnection, claimed: &[Claimed]) -> Result<HashMap<OrgId, Policy>, db::Error> {
    let mut policies = HashMap::new();
    for org in claimed.iter().map(|one| one.org).collect::<BTreeSet<OrgId>>() {
        let policy = Policies::of(tx, Egress::Gateway, &BTreeSet::from([org])).await?.into_one(org);
        policies.insert(org, policy);
    }
    Ok(policies)
}

async fn keys(tx: &mut PgConnection, claimed: &[Claimed]) -> Result<HashMap<i64, Vec<KeyRow>>, db::Error> {
    let webhooks: BTreeSet<i64> = claimed.iter().map(|one| one.webhook.id).collect();
    let mut keys: HashMap<i64, Vec<KeyRow>> = HashMap::new();
    for row in db::webhooks::keys(tx, &webhooks.into_iter().collect::<Vec<_>>()).await? {
        keys.entry(row.webhook).or_default().push(row);
    }
    Ok(keys)
}

/// Why a delivery may not be sent any more.
fn refused(settings: &Settings, policy: &Policy, one: &Claimed) -> Option<String> {
    match &one.standing {
        Standing::Removed => Some("the webhook was removed".to_owned()),
        Standing::Disabled(why) => Some(format!(
            "the webhook is disabled ({why}): `trace webhooks enable {}`, and redrive",
            one.webhook.name
        )),
        Standing::Open if one.age > settings.max_age() => Some(outcome::too_old()),
        Standing::Open => check::refused(policy, &one.dag, &one.webhook),
    }
}

fn refusal(one: &Claimed, why: &str) -> AuditEntry {
    AuditEntry {
        plane: Plane::Dispatcher,
        org: one.org,
        actor: one.actor,
        action: "delivery.send".to_owned(),
        object: one.webhook.destination.to_string(),
        verdict: AuditVerdict::Deny,
        detail: json!({ "delivery": one.delivery, "webhook": one.webhook.name, "why": why }),
        kid: None,
    }
}

fn sign(
    settings: &Settings,
    seal: &SealingKey,
    one: &Claimed,
    keys: &[KeyRow],
) -> Result<OutgoingDelivery, seal::Error> {
    let label = |what, row| Label { what, org: one.org, row };
    let target = seal.unseal(label(What::Target, one.seal_id), &one.target)?;
    let target = String::from_utf8(target).map_err(|_| seal::Error::Unseal)?;
    let url =
        WebhookUrl::from_parts(one.webhook.destination.clone(), target).map_err(|_| seal::Error::Unseal)?;
    let keys: Result<Vec<SigningSecret>, seal::Error> = keys
        .iter()
        .map(|key| seal.unseal(label(What::Key, key.id), &key.sealed).map(SigningSecret::from_bytes))
        .collect();
    let keys = keys?;
    if keys.is_empty() {
        return Err(seal::Error::Unseal);
    }
    let message_id = format!("msg_{}", one.message_id.simple());
    let timestamp = Utc::now().timestamp();
    Ok(OutgoingDelivery {
        signature: signature(&keys, &message_id, timestamp, &one.body),
        delivery: one.delivery,
        org: one.org,
        actor: one.actor,
        webhook: one.webhook.name.clone(),
        url,
        message_id,
        timestamp,
        body: Secret::new(one.body.clone()),
        within_ms: settings.claim_ms / 2,
    })
}
