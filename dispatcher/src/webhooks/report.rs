//! What came of deliveries, written down: ended, or due again; and how their receivers are.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use rand::Rng as _;
use serde_json::json;
use sqlx::PgConnection;
use trace_contracts::{
    DeliveryId, Name, OrgId,
    wire::{
        delivery::{DeliveryReportRequest, ReportVerdict, SendOutcome},
        plane::{Actor, AuditEntry, AuditVerdict, Plane},
    },
};

use super::{
    Settings,
    outcome::{Health, Next, Tried, next},
};
use crate::db::{
    self,
    delivery_claims::{Again, End, Sent},
    webhooks::Rest,
};

/// What of a batch says of one receiver.
#[derive(Debug, Default)]
struct Fared {
    answers: u32,
    fails: u32,
    gone: u32,
}

/// Writes a report down. An outcome of a claim that is over changes nothing.
///
/// # Errors
/// When the database fails.
pub async fn report(
    tx: &mut PgConnection,
    settings: &Settings,
    request: &DeliveryReportRequest,
) -> Result<Vec<ReportVerdict>, db::Error> {
    let ids: Vec<i64> = request.outcomes.iter().map(|one| one.delivery.get()).collect();
    let held = db::delivery_claims::hold(tx, request.claim, &ids).await?;
    let mut held: HashMap<DeliveryId, Sent> = held.into_iter().map(|sent| (sent.delivery, sent)).collect();
    let (mut ends, mut again) = (Vec::new(), Vec::new());
    let mut fared: BTreeMap<i64, Fared> = BTreeMap::new();
    let mut verdicts = Vec::with_capacity(request.outcomes.len());
    for one in &request.outcomes {
        let Some(sent) = held.remove(&one.delivery) else {
            verdicts.push(ReportVerdict::Stale);
            continue;
        };
        verdicts.push(ReportVerdict::Recorded);
        let jitter = rand::rng().random_range(-1.0..=1.0);
        let tried = Tried { tries: sent.tries, age: sent.age };
        let (next, health) = next(settings, tried, one.outcome, jitter);
        let (delivery, status) = (sent.delivery, status_of(one.outcome));
        match next {
            Next::Delivered => ends.push(End { delivery, dead: None, status }),
            Next::Dead { reason } => ends.push(End { delivery, dead: Some(reason), status }),
            Next::Again { delay_seconds } => again.push(Again { delivery, delay_seconds, status }),
        }
        let of = fared.entry(sent.webhook).or_default();
        match health {
            Health::Answers => of.answers += 1,
            Health::Fails => of.fails += 1,
            Health::Gone => of.gone += 1,
        }
    }
    if !ends.is_empty() {
        db::delivery_claims::end(tx, &ends).await?;
    }
    if !again.is_empty() {
        db::delivery_claims::again(tx, &again).await?;
    }
    note(tx, settings, &fared).await?;
    Ok(verdicts)
}

/// How receivers are. One answer in a batch is enough to say that a receiver works.
async fn note(
    tx: &mut PgConnection,
    settings: &Settings,
    fared: &BTreeMap<i64, Fared>,
) -> Result<(), db::Error> {
    let seconds = |ms: u64| Duration::from_millis(ms).as_secs_f64();
    let rest = Rest {
        after: settings.rest_after.max(1),
        seconds: seconds(settings.rest_ms),
        longest_seconds: seconds(settings.longest_rest_ms),
    };
    for (webhook, fared) in fared {
        if fared.gone > 0 {
            let why = "its receiver answered 410 (gone)";
            if let Some((org, name)) = db::webhooks::disable(tx, *webhook, why).await? {
                db::audit::append(tx, &[disabled(org, &name, why)]).await?;
            }
        }
        if fared.answers > 0 || fared.gone > 0 {
            db::webhooks::answered(tx, *webhook).await?;
        } else if fared.fails > 0 {
            db::webhooks::failed(tx, *webhook, fared.fails, rest).await?;
        }
    }
    Ok(())
}

fn disabled(org: OrgId, name: &Name, why: &str) -> AuditEntry {
    AuditEntry {
        plane: Plane::Dispatcher,
        org,
        actor: Actor::Platform,
        action: "webhook.disable".to_owned(),
        object: name.to_string(),
        verdict: AuditVerdict::Allow,
        detail: json!({ "why": why }),
        kid: None,
    }
}

const fn status_of(outcome: SendOutcome) -> Option<u16> {
    match outcome {
        SendOutcome::Answered { status, .. } => Some(status),
        SendOutcome::NoAnswer => None,
    }
}
