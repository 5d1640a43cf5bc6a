//! How the state database is reached: what is not of this machine has to prove who it is.

use std::str::FromStr as _;

use serde::Deserialize;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use trace_contracts::Secret;

/// Whether a database on another machine may be used that does not prove who it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnverifiedDatabase {
    /// No: its address has `sslmode=verify-full`.
    #[default]
    Refuse,
    /// Yes: whoever stands on the way can be the database.
    Allow,
}

/// Why an address of a database is not used.
#[derive(Debug, thiserror::Error)]
pub enum Unverifiable {
    /// It is none. What it says is a secret, so it is not shown.
    #[error("`database_url` is no address of PostgreSQL, such as `postgres://USER:PASSWORD@HOST/DATABASE`")]
    Address,
    /// Anybody on the way could be the database.
    #[error(
        "`database_url` leads to {0}, which is another machine and would not prove who it is: add \
         `sslmode=verify-full` to it, and `sslrootcert=FILE` where its authority is not one of the web; or set \
         `unverified_database: allow` where you know who listens on the way"
    )]
    Unverified(String),
}

/// The address, parsed, with what it says of TLS.
pub(crate) fn options(
    url: &Secret<String>,
    unverified: UnverifiedDatabase,
) -> Result<PgConnectOptions, Unverifiable> {
    let options = PgConnectOptions::from_str(url.expose()).map_err(|_| Unverifiable::Address)?;
    let verified = matches!(options.get_ssl_mode(), PgSslMode::VerifyFull);
    if verified || unverified == UnverifiedDatabase::Allow || is_of_this_machine(&options) {
        return Ok(options);
    }
    Err(Unverifiable::Unverified(options.get_host().to_owned()))
}

fn is_of_this_machine(options: &PgConnectOptions) -> bool {
    let host = options.get_host();
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    options.get_socket().is_some()
        || host.starts_with('/')
        || host == "localhost"
        || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str, unverified: UnverifiedDatabase) -> Result<PgConnectOptions, Unverifiable> {
        options(&Secret::new(url.to_owned()), unverified)
    }

    #[test]
    fn another_machine_proves_who_it_is_unless_that_is_waived() {
        for near in [
            "postgres://u:hush@localhost/t",
            "postgres://u:hush@127.0.0.1:5433/t",
            "postgres://u:hush@[::1]/t",
            "postgres://u@localhost/t?host=/run/postgresql",
            "postgres://u@%2Frun%2Fpostgresql/t",
        ] {
            assert!(read(near, UnverifiedDatabase::Refuse).is_ok(), "{near}");
        }
        for mode in ["", "?sslmode=disable", "?sslmode=prefer", "?sslmode=require", "?sslmode=verify-ca"] {
            for host in ["db.example", "10.0.0.1", "localhost.example", "[fd00::1]"] {
                let away = format!("postgres://u:hush@{host}/t{mode}");
                let error = read(&away, UnverifiedDatabase::Refuse).unwrap_err().to_string();
                assert!(error.contains("sslmode=verify-full") && !error.contains("hush"), "{error}");
                assert!(read(&away, UnverifiedDatabase::Allow).is_ok(), "{away}");
            }
        }
        let verified = "postgres://u:hush@db.example/t?sslmode=verify-full&sslrootcert=/ca.pem";
        assert!(read(verified, UnverifiedDatabase::Refuse).is_ok());
    }

    #[test]
    fn what_is_no_address_is_not_shown() {
        let error = read("postgres//hush@nowhere", UnverifiedDatabase::Refuse).unwrap_err().to_string();
        assert!(error.contains("no address") && !error.contains("hush"), "{error}");
    }
}
