//! `egress_rules`: what the DAGs of an org may reach outside.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use trace_contracts::{
    AttemptId, EgressRuleId, Name, OrgId, TaskId, UserId,
    wire::egress::{EgressEffect, EgressRuleInfo, EgressRuleRequest},
};

use super::Error;

/// A rule, and whose it is.
#[derive(Debug, Clone)]
pub struct RuleRow {
    /// The org.
    pub org: OrgId,
    /// The rule.
    pub info: EgressRuleInfo,
}

/// What has become of the attempts that a change of a rule concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// None is left, or there was none.
    Holds,
    /// A denial is new: some may still run.
    Begins,
    /// A permission is taken back: some may still run.
    Ends,
}

impl State {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Begins => "begins",
            Self::Ends => "ends",
        }
    }
}

/// Lets nobody else change the org's rules until the transaction ends.
///
/// # Errors
/// When the database fails.
pub async fn lock(conn: &mut PgConnection, org: OrgId) -> Result<(), Error> {
    sqlx::query!(
        "-- egress::lock
        select pg_advisory_xact_lock(hashtext('trace.egress_rules'), $1::bigint::integer)",
        org.get()
    )
    .fetch_one(conn)
    .await?;
    Ok(())
}

/// The rules of these orgs that are in force, by number.
///
/// # Errors
/// When the database fails, or a row can't be read.
pub async fn in_force(conn: &mut PgConnection, orgs: &[i64]) -> Result<Vec<RuleRow>, Error> {
    let found = sqlx::query_as!(
        Columns,
        "-- egress::in_force
        select rule_id, org_id, effect, destination, dag, set_by, set_at
        from egress_rules where org_id = any($1) and state <> 'ends' order by rule_id",
        orgs
    )
    .fetch_all(conn)
    .await?;
    found.into_iter().map(RuleRow::try_from).collect()
}

/// How many rules an org has, those included whose attempts are still being ended.
///
/// # Errors
/// When the database fails.
pub async fn count(conn: &mut PgConnection, org: OrgId) -> Result<u64, Error> {
    let count = sqlx::query_scalar!(
        r#"-- egress::count
        select count(*) as "count!" from egress_rules where org_id = $1"#,
        org.get()
    )
    .fetch_one(conn)
    .await?;
    Ok(u64::try_from(count).unwrap_or_default())
}

/// A rule that the org has in force.
///
/// # Errors
/// When the database fails, or the row can't be read.
pub async fn find(
    conn: &mut PgConnection,
    org: OrgId,
    wanted: &EgressRuleRequest,
) -> Result<Option<EgressRuleInfo>, Error> {
    let found = sqlx::query_as!(
        Columns,
        "-- egress::find
        select rule_id, org_id, effect, destination, dag, set_by, set_at
        from egress_rules
        where org_id = $1 and effect = $2 and destination = $3 and coalesce(dag, '') = coalesce($4, '')
            and state <> 'ends'",
        org.get(),
        wanted.effect.as_str(),
        wanted.to.to_string(),
        wanted.dag.as_deref() as Option<&str>
    )
    .fetch_optional(conn)
    .await?;
    Ok(found.map(RuleRow::try_from).transpose()?.map(|row| row.info))
}

/// Adds a rule, which the org does not have. Under [`lock`].
///
/// # Errors
/// When the database fails.
pub async fn insert(
    conn: &mut PgConnection,
    org: OrgId,
    by: UserId,
    new: &EgressRuleRequest,
    state: State,
) -> Result<EgressRuleInfo, Error> {
    let row = sqlx::query_as!(
        Columns,
        "-- egress::insert
        insert into egress_rules (org_id, effect, destination, dag, set_by, state)
        values ($1, $2, $3, $4, $5, $6)
        returning rule_id, org_id, effect, destination, dag, set_by, set_at",
        org.get(),
        new.effect.as_str(),
        new.to.to_string(),
        new.dag.as_deref() as Option<&str>,
        by.get(),
        state.as_str()
    )
    .fetch_one(conn)
    .await?;
    Ok(RuleRow::try_from(row)?.info)
}

/// Takes a rule out of force: a denial is gone, a permission stays until its attempts are ended. Answers the
/// rule, if the org has it and it was in force. Under [`lock`].
///
/// # Errors
/// When the database fails, or the row can't be read.
pub async fn remove(
    conn: &mut PgConnection,
    org: OrgId,
    rule: EgressRuleId,
) -> Result<Option<EgressRuleInfo>, Error> {
    let found = sqlx::query_as!(
        Columns,
        r#"-- egress::remove
        with ended as (
            update egress_rules set state = 'ends'
            where org_id = $1 and rule_id = $2 and effect = 'allow' and state = 'holds'
            returning rule_id, org_id, effect, destination, dag, set_by, set_at
        ), gone as (
            delete from egress_rules where org_id = $1 and rule_id = $2 and effect = 'deny'
            returning rule_id, org_id, effect, destination, dag, set_by, set_at
        )
        select rule_id as "rule_id!", org_id as "org_id!", effect as "effect!",
            destination as "destination!", dag, set_by as "set_by!", set_at as "set_at!"
        from (select * from ended union all select * from gone) as removed"#,
        org.get(),
        rule.get()
    )
    .fetch_optional(conn)
    .await?;
    Ok(found.map(RuleRow::try_from).transpose()?.map(|row| row.info))
}

/// Rules whose change concerns attempts that may still run; of every org.
///
/// # Errors
/// When the database fails, or a row can't be read.
pub async fn unsettled(conn: &mut PgConnection) -> Result<Vec<RuleRow>, Error> {
    let found = sqlx::query_as!(
        Columns,
        "-- egress::unsettled
        select rule_id, org_id, effect, destination, dag, set_by, set_at
        from egress_rules where state <> 'holds' order by rule_id limit 1000"
    )
    .fetch_all(conn)
    .await?;
    found.into_iter().map(RuleRow::try_from).collect()
}

/// Writes down that no attempt is left that the change of a rule concerned.
///
/// # Errors
/// When the database fails.
pub async fn settle(conn: &mut PgConnection, rule: EgressRuleId) -> Result<(), Error> {
    sqlx::query!(
        "-- egress::settle
        with held as (
            update egress_rules set state = 'holds' where rule_id = $1 and state = 'begins'
        )
        delete from egress_rules where rule_id = $1 and state = 'ends'",
        rule.get()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Attempts of an org that hold leases, after this one, by number, and their tasks; without a lock.
///
/// # Errors
/// When the database fails.
pub async fn leased(
    conn: &mut PgConnection,
    org: OrgId,
    after: Option<AttemptId>,
    limit: i64,
) -> Result<Vec<(AttemptId, TaskId)>, Error> {
    let found = sqlx::query!(
        "-- egress::leased
        select l.attempt_id, l.task_id from leases l join runs r on r.run_id = l.task_id >> 20
        where r.org_id = $1 and l.attempt_id > $2 order by l.attempt_id limit $3",
        org.get(),
        after.map_or(0, AttemptId::get),
        limit
    )
    .fetch_all(conn)
    .await?;
    Ok(found.iter().map(|row| (AttemptId::from_db(row.attempt_id), TaskId::from_db(row.task_id))).collect())
}

struct Columns {
    rule_id: i64,
    org_id: i64,
    effect: String,
    destination: String,
    dag: Option<String>,
    set_by: i64,
    set_at: DateTime<Utc>,
}

impl TryFrom<Columns> for RuleRow {
    type Error = Error;

    fn try_from(columns: Columns) -> Result<Self, Error> {
        let effect = match columns.effect.as_str() {
            "allow" => EgressEffect::Allow,
            "deny" => EgressEffect::Deny,
            other => return Err(Error::corrupt("a rule's effect", other)),
        };
        let to = columns.destination.parse();
        let dag: Option<Name> = columns.dag.as_deref().map(super::name).transpose()?;
        let info = EgressRuleInfo {
            rule: EgressRuleId::from_db(columns.rule_id),
            effect,
            to: to.map_err(|error| Error::corrupt("a rule's destination", error))?,
            dag,
            set_by: UserId::from_db(columns.set_by),
            set_at: columns.set_at,
        };
        Ok(Self { org: OrgId::from_db(columns.org_id), info })
    }
}
