//! A throwaway PostgreSQL from the installed binaries: one cluster for a test run, one database for
//! each test. It goes away with the process that runs the tests.

use std::{
    fs::{self, File},
    os::unix::{
        fs::chown,
        process::{CommandExt, parent_id},
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use trace_postgres::{Account, Installation};

/// The address of a new, empty database.
pub async fn fresh_database() -> String {
    let socket = cluster().display().to_string();
    let name = format!("t_{}", uuid::Uuid::new_v4().simple());
    let url = |database: &str| format!("postgres://postgres@localhost/{database}?host={socket}");
    let mut admin = PgConnection::connect(&url("postgres")).await.unwrap();
    admin.execute(AssertSqlSafe(format!("create database {name}"))).await.unwrap();
    url(&name)
}

/// The folder of the running cluster's socket.
fn cluster() -> &'static Path {
    static CLUSTER: OnceLock<PathBuf> = OnceLock::new();
    CLUSTER.get_or_init(|| {
        // Under nextest every test is a process, and the cluster belongs to the one above them.
        let nextest = std::env::var_os("NEXTEST").is_some();
        let owner = if nextest { parent_id() } else { std::process::id() };
        let dir = std::env::temp_dir().join(format!("trace-test-pg-{owner}"));
        let lock = File::create(dir.with_extension("lock")).unwrap();
        lock.lock().unwrap();
        if !dir.join("ready").exists() {
            start(&dir, owner);
            File::create(dir.join("ready")).unwrap();
        }
        dir
    })
}

fn start(dir: &Path, owner: u32) {
    start_with(dir, owner, "-c listen_addresses=''", |_| {});
}

/// Starts a cluster with these settings, once `prepare` has seen its data. It goes away with `owner`.
pub fn start_with(dir: &Path, owner: u32, settings: &str, prepare: impl FnOnce(&Path)) {
    let _left_over = fs::remove_dir_all(dir);
    fs::create_dir(dir).unwrap();
    let (programs, user) = (Installation::newest().unwrap(), Account::instead_of_root().unwrap());
    if let Some(Account { uid, gid }) = user {
        chown(dir, Some(uid.as_raw()), Some(gid.as_raw())).unwrap();
    }
    let run = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(programs.program(program));
        command.args(arguments).current_dir(dir).stdin(Stdio::null());
        command.stdout(Stdio::null()).stderr(File::create(dir.join(format!("{program}.err"))).unwrap());
        if let Some(Account { uid, gid }) = user {
            command.uid(uid.as_raw()).gid(gid.as_raw());
        }
        let status = command.status().unwrap();
        let said = fs::read_to_string(dir.join(format!("{program}.err"))).unwrap_or_default();
        assert!(status.success(), "{program} failed: {said}");
    };
    let (data, log) = (dir.join("data").display().to_string(), dir.join("log").display().to_string());
    run("initdb", &["-D", &data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]);
    prepare(&dir.join("data"));
    let options = format!(
        "-k {} {settings} -c fsync=off -c max_connections=400 -c shared_buffers=64MB \
         -c wal_level=logical -c max_replication_slots=64",
        dir.display()
    );
    run("pg_ctl", &["-D", &data, "-l", &log, "-w", "-o", &options, "start"]);
    clean_up_after(owner, dir);
}

/// Stops the server and removes the folder once `owner` is gone.
#[expect(clippy::zombie_processes, reason = "it outlives this process, which it waits for")]
fn clean_up_after(owner: u32, dir: &Path) {
    let dir = dir.display();
    let script = format!(
        "tail --pid={owner} -f /dev/null; pid=$(head -n 1 {dir}/data/postmaster.pid) && kill -QUIT $pid; \
         tail --pid=${{pid:-1}} -f /dev/null; rm -rf {dir} {dir}.lock"
    );
    Command::new("sh")
        .args(["-c", &script])
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
}
