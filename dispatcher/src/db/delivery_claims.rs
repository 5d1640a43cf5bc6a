//! `due_deliveries`: who sends what now, and what comes of it.

use std::time::Duration;

use sqlx::PgConnection;
use trace_contracts::{AttemptId, ClaimId, DeliveryId, Name, OrgId, TaskId, wire::plane::Actor};
use uuid::Uuid;

use super::{Error, webhooks};

/// What a gateway may be given.
#[derive(Debug, Clone, Copy)]
pub struct Claiming<'a> {
    /// Its claim.
    pub claim: ClaimId,
    /// At most so many.
    pub max: u32,
    /// At most so many of one webhook, those included that others send right now.
    pub at_once: u32,
    /// From so many failures on, one at a time.
    pub rest_after: u32,
    /// How long the claim holds.
    pub holds: Duration,
    /// Webhooks that were sealed with this key alone: others can't be signed for here.
    pub fingerprint: &'a [u8],
}

/// Gives due deliveries to a claim: those of the webhooks that have waited longest, a few of each. A webhook
/// whose receiver rests is passed over, and so is one that another claim is looking at in this moment.
///
/// # Errors
/// When the database fails.
pub async fn claim(conn: &mut PgConnection, claiming: Claiming<'_>) -> Result<u64, Error> {
    let claimed = sqlx::query!(
        "-- deliveries::claim
        with served as (
            select c.webhook_id, c.failures
            from webhook_circuits c join webhooks w using (webhook_id)
            where (c.open_until is null or c.open_until <= now())
                and (w.sealed_by = $6 or w.removed_at is not null)
                and exists (select from due_deliveries d where d.webhook_id = c.webhook_id and d.due_at <= now())
            order by c.served_at, c.webhook_id limit $2 for update of c skip locked
        ), marked as (
            update webhook_circuits c set served_at = clock_timestamp()
            from served s where c.webhook_id = s.webhook_id
        ), picked as (
            select p.delivery_id from served s cross join lateral (
                select d.delivery_id from due_deliveries d
                where d.webhook_id = s.webhook_id and d.due_at <= now()
                order by d.due_at, d.delivery_id
                limit greatest(0, case when s.failures >= $4 then 1 else $3::bigint end - (
                    select count(*) from due_deliveries o
                    where o.webhook_id = s.webhook_id and o.claim_id is not null and o.due_at > now()
                ))
                for update skip locked
            ) as p limit $2
        )
        update due_deliveries d
        set claim_id = $1, due_at = now() + make_interval(secs => $5), tries = d.tries + 1
        from picked p where d.delivery_id = p.delivery_id",
        claiming.claim.get(),
        i64::from(claiming.max),
        i64::from(claiming.at_once),
        i32::try_from(claiming.rest_after).unwrap_or(i32::MAX),
        claiming.holds.as_secs_f64(),
        claiming.fingerprint
    )
    .execute(conn)
    .await?;
    Ok(claimed.rows_affected())
}

/// A delivery that was claimed, with all that sending it takes.
#[derive(Debug)]
pub struct Claimed {
    /// The delivery.
    pub delivery: DeliveryId,
    /// The same however often it is sent.
    pub message_id: Uuid,
    /// On whose behalf.
    pub actor: Actor,
    /// Whose.
    pub org: OrgId,
    /// Of which DAG.
    pub dag: Name,
    /// What to say.
    pub body: String,
    /// For how long it has been tried.
    pub age: Duration,
    /// Its webhook.
    pub webhook: webhooks::WebhookRow,
    /// What the webhook's target is sealed under.
    pub seal_id: Uuid,
    /// The target, sealed.
    pub target: Vec<u8>,
    /// Whether it may be sent there.
    pub standing: Standing,
}

/// Whether a webhook takes deliveries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It does.
    Open,
    /// It was disabled, for this reason.
    Disabled(String),
    /// It is gone.
    Removed,
}

/// What a claim was given.
///
/// # Errors
/// When the database fails, or a row can't be read.
pub async fn claimed(conn: &mut PgConnection, claim: ClaimId) -> Result<Vec<Claimed>, Error> {
    let found = sqlx::query!(
        r#"-- deliveries::claimed
        select d.delivery_id, d.message_id, d.org_id, d.dag, d.task_id, d.attempt_id, d.body,
            extract(epoch from now() - q.since)::float8 as "age!", w.webhook_id, w.name, w.destination,
            w.sealed_by, w.seal_id, w.target, w.disabled_why, w.removed_at
        from due_deliveries q join deliveries d using (delivery_id) join webhooks w on w.webhook_id = d.webhook_id
        where q.claim_id = $1 order by d.delivery_id"#,
        claim.get()
    )
    .fetch_all(conn)
    .await?;
    let claimed = found.into_iter().map(|row| {
        let attempt = row.attempt_id.and_then(AttemptId::new).zip(row.task_id.and_then(TaskId::new));
        Ok(Claimed {
            delivery: DeliveryId::from_db(row.delivery_id),
            message_id: row.message_id,
            actor: attempt.map_or(Actor::Platform, |(attempt, task)| Actor::Attempt { task, attempt }),
            org: OrgId::from_db(row.org_id),
            dag: super::name(&row.dag)?,
            body: row.body,
            age: Duration::try_from_secs_f64(row.age).unwrap_or_default(),
            webhook: webhooks::WebhookRow {
                id: row.webhook_id,
                name: super::name(&row.name)?,
                destination: webhooks::destination(&row.destination)?,
                sealed_by: row.sealed_by,
            },
            seal_id: row.seal_id,
            target: row.target,
            standing: match (row.removed_at, row.disabled_why) {
                (Some(_), _) => Standing::Removed,
                (None, Some(why)) => Standing::Disabled(why),
                (None, None) => Standing::Open,
            },
        })
    });
    claimed.collect()
}

/// Seconds until a delivery may be claimed; less than none where one may be now. `None` when nothing is due.
///
/// # Errors
/// When the database fails.
pub async fn next_due(conn: &mut PgConnection) -> Result<Option<f64>, Error> {
    let seconds = sqlx::query_scalar!(
        "-- deliveries::next_due
        select extract(epoch from min(greatest(d.due_at, c.open_until)) - clock_timestamp())::float8
        from webhook_circuits c
        cross join lateral (
            select min(due_at) as due_at from due_deliveries d where d.webhook_id = c.webhook_id
        ) as d
        where d.due_at is not null"
    )
    .fetch_one(conn)
    .await?;
    Ok(seconds)
}

/// A delivery that a claim holds.
#[derive(Debug, Clone, Copy)]
pub struct Sent {
    /// The delivery.
    pub delivery: DeliveryId,
    /// Its webhook.
    pub webhook: i64,
    /// How often it was claimed.
    pub tries: u32,
    /// For how long it has been tried.
    pub age: Duration,
}

/// Those of these deliveries that the claim still has, locked. One whose time is up is among them until
/// somebody else claims it.
///
/// # Errors
/// When the database fails.
pub async fn hold(conn: &mut PgConnection, claim: ClaimId, deliveries: &[i64]) -> Result<Vec<Sent>, Error> {
    let found = sqlx::query!(
        r#"-- deliveries::hold
        select delivery_id, webhook_id, tries, extract(epoch from now() - since)::float8 as "age!"
        from due_deliveries where claim_id = $1 and delivery_id = any($2) order by delivery_id for update"#,
        claim.get(),
        deliveries
    )
    .fetch_all(conn)
    .await?;
    let sent = found.iter().map(|row| Sent {
        delivery: DeliveryId::from_db(row.delivery_id),
        webhook: row.webhook_id,
        tries: u32::try_from(row.tries).unwrap_or_default(),
        age: Duration::try_from_secs_f64(row.age).unwrap_or_default(),
    });
    Ok(sent.collect())
}

/// A delivery that is sent again.
#[derive(Debug, Clone, Copy)]
pub struct Again {
    /// The delivery.
    pub delivery: DeliveryId,
    /// Not before so many seconds from now.
    pub delay_seconds: f64,
    /// What was answered, if anything.
    pub status: Option<u16>,
}

/// Puts deliveries back. Under [`hold`].
///
/// # Errors
/// When the database fails, or one of them is not due.
pub async fn again(conn: &mut PgConnection, again: &[Again]) -> Result<(), Error> {
    let changed = sqlx::query!(
        "-- deliveries::again
        update due_deliveries d
        set claim_id = null, due_at = now() + make_interval(secs => n.delay), last_status = n.status
        from unnest($1::bigint[], $2::float8[], $3::smallint[]) as n(delivery_id, delay, status)
        where d.delivery_id = n.delivery_id",
        &again.iter().map(|one| one.delivery.get()).collect::<Vec<_>>(),
        &again.iter().map(|one| one.delay_seconds).collect::<Vec<_>>(),
        &again.iter().map(|one| stored(one.status)).collect::<Vec<_>>() as &[Option<i16>]
    )
    .execute(conn)
    .await?
    .rows_affected();
    super::exactly("a delivery that is sent again", again.len(), changed)
}

/// A delivery that has ended.
#[derive(Debug, Clone)]
pub struct End {
    /// The delivery.
    pub delivery: DeliveryId,
    /// Why it is dead; `None` when it was delivered.
    pub dead: Option<String>,
    /// What was answered, if anything.
    pub status: Option<u16>,
}

/// Ends deliveries. Under [`hold`], or in the transaction that claimed them.
///
/// # Errors
/// When the database fails, or one of them is not due.
pub async fn end(conn: &mut PgConnection, ends: &[End]) -> Result<(), Error> {
    let ended = sqlx::query!(
        "-- deliveries::end
        with gone as (
            delete from due_deliveries d
            using unnest($1::bigint[], $2::text[], $3::smallint[]) as n(delivery_id, reason, status)
            where d.delivery_id = n.delivery_id
            returning d.delivery_id, d.tries, n.reason, coalesce(n.status, d.last_status) as status
        )
        insert into delivery_ends (delivery_id, state, reason, tries, last_status)
        select delivery_id, case when reason is null then 'delivered' else 'dead' end, reason, tries, status
        from gone",
        &ends.iter().map(|one| one.delivery.get()).collect::<Vec<_>>(),
        &ends.iter().map(|one| one.dead.clone()).collect::<Vec<_>>() as &[Option<String>],
        &ends.iter().map(|one| stored(one.status)).collect::<Vec<_>>() as &[Option<i16>]
    )
    .execute(conn)
    .await?
    .rows_affected();
    super::exactly("a delivery that ends", ends.len(), ended)
}

fn stored(status: Option<u16>) -> Option<i16> {
    status.and_then(|status| i16::try_from(status).ok())
}
