//! Secrets of built-in operators: where they are kept, and what of them an attempt is given.
//!
//! A DAG names secrets, and nothing but names goes through dispatcher, database and wake-ups. The wrapper reads the
//! values when it launches the operator, and masks them in whatever the operator prints. Functions of users have none:
//! their [`Code`](trace_contracts::wire::worker::Code) has no place for a name.

mod folder;
mod manager;
mod masks;
mod value;

use async_trait::async_trait;
use serde::Deserialize;
use trace_contracts::{Name, OrgId, Secret};

pub use folder::{Folder, NotPrivate};
pub use manager::{Config as ManagerConfig, SecretsManager};
pub use masks::masks;
pub use value::Unusable;

/// Where secrets are kept.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Nowhere: an operator that declares one does not run here.
    #[default]
    None,
    /// In a folder of this machine, as `ORG/NAME`; see [`Folder`].
    Folder(std::path::PathBuf),
    /// In AWS Secrets Manager, as `/ENVIRONMENT/ORG/NAME`.
    SecretsManager(Box<ManagerConfig>),
}

impl Source {
    /// Whoever reads them.
    ///
    /// # Errors
    /// When the folder is not private to this program.
    pub fn open(&self) -> Result<Box<dyn SecretStore>, NotPrivate> {
        Ok(match self {
            Self::None => Box::new(Nowhere),
            Self::Folder(path) => Box::new(Folder::open(path.clone())?),
            Self::SecretsManager(config) => Box::new(SecretsManager::new(config)),
        })
    }
}

/// Reads secrets.
#[async_trait]
pub trait SecretStore: Send + Sync {
    /// The value of one secret of an org.
    ///
    /// # Errors
    /// See [`Error`].
    async fn value(&self, org: OrgId, name: &Name) -> Result<Secret<String>, Error>;
}

/// Why an attempt is not given a secret. Whoever reads a task's failure is told this; what the store itself said is in
/// the worker's log, because it names identities and accounts.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It will not be there by waiting.
    #[error("the secret `{name}` {why}")]
    Unavailable {
        /// Its name.
        name: Name,
        /// Why, and what to do.
        why: String,
    },
    /// The store is away or busy: the same may succeed elsewhere, or later.
    #[error("the secret `{name}` can't be read now: {why}")]
    Away {
        /// Its name.
        name: Name,
        /// Which service, and what to do.
        why: String,
    },
}

impl Error {
    pub(crate) fn unavailable(name: &Name, why: impl ToString) -> Self {
        Self::Unavailable { name: name.clone(), why: why.to_string() }
    }

    pub(crate) fn away(name: &Name, why: impl ToString) -> Self {
        Self::Away { name: name.clone(), why: why.to_string() }
    }
}

/// With an operator's settings and its token they have to fit an environment.
const MAX_BYTES_TOGETHER: usize = 64 * 1024;

/// The variable that an operator finds a secret in.
#[must_use]
pub fn variable(name: &Name) -> String {
    format!("TRACE_SECRET_{}", name.to_ascii_uppercase())
}

/// The values of all of these, in their order.
///
/// # Errors
/// Of the first that can't be read.
pub async fn values(
    store: &dyn SecretStore,
    org: OrgId,
    names: &[Name],
) -> Result<Vec<(Name, Secret<String>)>, Error> {
    let mut values = Vec::with_capacity(names.len());
    let mut room = MAX_BYTES_TOGETHER;
    for name in names {
        let value = store.value(org, name).await?;
        let left = room.checked_sub(value.expose().len());
        room = left
            .ok_or_else(|| Error::unavailable(name, "and those before it have more than 64 KiB together"))?;
        values.push((name.clone(), value));
    }
    Ok(values)
}

/// No secrets here.
struct Nowhere;

#[async_trait]
impl SecretStore for Nowhere {
    async fn value(&self, _org: OrgId, name: &Name) -> Result<Secret<String>, Error> {
        let why = "is not offered: this worker has no secret store; an operator of the platform sets `secrets` in its \
                   configuration";
        Err(Error::unavailable(name, why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_a_variable_of_its_own() {
        let variable = |name: &str| variable(&name.parse().unwrap());
        assert_eq!(variable("warehouse_password"), "TRACE_SECRET_WAREHOUSE_PASSWORD");
        assert_eq!(variable("a1"), "TRACE_SECRET_A1");
    }

    #[test]
    fn a_source_is_written_in_one_way() {
        let read = |text: &str| serde_json::from_str::<Source>(text);
        assert!(matches!(read(r#""none""#), Ok(Source::None)));
        assert!(matches!(read(r#"{"folder": "/etc/trace/secrets"}"#), Ok(Source::Folder(_))));
        let manager = r#"{"secrets_manager": {"aws": {"region": "eu-central-1"}, "environment": "dev"}}"#;
        assert!(matches!(read(manager), Ok(Source::SecretsManager(_))));
        for bad in [
            r#""folder""#,
            r#"{"folder": "/x", "secrets_manager": {}}"#,
            r#"{"secrets_manager": {"aws": {"region": "x"}}}"#,
            r#"{"secrets_manager": {"aws": {"region": "x"}, "environment": "dev/../prod"}}"#,
            r#"{"secrets_manager": {"aws": {"region": "x"}, "environment": "dev", "cache_seconds": 86400}}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    /// The same value for every name.
    struct Always(usize);

    #[async_trait]
    impl SecretStore for Always {
        async fn value(&self, _org: OrgId, _name: &Name) -> Result<Secret<String>, Error> {
            Ok(Secret::new("x".repeat(self.0)))
        }
    }

    #[tokio::test]
    async fn an_environment_has_room_for_so_much() {
        let names: Vec<Name> = (0..5).map(|n| format!("s{n}").parse().unwrap()).collect();
        let all = values(&Always(16 << 10), OrgId::from_db(1), &names[..4]).await.unwrap();
        assert_eq!(all.len(), 4);
        let refused = values(&Always(16 << 10), OrgId::from_db(1), &names).await.unwrap_err();
        assert!(refused.to_string().contains("`s4`") && refused.to_string().contains("64 KiB"), "{refused}");
    }

    #[tokio::test]
    async fn a_worker_without_a_store_says_what_to_do() {
        let store = Source::None.open().unwrap();
        let refused = values(&*store, OrgId::from_db(1), &["warehouse".parse().unwrap()]).await.unwrap_err();
        assert!(
            refused.to_string().contains("`warehouse`") && refused.to_string().contains("sets `secrets`")
        );
    }
}
