//! The private PostgreSQL, with the real binaries.

use std::{
    collections::HashSet,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, geteuid},
};
use sqlx::{Connection, PgConnection, Row};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
    time::{interval, timeout},
};
use trace::embedded::postgres::{EmbeddedPostgres, Error};

const LONG: Duration = Duration::from_secs(60);

/// A data folder deeper than a socket's path may be, below folders that only this user can enter.
fn data_dir() -> (TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let deep = root.path().join("a-rather-long-name".repeat(4)).join("and-another-one".repeat(6));
    std::fs::create_dir_all(&deep).unwrap();
    (root, deep)
}

async fn start(data_dir: &Path) -> EmbeddedPostgres {
    timeout(LONG, EmbeddedPostgres::start(data_dir)).await.unwrap().unwrap()
}

async fn connect(postgres: &EmbeddedPostgres) -> PgConnection {
    PgConnection::connect_with(&postgres.connect_options()).await.unwrap()
}

async fn show(connection: &mut PgConnection, setting: &str) -> String {
    let query = sqlx::query("select current_setting($1)").bind(setting);
    query.fetch_one(connection).await.unwrap().get(0)
}

fn socket_folder(postgres: &EmbeddedPostgres) -> PathBuf {
    postgres.connect_options().get_socket().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_what_was_committed_and_is_closed_to_everyone_else() {
    let (_root, data) = data_dir();
    let postgres = start(&data).await;
    let mut connection = connect(&postgres).await;
    let row = sqlx::query("select current_user::text, current_database()::text, rolsuper from pg_roles where rolname = current_user")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(
        (row.get::<String, _>(0), row.get::<String, _>(1)),
        ("trace".to_owned(), "trace_state".to_owned())
    );
    assert!(!row.get::<bool, _>(2), "the platform's role is no superuser");
    for (setting, value) in [
        ("listen_addresses", ""),
        ("fsync", "on"),
        ("full_page_writes", "on"),
        ("synchronous_commit", "on"),
        ("data_checksums", "on"),
    ] {
        assert_eq!(show(&mut connection, setting).await, value, "{setting}");
    }
    assert_no_tcp(postgres.process_id().unwrap());
    let cluster = std::fs::metadata(data.join("postgres/data")).unwrap();
    let socket = socket_folder(&postgres);
    let folder = std::fs::metadata(&socket).unwrap();
    assert_eq!((cluster.permissions().mode() & 0o777, folder.permissions().mode() & 0o777), (0o700, 0o700));
    assert_ne!(cluster.uid(), 0, "it does not run as root");
    sqlx::query("create table kept (n int)").execute(&mut connection).await.unwrap();
    sqlx::query("insert into kept values (7)").execute(&mut connection).await.unwrap();
    timeout(LONG, postgres.stop()).await.unwrap();
    assert!(connection.ping().await.is_err(), "a fast shutdown ends sessions");
    assert!(!socket.exists());
    assert!(!data.join("postgres/data/postmaster.pid").exists());

    let again = start(&data).await;
    let mut connection = connect(&again).await;
    let kept: i32 = sqlx::query("select n from kept").fetch_one(&mut connection).await.unwrap().get(0);
    assert_eq!(kept, 7);
    drop(connection);
    drop(again);
    // A drop does not wait, and the next start does.
    timeout(LONG, start(&data).await.stop()).await.unwrap();
}

/// No descriptor of the process is a listening TCP socket.
fn assert_no_tcp(pid: i32) {
    let mut sockets = HashSet::new();
    for entry in std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap() {
        let target = std::fs::read_link(entry.unwrap().path()).unwrap_or_default();
        let target = target.to_string_lossy().into_owned();
        sockets.extend(target.strip_prefix("socket:[").map(|inode| inode.trim_end_matches(']').to_owned()));
    }
    assert!(!sockets.is_empty(), "it has at least its Unix socket");
    for table in ["tcp", "tcp6"] {
        let text = std::fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
        for line in text.lines().skip(1) {
            let inode = line.split_whitespace().nth(9).unwrap_or_default();
            assert!(!sockets.contains(inode), "it listens on TCP: {line}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_users_are_refused() {
    let (_root, data) = data_dir();
    let postgres = start(&data).await;
    let socket = socket_folder(&postgres);
    let owner = std::fs::metadata(&socket).unwrap().uid();
    let hba = std::fs::read_to_string(data.join("postgres/data/pg_hba.conf")).unwrap();
    assert_eq!(hba, "local all trace peer map=platform\n");
    if geteuid().is_root() {
        // The server's own user can reach the socket and is no one to the server; others can't even reach it.
        for (uid, expected) in [(owner, "Peer authentication failed"), (54_321, "Permission denied")] {
            let said = psql_as(uid, &socket, "trace").await;
            assert!(said.contains(expected), "{uid}: {said}");
        }
    } else {
        assert_eq!(owner, geteuid().as_raw(), "no other user can enter the socket's folder");
    }
    for role in ["trace_owner", "postgres"] {
        let options = postgres.connect_options().username(role);
        assert!(PgConnection::connect_with(&options).await.is_err(), "{role} can't connect");
    }
    timeout(LONG, postgres.stop()).await.unwrap();
}

/// What `psql` says when this user tries.
async fn psql_as(uid: u32, socket: &Path, role: &str) -> String {
    let output = Command::new("setpriv")
        .args([&format!("--reuid={uid}"), "--regid=54321", "--clear-groups", "--", "psql", "-X", "-h"])
        .arg(socket)
        .args(["-U", role, "-c", "select 1", "trace_state"])
        .current_dir("/")
        .output()
        .await
        .expect("this test needs `setpriv` (util-linux) and `psql` (postgresql-client)");
    assert!(!output.status.success(), "user {uid} must be refused");
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_is_noticed_and_recovers_at_the_next_start() {
    let (_root, data) = data_dir();
    let postgres = start(&data).await;
    let mut connection = connect(&postgres).await;
    sqlx::query("create table kept (n int)").execute(&mut connection).await.unwrap();
    sqlx::query("insert into kept select generate_series(1, 1000)").execute(&mut connection).await.unwrap();
    kill(Pid::from_raw(postgres.process_id().unwrap()), Signal::SIGKILL).unwrap();
    let status = timeout(LONG, postgres.ended()).await.expect("the end is noticed");
    assert!(status.contains('9'), "{status}");
    assert_eq!(postgres.process_id(), None);
    assert!(data.join("postgres/data/postmaster.pid").exists(), "a killed server leaves its pid file");
    drop(postgres);
    let again = start(&data).await;
    let kept: i64 =
        sqlx::query("select count(*) from kept").fetch_one(&mut connect(&again).await).await.unwrap().get(0);
    assert_eq!(kept, 1000);
    timeout(LONG, again.stop()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_start_on_the_same_folder_is_refused() {
    let (_root, data) = data_dir();
    let postgres = start(&data).await;
    let second = EmbeddedPostgres::start(&data).await;
    let Err(error) = second else { panic!("two servers on one folder") };
    assert!(matches!(error, Error::InUse(_)), "{error}");
    assert!(error.to_string().contains("--data-dir"), "{error}");
    timeout(LONG, postgres.stop()).await.unwrap();
}

/// Set in the process that the next test starts from itself.
const CHILD: &str = "TRACE_TEST_POSTGRES_DATA_DIR";

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_with_the_process_that_started_it() {
    if let Some(data) = std::env::var_os(CHILD) {
        let postgres = start(Path::new(&data)).await;
        println!("server {}", postgres.process_id().unwrap());
        postgres.ended().await;
        return;
    }
    let (_root, data) = data_dir();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "embedded::postgres::it_ends_with_the_process_that_started_it", "--nocapture"])
        .env(CHILD, &data)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let server = loop {
        let line = timeout(LONG, lines.next_line()).await.unwrap().unwrap().expect("the server starts");
        if let Some((_, server)) = line.split_once("server ") {
            break server.trim().parse::<i32>().unwrap();
        }
    };
    let socket = PathBuf::from(std::fs::read_to_string(data.join("postgres/socket")).unwrap());
    child.kill().await.unwrap();
    let gone = async {
        let mut again = interval(Duration::from_millis(20));
        while Path::new(&format!("/proc/{server}")).exists() {
            again.tick().await;
        }
    };
    timeout(LONG, gone).await.expect("the server ends with its parent");
    let again = start(&data).await;
    assert!(!socket.exists(), "the old socket's folder is removed");
    timeout(LONG, again.stop()).await.unwrap();
}

/// A server that is still shutting down is waited for.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_waits_for_a_server_that_is_stopping() {
    let (_root, data) = data_dir();
    let postgres = start(&data).await;
    let old = postgres.process_id().unwrap();
    drop(postgres);
    let again = start(&data).await;
    assert!(!Path::new(&format!("/proc/{old}")).exists());
    assert_ne!(again.process_id(), Some(old));
    timeout(LONG, again.stop()).await.unwrap();
}
