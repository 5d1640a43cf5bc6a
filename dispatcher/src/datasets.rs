//! Who may read what. One function decides; an admin's grants and the author of the data are all
//! that it looks at, never the YAML.

use sqlx::PgConnection;
use trace_contracts::{FieldError, Name, OrgId, Role, RunId, UserId, wire::plane::ReadableDataset};

use crate::{
    dag::{DatasetUse, did_you_mean},
    db::{self, datasets::Readable},
    permissions::{Permit, action},
    users::Caller,
};

/// Datasets that one user sees in SQL at most.
const MAX_READABLE: i64 = 10_000;

/// Somebody who wants to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reader {
    /// The user.
    pub user: UserId,
    /// Their role.
    pub role: Role,
}

/// Why a run may not read what it reads.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database failed.
    #[error(transparent)]
    Db(#[from] db::Error),
    /// The trigger or the deployer of a run's DAG may not read a dataset that it reads.
    #[error("{who} may not read the dataset `{dataset}`: ask an admin of your org to grant it to a role")]
    Unreadable {
        /// The dataset.
        dataset: Name,
        /// Which of the two.
        who: &'static str,
    },
}

impl From<&Caller> for Reader {
    fn from(caller: &Caller) -> Self {
        Self { user: caller.user(), role: caller.role() }
    }
}

/// The one rule. Within an org, a dataset version may be read by its admins, by the roles that an
/// admin has granted it to, and by who deployed the DAG version that made it, as long as they may
/// deploy. Only that version: whoever deploys over somebody else's DAG reads what their own code
/// makes, not what is there already. Auditors read no data.
fn may_read(reader: Reader, read_roles: &[Role], deployer: Option<UserId>) -> bool {
    match reader.role {
        Role::Auditor => false,
        Role::Admin => true,
        Role::Reader => read_roles.contains(&Role::Reader),
        role @ (Role::Writer | Role::Operator) => read_roles.contains(&role) || deployer == Some(reader.user),
    }
}

fn may_read_current(reader: Reader, dataset: &Readable) -> bool {
    let deployer = dataset.current.map(|current| current.deployer).or(dataset.deployer);
    may_read(reader, &dataset.read_roles, deployer)
}

/// Every published dataset that a user may query, at its current version.
///
/// # Errors
/// When the database fails.
pub async fn queryable(
    conn: &mut PgConnection,
    permit: &Permit<action::Query>,
) -> Result<Vec<ReadableDataset>, db::Error> {
    let reader = Reader::from(permit.caller());
    let datasets = db::datasets::readable(conn, permit.org(), None, MAX_READABLE).await?;
    let readable = datasets.into_iter().filter(|dataset| may_read_current(reader, dataset));
    Ok(readable
        .filter_map(|dataset| {
            let current = dataset.current?;
            Some(ReadableDataset {
                name: dataset.name,
                dataset: dataset.dataset,
                version: current.version,
                manifest: current.manifest,
            })
        })
        .collect())
}

/// What is wrong with the outside datasets of a DAG that somebody deploys: those that do not exist,
/// and those that its deployer may not read. The two look the same.
///
/// # Errors
/// When the database fails.
pub async fn check_inputs(
    conn: &mut PgConnection,
    org: OrgId,
    reader: Reader,
    uses: &[DatasetUse],
) -> Result<Vec<FieldError>, db::Error> {
    if uses.is_empty() {
        return Ok(Vec::new());
    }
    let datasets = db::datasets::readable(conn, org, None, MAX_READABLE).await?;
    let readable: Vec<&str> = datasets
        .iter()
        .filter(|dataset| may_read_current(reader, dataset))
        .map(|dataset| &*dataset.name)
        .collect();
    Ok(uses
        .iter()
        .filter(|wanted| !readable.contains(&&*wanted.dataset))
        .map(|wanted| {
            let hint = did_you_mean(&wanted.dataset, readable.iter().copied());
            wanted.place.error(format!(
                "there is no dataset `{}` that you may read{hint}: deploy the DAG that publishes it first, or ask \
                 an admin to grant it to your role",
                wanted.dataset
            ))
        })
        .collect())
}

/// Checks what a run has just pinned, in the transaction that pinned it, so that nothing changes in
/// between. Both its trigger and the deployer of its DAG must be able to read it: the one sets it
/// off, the other gets to read what comes out.
///
/// # Errors
/// [`Error::Unreadable`] for the first that is not.
pub async fn check_pins(conn: &mut PgConnection, run: RunId, trigger: Reader) -> Result<(), Error> {
    for pinned in db::datasets::pinned_by(conn, run).await? {
        let triggers = pinned.reader == trigger.user;
        let role = if triggers { trigger.role } else { pinned.reader_role };
        let reader = Reader { user: pinned.reader, role };
        if pinned.reader_suspended || !may_read(reader, &pinned.read_roles, Some(pinned.deployer)) {
            let who = if triggers { "you" } else { "whoever deployed this version of the DAG" };
            return Err(Error::Unreadable { dataset: pinned.name, who });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admins_granted_roles_and_the_deployer_may_read() {
        let (deployer, other) = (UserId::from_db(1), UserId::from_db(2));
        let may =
            |user, role, read_roles: &[Role]| may_read(Reader { user, role }, read_roles, Some(deployer));
        for (role, own, foreign, granted) in [
            (Role::Reader, false, false, true),
            (Role::Writer, true, false, true),
            (Role::Operator, true, false, true),
            (Role::Admin, true, true, true),
            (Role::Auditor, false, false, false),
        ] {
            assert_eq!(may(deployer, role, &[]), own, "{role}, what they deployed");
            assert_eq!(may(other, role, &[]), foreign, "{role}, what others deployed");
            assert_eq!(may(other, role, &[role]), granted, "{role}, what was granted to them");
            for granted in Role::ALL.into_iter().filter(|granted| *granted != role) {
                assert_eq!(may(other, role, &[granted]), foreign, "{role}, what was granted to {granted}");
            }
        }
    }
}
