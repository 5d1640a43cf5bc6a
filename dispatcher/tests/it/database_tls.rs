//! TLS towards PostgreSQL, with a real one that has `ssl=on` and takes nothing else by TCP.

use std::error::Error as _;

use trace_dispatcher::{Config, Error, open_database};

use crate::support::{
    authority::Authority,
    program::{Lines, Setting},
    tls_postgres::TlsCluster,
};

struct Case {
    setting: Setting,
    cluster: TlsCluster,
    authority: Authority,
}

impl Case {
    fn new() -> Self {
        let authority = Authority::new();
        let pair = authority.pair("localhost");
        let cluster = TlsCluster::start(&pair.certificate, &pair.key);
        Self { setting: Setting::new(), cluster, authority }
    }

    fn config(&self, database_url: &str) -> Config {
        let lines = Lines { database_url, object_store: "", more: "database_connections: 2\n" };
        Config::read(&self.setting.write(&lines)).unwrap()
    }

    async fn open(&self, host: &str, parameters: &str) -> Result<sqlx::PgPool, Error> {
        let url = format!("postgres://postgres@{host}:{}/postgres?{parameters}", self.cluster.port);
        open_database(&self.config(&url)).await
    }
}

fn refused(opened: Result<sqlx::PgPool, Error>) -> (Error, String) {
    let error = opened.unwrap_err();
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        said = format!("{said}: {inner}");
        cause = inner.source();
    }
    (error, said)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_is_used_if_it_proves_who_it_is() {
    let case = Case::new();
    let folder = case.setting.folder.path();
    let ca = format!("sslmode=verify-full&sslrootcert={}", case.authority.file(folder).display());
    let db = case.open("localhost", &ca).await.unwrap();
    let version: String =
        sqlx::query_scalar("select version from pg_stat_ssl where pid = pg_backend_pid() and ssl")
            .fetch_one(&db)
            .await
            .unwrap();
    assert!(["TLSv1.2", "TLSv1.3"].contains(&version.as_str()), "{version}");

    // Its certificate is for `localhost`.
    let (error, said) = refused(case.open("127.0.0.1", &ca).await);
    assert!(
        matches!(error, Error::DatabaseIdentity(_)) && said.contains("NotValidForName")
            || said.contains("not valid for name"),
        "{said}"
    );

    let other = tempfile::tempdir().unwrap();
    let other = Authority::new().file(other.path()).display().to_string();
    for unbelieved in [format!("sslmode=verify-full&sslrootcert={other}"), "sslmode=verify-full".to_owned()] {
        let (error, said) = refused(case.open("localhost", &unbelieved).await);
        assert!(matches!(error, Error::DatabaseIdentity(_)), "{said}");
        assert!(said.contains("check `sslmode` and `sslrootcert`"), "{said}");
    }

    // It takes nothing without TLS.
    let (error, said) = refused(case.open("localhost", "sslmode=disable").await);
    assert!(matches!(error, Error::Database(_)) && said.contains("no encryption"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_without_tls_is_refused_where_tls_is_asked_for() {
    let case = Case::new();
    // On its socket it speaks none.
    let socket = case.cluster.socket.display();
    let at = |mode: &str| {
        let port = case.cluster.port;
        format!("postgres://postgres@localhost:{port}/postgres?host={socket}&sslmode={mode}")
    };
    for mode in ["require", "verify-full"] {
        let (error, said) = refused(open_database(&case.config(&at(mode))).await);
        assert!(
            matches!(error, Error::DatabaseIdentity(_)) && said.contains("does not support TLS"),
            "{said}"
        );
    }
    open_database(&case.config(&at("prefer"))).await.unwrap();
}
