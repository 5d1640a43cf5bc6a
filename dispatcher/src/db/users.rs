//! `orgs` and `users`.

use sqlx::PgConnection;
use trace_contracts::{OrgId, Role, UserId};

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

/// A role as a column holds it.
///
/// # Errors
/// When it holds something else.
pub fn role(text: &str) -> Result<Role, Error> {
    text.parse().map_err(|error| Error::corrupt("a role", error))
}
