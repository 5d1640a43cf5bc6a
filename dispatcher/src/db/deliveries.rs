//! `deliveries`: what is told, and what became of it. Where one stands is told by the table that it is in:
//! `due_deliveries` until it has ended ([`super::delivery_claims`]), `delivery_ends` from then on.

use sqlx::PgConnection;
use trace_contracts::{
    AttemptId, DeliveryId, Name, OrgId, RunId, TaskId,
    wire::{
        delivery::DeliveryKey,
        webhook::{DeliveryEvent, DeliveryInfo, DeliveryState},
    },
};

use super::Error;

/// What is to be told of an event.
#[derive(Debug, Clone)]
pub struct NewDelivery {
    /// Whose.
    pub org: OrgId,
    /// To which of the org's webhooks.
    pub webhook: Name,
    /// Of what.
    pub event: DeliveryEvent,
    /// Of which DAG.
    pub dag: Name,
    /// Of which run.
    pub run: RunId,
    /// Of which task, where it is about one.
    pub task: Option<TaskId>,
    /// What to say.
    pub body: String,
}

/// Writes deliveries, in the transaction of their events. A name that the org has not any more is that of the
/// webhook which had it last, so that the delivery is there to be seen.
///
/// # Errors
/// When the database fails, or a name was never any webhook's.
pub async fn insert(conn: &mut PgConnection, new: &[NewDelivery]) -> Result<(), Error> {
    let inserted = sqlx::query!(
        "-- deliveries::insert
        with written as (
            insert into deliveries (webhook_id, org_id, event, dag, run_id, task_id, body)
            select w.webhook_id, n.org_id, n.event, n.dag, n.run_id, n.task_id, n.body
            from unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::text[])
                as n(org_id, webhook, event, dag, run_id, task_id, body)
            cross join lateral (
                select webhook_id from webhooks where org_id = n.org_id and name = n.webhook
                order by removed_at desc nulls first limit 1
            ) as w
            returning delivery_id, webhook_id
        )
        insert into due_deliveries (delivery_id, webhook_id) select delivery_id, webhook_id from written",
        &new.iter().map(|one| one.org.get()).collect::<Vec<_>>(),
        &new.iter().map(|one| one.webhook.to_string()).collect::<Vec<_>>(),
        &new.iter().map(|one| one.event.as_str().to_owned()).collect::<Vec<_>>(),
        &new.iter().map(|one| one.dag.to_string()).collect::<Vec<_>>(),
        &new.iter().map(|one| one.run.get()).collect::<Vec<_>>(),
        &new.iter().map(|one| one.task.map(TaskId::get)).collect::<Vec<_>>() as &[Option<i64>],
        &new.iter().map(|one| one.body.clone()).collect::<Vec<_>>()
    )
    .execute(conn)
    .await?
    .rows_affected();
    super::exactly("a delivery", new.len(), inserted)
}

/// Locks the lease of an attempt, if it holds, until the transaction ends: whoever would end it waits.
///
/// # Errors
/// When the database fails.
pub async fn hold_lease(conn: &mut PgConnection, attempt: AttemptId) -> Result<Lease, Error> {
    let held = sqlx::query!(
        "-- deliveries::hold_lease
        select task_id from leases where attempt_id = $1 and expires_at > clock_timestamp() for update",
        attempt.get()
    )
    .fetch_optional(conn)
    .await?;
    Ok(if held.is_some() { Lease::Held } else { Lease::Over })
}

/// Whether an attempt has its lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lease {
    /// It has, until the transaction ends.
    Held,
    /// It has not any more.
    Over,
}

/// What a task has sent under this key to the webhook, and what it said.
///
/// # Errors
/// When the database fails.
pub async fn of_key(
    conn: &mut PgConnection,
    task: TaskId,
    webhook: i64,
    key: &DeliveryKey,
) -> Result<Option<(DeliveryId, String)>, Error> {
    let found = sqlx::query!(
        "-- deliveries::of_key
        select delivery_id, body from deliveries where task_id = $1 and webhook_id = $2 and message_key = $3",
        task.get(),
        webhook,
        key.as_str()
    )
    .fetch_optional(conn)
    .await?;
    Ok(found.map(|row| (DeliveryId::from_db(row.delivery_id), row.body)))
}

/// How many deliveries a task has sent.
///
/// # Errors
/// When the database fails.
pub async fn count_of_task(conn: &mut PgConnection, task: TaskId) -> Result<u64, Error> {
    let count = sqlx::query_scalar!(
        r#"-- deliveries::count_of_task
        select count(*) as "count!" from deliveries where task_id = $1 and message_key is not null"#,
        task.get()
    )
    .fetch_one(conn)
    .await?;
    Ok(u64::try_from(count).unwrap_or_default())
}

/// What a task has told.
#[derive(Debug)]
pub struct NewMessage<'a> {
    /// Who, where to and what.
    pub delivery: &'a NewDelivery,
    /// The webhook.
    pub webhook: i64,
    /// The attempt.
    pub attempt: AttemptId,
    /// What the task calls it.
    pub key: &'a DeliveryKey,
}

/// Writes what a task tells. Under [`hold_lease`], and where there is none [of its key](of_key).
///
/// # Errors
/// When the database fails.
pub async fn insert_message(conn: &mut PgConnection, new: &NewMessage<'_>) -> Result<DeliveryId, Error> {
    let delivery = new.delivery;
    let id = sqlx::query_scalar!(
        "-- deliveries::insert_message
        with written as (
            insert into deliveries
                (webhook_id, org_id, event, dag, run_id, task_id, body, attempt_id, message_key)
            values ($1, $2, $3, $4, $5, $6, $7, $8, $9) returning delivery_id, webhook_id
        )
        insert into due_deliveries (delivery_id, webhook_id) select delivery_id, webhook_id from written
        returning delivery_id",
        new.webhook,
        delivery.org.get(),
        delivery.event.as_str(),
        &*delivery.dag,
        delivery.run.get(),
        delivery.task.map(TaskId::get),
        delivery.body,
        new.attempt.get(),
        new.key.as_str()
    )
    .fetch_one(conn)
    .await?;
    Ok(DeliveryId::from_db(id))
}

/// Makes dead deliveries of a webhook due again, these or the oldest; their age counts from now on.
///
/// # Errors
/// When the database fails.
pub async fn redrive(
    conn: &mut PgConnection,
    webhook: &Name,
    org: OrgId,
    only: Option<&[i64]>,
    limit: i64,
) -> Result<u64, Error> {
    let redriven = sqlx::query!(
        "-- deliveries::redrive
        with dead as (
            select e.delivery_id, w.webhook_id
            from delivery_ends e join deliveries d using (delivery_id)
                join webhooks w on w.webhook_id = d.webhook_id
            where e.state = 'dead' and w.org_id = $1 and w.name = $2 and w.removed_at is null
                and ($3::bigint[] is null or e.delivery_id = any($3))
            order by e.delivery_id limit $4 for update of e
        ), revived as (
            delete from delivery_ends e using dead where e.delivery_id = dead.delivery_id
            returning e.delivery_id, dead.webhook_id, e.last_status
        )
        insert into due_deliveries (delivery_id, webhook_id, last_status)
        select delivery_id, webhook_id, last_status from revived",
        org.get(),
        &**webhook,
        only,
        limit
    )
    .execute(conn)
    .await?;
    Ok(redriven.rows_affected())
}

/// Which deliveries to list.
#[derive(Debug, Clone, Copy)]
pub struct Listing {
    /// In this state alone.
    pub state: Option<DeliveryState>,
    /// Only those before this one, which are older.
    pub after: Option<DeliveryId>,
    /// At most so many.
    pub limit: i64,
}

/// Deliveries of a webhook, the newest first.
///
/// # Errors
/// When the database fails, or a row can't be read.
pub async fn page(
    conn: &mut PgConnection,
    org: OrgId,
    webhook: i64,
    listing: Listing,
) -> Result<Vec<DeliveryInfo>, Error> {
    let found = sqlx::query!(
        r#"-- deliveries::page
        select d.delivery_id, d.event, d.dag, d.run_id, d.task_id, d.created_at, e.ended_at as "ended_at?",
            e.reason as "reason?", coalesce(e.state, 'due') as "state!", coalesce(e.tries, q.tries, 0) as "tries!",
            coalesce(e.last_status, q.last_status) as last_status
        from deliveries d left join delivery_ends e using (delivery_id) left join due_deliveries q using (delivery_id)
        where d.org_id = $1 and d.webhook_id = $2 and ($3::bigint is null or d.delivery_id < $3)
            and ($4::text is null or coalesce(e.state, 'due') = $4)
        order by d.delivery_id desc limit $5"#,
        org.get(),
        webhook,
        listing.after.map(DeliveryId::get),
        listing.state.map(DeliveryState::as_str),
        listing.limit
    )
    .fetch_all(conn)
    .await?;
    let infos = found.into_iter().map(|row| {
        Ok(DeliveryInfo {
            delivery: DeliveryId::from_db(row.delivery_id),
            event: event(&row.event)?,
            dag: super::name(&row.dag)?,
            run: RunId::from_db(row.run_id),
            task: row.task_id.map(TaskId::from_db),
            state: state(&row.state)?,
            tries: u32::try_from(row.tries).unwrap_or_default(),
            last_status: row.last_status.and_then(|status| u16::try_from(status).ok()),
            reason: row.reason,
            created_at: row.created_at,
            ended_at: row.ended_at,
        })
    });
    infos.collect()
}

fn event(text: &str) -> Result<DeliveryEvent, Error> {
    let found = DeliveryEvent::ALL.into_iter().find(|event| event.as_str() == text);
    found.ok_or_else(|| Error::corrupt("a delivery's event", text))
}

fn state(text: &str) -> Result<DeliveryState, Error> {
    let found = DeliveryState::ALL.into_iter().find(|state| state.as_str() == text);
    found.ok_or_else(|| Error::corrupt("a delivery's state", text))
}
