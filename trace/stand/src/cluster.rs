//! A PostgreSQL of its own: the installed binaries, a fresh folder, a Unix socket, and
//! the durability that production has (`fsync` and `synchronous_commit` on).

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt as _, chown},
        process::CommandExt as _,
    },
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context as _, ensure};
use tempfile::TempDir;

/// Runs until it is dropped.
pub struct Cluster {
    folder: TempDir,
    owner: Option<(u32, u32)>,
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
        let owner = server_user()?;
        if let Some((uid, gid)) = owner {
            chown(folder.path(), Some(uid), Some(gid))?;
        }
        let cluster = Self { folder, owner };
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
        let mut command = Command::new(binary(program)?);
        command.args(arguments).current_dir("/").stdin(Stdio::null()).stdout(Stdio::null());
        if let Some((uid, gid)) = self.owner {
            command.uid(uid).gid(gid);
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

/// PostgreSQL refuses to run as root: then it runs as `postgres`.
fn server_user() -> anyhow::Result<Option<(u32, u32)>> {
    if fs::metadata("/proc/self")?.uid() != 0 {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd")?;
    let line = users.lines().find(|line| line.starts_with("postgres:"));
    let line = line.context("there is no user `postgres`: install PostgreSQL 15 or newer")?;
    let mut numbers = line.split(':').skip(2).map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(uid)), Some(Ok(gid))) => Ok(Some((uid, gid))),
        _ => anyhow::bail!("the user `postgres` has no number"),
    }
}

fn binary(name: &str) -> anyhow::Result<PathBuf> {
    let debian = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = debian.map(|version| version.path().join("bin")).collect();
    folders.sort();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut all = folders.into_iter().rev().chain(std::env::split_paths(&path));
    let found = all.find_map(|folder| Some(folder.join(name)).filter(|file| file.is_file()));
    found.with_context(|| format!("`{name}` is not installed: install PostgreSQL 15 or newer"))
}
