//! `trace up` as a program, with everything that it brings along, and the commands against it.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path, process::Stdio, time::Duration};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Child,
    time::timeout,
};

use crate::platform::{Ran, command, run};

/// More than a first start takes on a slow machine.
const START: Duration = Duration::from_secs(120);
const STOP: Duration = Duration::from_secs(60);

struct Up {
    child: Child,
    folder: tempfile::TempDir,
}

impl Up {
    /// Starts a platform in a folder of its own, and waits until it says that it is ready.
    async fn start(folder: tempfile::TempDir) -> Self {
        let path = path_variable();
        let arguments =
            ["up", "--data-dir", "data", "--listen", "127.0.0.1:0", "--org", "main", "--org", "rival"];
        let mut child =
            command(&arguments, &[("PATH", &path)], folder.path()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = timeout(START, lines.next_line()).await.expect("it is ready in time").unwrap();
        let line = line.expect("it says `ready` before it ends");
        assert!(line.starts_with("ready http://127.0.0.1:"), "{line}");
        Self { child, folder }
    }

    async fn trace(&self, arguments: &[&str]) -> Ran {
        let path = path_variable();
        run(arguments, &[("TRACE_DATA_DIR", "data"), ("PATH", &path)], self.folder.path()).await
    }

    /// Interrupts it, and gives the folder back.
    async fn stop(mut self) -> tempfile::TempDir {
        let pid = Pid::from_raw(i32::try_from(self.child.id().unwrap()).unwrap());
        kill(pid, Signal::SIGINT).unwrap();
        let status = timeout(STOP, self.child.wait()).await.expect("it stops in time").unwrap();
        assert!(status.success(), "{status}");
        self.folder
    }
}

#[expect(clippy::disallowed_methods, reason = "PostgreSQL and Python are found on the search path")]
fn path_variable() -> String {
    std::env::var("PATH").unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o777
}

#[tokio::test]
async fn a_platform_starts_runs_a_dag_stops_and_starts_again() {
    let up = Up::start(tempfile::tempdir().unwrap()).await;
    let data = up.folder.path().join("data");
    assert_eq!(mode(&data), 0o700);
    assert_eq!(mode(&data.join("connection.json")), 0o600);
    assert_eq!(mode(&data.join("tokens/rival-admin.jwt")), 0o600);

    let second = up.trace(&["up", "--listen", "127.0.0.1:0"]).await.ended_with(5);
    assert!(second.stderr.contains("another `trace up` runs"), "{}", second.stderr);

    up.trace(&["init", "hello"]).await.ended_with(0);
    up.trace(&["init", "hello"]).await.ended_with(2);
    let deployed = up.trace(&["deploy", "hello/dag.yaml", "--json"]).await.ended_with(0).document();
    assert_eq!(deployed["created"], true);
    let again = up.trace(&["deploy", "hello/dag.yaml", "--json"]).await.ended_with(0).document();
    assert_eq!((&again["created"], &again["version"]), (&false.into(), &deployed["version"]));

    let ended = up.trace(&["trigger", "hello", "--wait", "--json"]).await.ended_with(0).document();
    assert_eq!(ended["tasks"]["succeeded"], 2);
    let csv = up.trace(&["query", "SELECT * FROM hello ORDER BY total DESC", "--format", "csv"]).await;
    assert_eq!(csv.ended_with(0).text(), "customer,orders,total\nada,3,21.0\ngrace,2,5.0\nalan,1,4.0\n");
    let log = up.trace(&["logs", "t1.0", "--follow"]).await.ended_with(0);
    assert!(log.text().contains("kept 6 of 6 rows"), "{log:?}");

    let rival = fs::read_to_string(data.join("tokens/rival-admin.jwt")).unwrap();
    let token = up.trace(&["token", "inspect", &rival, "--json"]).await.ended_with(0).document();
    assert_eq!(token["verification"]["verdict"], "verified");
    let forged = format!("{}AAAA", &rival[..rival.len() - 4]);
    up.trace(&["token", "inspect", &forged]).await.ended_with(1);

    let folder = up.stop().await;
    assert!(!data.join("connection.json").exists());
    let up = Up::start(folder).await;
    let runs = up.trace(&["runs", "--json"]).await.ended_with(0).document();
    assert_eq!(runs[0]["state"], "succeeded");
    up.stop().await;
}

#[tokio::test]
async fn a_udf_is_tried_without_a_platform() {
    let folder = tempfile::tempdir().unwrap();
    let path = path_variable();
    let trace = async |arguments: &[&str]| run(arguments, &[("PATH", &path)], folder.path()).await;
    trace(&["init", "hello"]).await.ended_with(0);

    let arguments = ["udf", "test", "hello/udfs/totals", "--input", "orders=hello/data/orders.csv", "--json"];
    let document = trace(&arguments).await.ended_with(0).document();
    assert_eq!(document["outcome"], "succeeded");
    assert_eq!(document["outputs"][0]["rows"][0], serde_json::json!(["ada", 3, 21.0]));

    fs::write(folder.path().join("hello/udfs/totals/main.py"), "print('hi')\nraise SystemExit(3)\n").unwrap();
    let failed = trace(&["udf", "test", "hello/udfs/totals/main.py"]).await.ended_with(1);
    assert!(failed.stderr.starts_with("out   hi\n"), "{}", failed.stderr);
    assert!(
        failed.stderr.contains("error: the UDF failed (exit): exited with status 3"),
        "{}",
        failed.stderr
    );
}
