//! A throwaway PostgreSQL that takes connections with TLS alone.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
};

use trace_postgres::Account;

use super::postgres::start_with;

/// A cluster of its own, on a port of loopback that takes connections with TLS alone. It goes away with the process
/// that runs the tests.
pub struct TlsCluster {
    /// The folder of its socket, where it takes connections without TLS, too.
    pub socket: PathBuf,
    /// The port, for `localhost` and `127.0.0.1`.
    pub port: u16,
}

impl TlsCluster {
    /// Starts one that shows this certificate, both in PEM.
    pub fn start(certificate: &str, key: &str) -> Self {
        let socket = std::env::temp_dir().join(format!("trace-test-tls-{}", uuid::Uuid::new_v4().simple()));
        let port = trace_ports::reserve();
        let settings = format!("-c listen_addresses=127.0.0.1 -c port={port} -c ssl=on");
        start_with(&socket, std::process::id(), &settings, |data| {
            for (name, content) in [("server.crt", certificate), ("server.key", key)] {
                private_file(&data.join(name), content);
            }
            let hba = "local all all trust\nhostssl all all 127.0.0.1/32 trust\n";
            private_file(&data.join("pg_hba.conf"), hba);
        });
        Self { socket, port }
    }
}

/// Writes a file that PostgreSQL alone can read.
fn private_file(path: &Path, content: &str) {
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    if let Some(Account { uid, gid }) = Account::instead_of_root().unwrap() {
        chown(path, Some(uid.as_raw()), Some(gid.as_raw())).unwrap();
    }
}
