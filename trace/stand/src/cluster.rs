//! A PostgreSQL of its own: the installed binaries, a fresh folder, a Unix socket, and
//! the durability that production has (`fsync` and `synchronous_commit` on).

use std::{
    os::unix::{fs::chown, process::CommandExt as _},
    process::{Command, Stdio},
};

use anyhow::ensure;
use tempfile::TempDir;
use trace_postgres::{Account, Installation};

/// Runs until it is dropped.
pub struct Cluster {
    folder: TempDir,
    owner: Option<Account>,
    programs: Installation,
}

/// What differs from PostgreSQL's own settings: memory, room for the log between checkpoints, and
/// connections.
const SETTINGS: [(&str, &str); 6] = [
    ("listen_addresses", "''"),
    ("shared_buffers", "512MB"),
    ("max_wal_size", "4GB"),
    ("max_connections", "100"),
    ("track_wal_io_timing", "off"),
    ("log_min_messages", "fatal"),
];

impl Cluster {
    /// Makes and starts one.
    pub fn start() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("trace-stand-pg.").tempdir()?;
        let (owner, programs) = (Account::instead_of_root()?, Installation::newest()?);
        if let Some(Account { uid, gid }) = owner {
            chown(folder.path(), Some(uid.as_raw()), Some(gid.as_raw()))?;
        }
        let cluster = Self { folder, owner, programs };
        let data = cluster.data();
        cluster.run("initdb", &["-D", &data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C"])?;
        let mut options = format!("-k {}", cluster.folder.path().display());
        for (name, value) in SETTINGS {
            options.push_str(&format!(" -c {name}={value}"));
        }
        let log = cluster.folder.path().join("log").display().to_string();
        cluster.run("pg_ctl", &["-D", &data, "-l", &log, "-w", "-s", "-o", &options, "start"])?;
        Ok(cluster)
    }

    /// The address of its database.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://postgres@localhost/postgres?host={}", self.folder.path().display())
    }

    fn data(&self) -> String {
        self.folder.path().join("data").display().to_string()
    }

    fn run(&self, program: &str, arguments: &[&str]) -> anyhow::Result<()> {
        let mut command = Command::new(self.programs.program(program));
        command.args(arguments).current_dir("/").stdin(Stdio::null()).stdout(Stdio::null());
        if let Some(Account { uid, gid }) = self.owner {
            command.uid(uid.as_raw()).gid(gid.as_raw());
        }
        ensure!(command.status()?.success(), "`{program}` failed");
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let data = self.data();
        if let Err(error) = self.run("pg_ctl", &["-D", &data, "-m", "immediate", "-s", "stop"]) {
            eprintln!("PostgreSQL was not stopped: {error:#}");
        }
    }
}
