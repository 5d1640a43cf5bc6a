//! From a verified token to a user of an org. The issuer says who somebody is and what role they
//! have; the registry says whether their org is known and whether they are suspended.

use sqlx::PgConnection;
use trace_contracts::{OrgId, Role, UserId, UserIdentity};

use crate::db::{
    self,
    users::{NewUser, UserRow},
};

/// A user whose token was verified and whom the registry knows.
#[derive(Debug, Clone)]
pub struct Caller {
    user: UserId,
    org: OrgId,
    org_slug: String,
    role: Role,
}

/// Why a verified user is not let in.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database failed.
    #[error(transparent)]
    Db(#[from] db::Error),
    /// The token names an org that is not here.
    #[error("your token names an org that this platform does not have: ask its operator to add the org")]
    UnknownOrg,
    /// The user is known in another org. Moving is for the platform's operator to decide, because
    /// what a user has deployed stays with the org.
    #[error("your token names another org than the one you belong to here: ask the platform's operator")]
    OtherOrg,
    /// Suspended here, whatever the issuer says.
    #[error("your account is suspended: ask an admin of your org")]
    Suspended {
        /// Who.
        user: UserId,
        /// Of which org.
        org: OrgId,
    },
}

impl Caller {
    /// The user.
    #[must_use]
    pub const fn user(&self) -> UserId {
        self.user
    }

    /// Their org.
    #[must_use]
    pub const fn org(&self) -> OrgId {
        self.org
    }

    /// Their org's slug.
    #[must_use]
    pub fn org_slug(&self) -> &str {
        &self.org_slug
    }

    /// Their role, as their token says.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    #[cfg(test)]
    pub(crate) fn for_tests(user: UserId, org: OrgId, role: Role) -> Self {
        Self { user, org, org_slug: "main".to_owned(), role }
    }
}

/// Finds the user of a verified token, or adds them at their first login.
///
/// # Errors
/// When the org is unknown or another one, the user is suspended, or the database fails.
pub async fn resolve(conn: &mut PgConnection, identity: &UserIdentity) -> Result<Caller, Error> {
    let org = db::users::org_of_slug(conn, identity.org_slug()).await?.ok_or(Error::UnknownOrg)?;
    let row = match db::users::find(conn, identity.issuer(), identity.subject()).await? {
        Some(row) => row,
        None => first_login(conn, org, identity).await?,
    };
    if row.org != org {
        return Err(Error::OtherOrg);
    }
    if row.suspended {
        return Err(Error::Suspended { user: row.user, org });
    }
    if row.role != identity.role() {
        db::users::set_role(conn, row.user, identity.role()).await?;
    }
    Ok(Caller { user: row.user, org, org_slug: identity.org_slug().to_owned(), role: identity.role() })
}

/// Two first requests may come at once: one inserts, and both find the one row.
async fn first_login(conn: &mut PgConnection, org: OrgId, identity: &UserIdentity) -> Result<UserRow, Error> {
    let new = NewUser {
        org,
        issuer: identity.issuer(),
        external_id: identity.subject(),
        email: identity.email().filter(|email| email.len() <= 320),
        role: identity.role(),
    };
    db::users::insert(conn, &new).await?;
    let row = db::users::find(conn, identity.issuer(), identity.subject()).await?;
    Ok(row.ok_or_else(|| db::Error::corrupt("a user", "the row that was just inserted is not there"))?)
}
