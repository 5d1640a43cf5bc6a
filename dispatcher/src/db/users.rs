//! `orgs` and `users`.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use trace_contracts::{OrgId, Role, RunId, UserId, wire::authority::UserInfo};

use super::Error;

/// A user's row.
#[derive(Debug, Clone)]
pub struct UserRow {
    /// The user.
    pub user: UserId,
    /// Their org.
    pub org: OrgId,
    /// The role of their last token.
    pub role: Role,
    /// Whether they are suspended.
    pub suspended: bool,
}

/// A user to add.
#[derive(Debug)]
pub struct NewUser<'a> {
    /// Their org.
    pub org: OrgId,
    /// Who issued their token.
    pub issuer: &'a str,
    /// Who they are there.
    pub external_id: &'a str,
    /// Their mail address.
    pub email: Option<&'a str>,
    /// The role of their token.
    pub role: Role,
}

/// The org of a slug.
///
/// # Errors
/// When the database fails.
pub async fn org_of_slug(conn: &mut PgConnection, slug: &str) -> Result<Option<OrgId>, Error> {
    let found = sqlx::query_scalar!(
        "-- users::org_of_slug
        select org_id from orgs where slug = $1",
        slug
    )
    .fetch_optional(conn)
    .await?;
    Ok(found.map(OrgId::from_db))
}

/// The user of an issuer's subject.
///
/// # Errors
/// When the database fails.
pub async fn find(
    conn: &mut PgConnection,
    issuer: &str,
    external_id: &str,
) -> Result<Option<UserRow>, Error> {
    let found = sqlx::query!(
        r#"-- users::find
        select user_id, org_id, role, suspended_at is not null as "suspended!"
        from users where issuer = $1 and external_id = $2"#,
        issuer,
        external_id
    )
    .fetch_optional(conn)
    .await?;
    found
        .map(|row| {
            Ok(UserRow {
                user: UserId::from_db(row.user_id),
                org: OrgId::from_db(row.org_id),
                role: role(&row.role)?,
                suspended: row.suspended,
            })
        })
        .transpose()
}

/// Adds a user, unless they are there already.
///
/// # Errors
/// When the database fails.
pub async fn insert(conn: &mut PgConnection, new: &NewUser<'_>) -> Result<(), Error> {
    sqlx::query!(
        "-- users::insert
        insert into users (org_id, issuer, external_id, email, role) values ($1, $2, $3, $4, $5)
        on conflict (issuer, external_id) do nothing",
        new.org.get(),
        new.issuer,
        new.external_id,
        new.email,
        new.role.as_str()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Remembers the role of a user's latest token: what others may read through a DAG that this user
/// deployed depends on it.
///
/// # Errors
/// When the database fails.
pub async fn set_role(conn: &mut PgConnection, user: UserId, role: Role) -> Result<(), Error> {
    sqlx::query!(
        "-- users::set_role
        update users set role = $2 where user_id = $1",
        user.get(),
        role.as_str()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Keeps a user from being suspended until the transaction ends; answers whether they are not.
///
/// # Errors
/// When the database fails.
pub async fn hold_active(conn: &mut PgConnection, user: UserId) -> Result<Standing, Error> {
    let active = sqlx::query_scalar!(
        r#"-- users::hold_active
        select suspended_at is null as "active!" from users where user_id = $1 for share"#,
        user.get()
    )
    .fetch_optional(conn)
    .await?;
    Ok(if active == Some(true) { Standing::Active } else { Standing::Suspended })
}

/// Whether a user may do anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// They may do what their role allows.
    Active,
    /// They may do nothing.
    Suspended,
}

/// Suspends a user of the org, or lets them in again; answers the user as they are then. A suspension keeps
/// its first time.
///
/// # Errors
/// When the database fails.
pub async fn set_standing(
    conn: &mut PgConnection,
    org: OrgId,
    user: UserId,
    standing: Standing,
) -> Result<Option<UserInfo>, Error> {
    let found = sqlx::query_as!(
        InfoRow,
        "-- users::set_standing
        update users set suspended_at = case when $3 then coalesce(suspended_at, now()) end
        where org_id = $1 and user_id = $2
        returning user_id, issuer, external_id, email, role, suspended_at",
        org.get(),
        user.get(),
        standing == Standing::Suspended
    )
    .fetch_optional(conn)
    .await?;
    found.map(UserInfo::try_from).transpose()
}

/// The org's users after this one, by number.
///
/// # Errors
/// When the database fails.
pub async fn page(
    conn: &mut PgConnection,
    org: OrgId,
    after: Option<UserId>,
    limit: i64,
) -> Result<Vec<UserInfo>, Error> {
    let found = sqlx::query_as!(
        InfoRow,
        "-- users::page
        select user_id, issuer, external_id, email, role, suspended_at from users
        where org_id = $1 and user_id > $2 order by user_id limit $3",
        org.get(),
        after.map_or(0, UserId::get),
        limit
    )
    .fetch_all(conn)
    .await?;
    found.into_iter().map(UserInfo::try_from).collect()
}

/// Those of these users who are suspended.
///
/// # Errors
/// When the database fails.
pub async fn suspended(conn: &mut PgConnection, users: &[i64]) -> Result<Vec<UserId>, Error> {
    let found = sqlx::query_scalar!(
        "-- users::suspended
        select user_id from users where user_id = any($1) and suspended_at is not null",
        users
    )
    .fetch_all(conn)
    .await?;
    Ok(found.into_iter().map(UserId::from_db).collect())
}

/// Runs that are under way and were started by users who are suspended now; of one user, or of all.
///
/// # Errors
/// When the database fails.
pub async fn runs_of_suspended(
    conn: &mut PgConnection,
    user: Option<UserId>,
) -> Result<Vec<(OrgId, RunId)>, Error> {
    let found = sqlx::query!(
        "-- users::runs_of_suspended
        select r.org_id, r.run_id from users u join runs r on r.triggered_by = u.user_id
        where u.suspended_at is not null and r.state = 'running' and ($1::bigint is null or u.user_id = $1)
        order by r.run_id limit 1000",
        user.map(UserId::get)
    )
    .fetch_all(conn)
    .await?;
    Ok(found.iter().map(|row| (OrgId::from_db(row.org_id), RunId::from_db(row.run_id))).collect())
}

struct InfoRow {
    user_id: i64,
    issuer: String,
    external_id: String,
    email: Option<String>,
    role: String,
    suspended_at: Option<DateTime<Utc>>,
}

impl TryFrom<InfoRow> for UserInfo {
    type Error = Error;

    fn try_from(row: InfoRow) -> Result<Self, Error> {
        Ok(Self {
            user: UserId::from_db(row.user_id),
            issuer: row.issuer,
            external_id: row.external_id,
            email: row.email,
            role: role(&row.role)?,
            suspended_at: row.suspended_at,
        })
    }
}

/// A role as a column holds it.
///
/// # Errors
/// When it holds something else.
pub fn role(text: &str) -> Result<Role, Error> {
    text.parse().map_err(|error| Error::corrupt("a role", error))
}
