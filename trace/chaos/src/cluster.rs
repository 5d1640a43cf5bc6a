//! A PostgreSQL cluster of a run's own, on a disk of its own, with everything on that makes it safe.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::Command,
    str::FromStr as _,
};

use anyhow::{Context as _, ensure};
use sqlx::{Connection as _, PgConnection, postgres::PgConnectOptions};
use trace_postgres::{Account, Installation};

use crate::{
    shim::{Dials, Shim},
    supervise::{Recipe, Supervised},
};

/// The database.
const DATABASE: &str = "postgres";
/// The superuser.
const USER: &str = "postgres";
/// The event log is decoded from here on.
pub const SLOT: &str = "chaos";

/// What every cluster is made of: `initdb` runs once.
#[derive(Debug)]
pub struct Template {
    data: PathBuf,
    password: String,
    account: Option<(u32, u32)>,
    postgres: PathBuf,
}

/// Where a server is.
#[derive(Debug, Clone)]
pub struct Server {
    /// The server itself, not through a proxy.
    pub address: SocketAddr,
    password: String,
}

impl Template {
    /// Runs `initdb` in `folder`.
    ///
    /// # Errors
    /// When PostgreSQL is not installed, or fails.
    pub fn new(folder: &Path) -> anyhow::Result<Self> {
        let programs = Installation::newest()?;
        let account = Account::instead_of_root()?.map(|Account { uid, gid }| (uid.as_raw(), gid.as_raw()));
        let home = folder.join("template");
        fs::create_dir_all(&home)?;
        let password = uuid::Uuid::new_v4().simple().to_string();
        let secret = home.join("password");
        fs::write(&secret, &password)?;
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600))?;
        if let Some((uid, gid)) = account {
            chown(&home, Some(uid), Some(gid))?;
            chown(&secret, Some(uid), Some(gid))?;
        }
        let data = home.join("data");
        let mut command = command(account);
        command.arg(programs.program("initdb")).arg("-D").arg(&data).args([
            "-U",
            USER,
            "-A",
            "scram-sha-256",
            "--pwfile",
        ]);
        command.arg(&secret).args(["-E", "UTF8", "--locale=C", "--no-sync", "--wal-segsize=1"]);
        let output = command.current_dir(&home).output().context("initdb")?;
        ensure!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
        Ok(Self { data, password, account, postgres: programs.program("postgres") })
    }

    /// Starts a server on a fresh copy in `folder`.
    ///
    /// # Errors
    /// When the copy can't be made.
    pub fn start(
        &self,
        folder: &Path,
        port: u16,
        (shim, dials): (&Shim, &Dials),
        log: PathBuf,
    ) -> anyhow::Result<(Server, Supervised)> {
        let data = folder.join("data");
        let copied = Command::new("cp").arg("-a").arg(&self.data).arg(&data).status()?;
        ensure!(copied.success(), "the cluster can't be copied");
        if let Some((uid, gid)) = self.account {
            chown(folder, Some(uid), Some(gid))?;
        }
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let mut command = vec![self.postgres.clone(), "-D".into(), data];
        for setting in settings(port) {
            command.extend(["-c".into(), setting.into()]);
        }
        let recipe = Recipe {
            name: "postgres".to_owned(),
            command,
            environment: shim.environment(dials).into(),
            folder: folder.to_owned(),
            account: self.account,
            log,
        };
        Ok((Server { address, password: self.password.clone() }, Supervised::start(recipe)))
    }
}

fn settings(port: u16) -> Vec<String> {
    [
        "listen_addresses=127.0.0.1",
        "unix_socket_directories=",
        "wal_level=logical",
        "fsync=on",
        "synchronous_commit=on",
        "full_page_writes=on",
        "max_connections=100",
        "shared_buffers=32MB",
        "min_wal_size=2MB",
        "max_wal_size=16MB",
        "checkpoint_timeout=30s",
        "restart_after_crash=on",
        "log_line_prefix=%m [%p] ",
        "log_min_duration_statement=2000",
    ]
    .into_iter()
    .map(ToOwned::to_owned)
    .chain([format!("port={port}")])
    .collect()
}

impl Server {
    /// The address that a client connects to: this server's, or that of a relay to it.
    #[must_use]
    pub fn url(&self, at: SocketAddr) -> String {
        format!("postgres://{USER}:{}@{at}/{DATABASE}?sslmode=disable", self.password)
    }

    /// A connection to the server itself.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn connect(&self) -> anyhow::Result<PgConnection> {
        let options = PgConnectOptions::from_str(&self.url(self.address))?.application_name("trace-chaos");
        Ok(PgConnection::connect_with(&options).await?)
    }
}

fn command(account: Option<(u32, u32)>) -> Command {
    let mut command = Command::new("setpriv");
    if let Some((uid, gid)) = account {
        command.arg(format!("--reuid={uid}")).arg(format!("--regid={gid}")).arg("--clear-groups");
    }
    command.arg("--").env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("LANG", "C.UTF-8");
    command
}
