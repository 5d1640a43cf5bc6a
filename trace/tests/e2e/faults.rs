//! UDFs that misbehave: the attempt fails with the reason, retries as declared, and nothing of it
//! remains.

use std::fs;

use serde_json::Value;

use crate::platform::Platform;

/// Every job fails in its own way. `retries` is 0 but where retrying is the point.
const JOBS: &str = "
  - name: exits
    udf: { language: python, path: exits }
    retries: { max: 1, backoff: 100ms }
  - name: hogs
    udf: { language: python, path: hogs }
    resources: { memory: 64MiB, disk: 16MiB }
    retries: { max: 0 }
  - name: sleeps
    udf: { language: python, path: sleeps }
    timeout: 3s
    retries: { max: 0 }
  - name: forks
    udf: { language: python, path: forks }
    timeout: 20s
    retries: { max: 0 }
  - name: fills
    udf: { language: python, path: fills }
    resources: { memory: 256MiB, disk: 16MiB }
    retries: { max: 0 }
  - name: links
    udf: { language: python, path: links }
    retries: { max: 0 }
";

const UDFS: [(&str, &str); 6] = [
    ("exits", "import sys\nprint('about to fail')\nprint('no such luck', file=sys.stderr)\nsys.exit(3)\n"),
    ("hogs", "kept = []\nwhile True:\n    kept.append(bytearray(1 << 20))\n"),
    (
        "sleeps",
        "import signal\nfor s in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):\n    signal.signal(s, signal.SIG_IGN)\nwhile True:\n    signal.pause()\n",
    ),
    (
        "forks",
        "import os, signal\nchildren = 0\ntry:\n    while True:\n        if os.fork() == 0:\n            signal.pause()\n        children += 1\nexcept BlockingIOError:\n    raise SystemExit(f'stopped after {children}')\n",
    ),
    ("fills", "with open('/out/big', 'wb') as f:\n    while True:\n        f.write(bytes(1 << 20))\n"),
    ("links", "import os\nos.symlink('/etc/passwd', '/out/part-0.parquet')\n"),
];

#[test]
fn each_attempt_fails_with_its_reason_and_leaves_nothing() {
    let platform = Platform::start();
    platform.deploy_python("faults", JOBS, &UDFS);
    let output = platform.trace(&["trigger", "faults", "--wait", "--json"]);
    assert_eq!(output.status.code(), Some(1), "a task died: {}", crate::platform::stderr(&output));
    let run: Value = serde_json::from_slice(&output.stdout).unwrap();
    let tasks = platform.json(&["tasks", run["run"].as_str().unwrap(), "--json"]);
    let tasks = tasks.as_array().unwrap();
    assert_eq!(tasks.len(), 6);

    for (job, reason, attempts) in [
        ("exits", "exit", 2),
        ("hogs", "memory", 1),
        ("sleeps", "timeout", 1),
        ("forks", "processes", 1),
        ("fills", "disk", 1),
        ("links", "output", 1),
    ] {
        let task = tasks.iter().find(|task| task["job"] == job).unwrap();
        assert_eq!(task["state"], "dead", "{task}");
        let tried = task["attempts"].as_array().unwrap();
        assert_eq!(tried.len(), attempts, "{task}");
        assert!(tried.iter().all(|attempt| attempt["outcome"] == reason), "{job}: {task}");
    }

    let exits = tasks.iter().find(|task| task["job"] == "exits").unwrap();
    let log = platform.trace(&["logs", exits["task"].as_str().unwrap()]);
    assert!(String::from_utf8_lossy(&log.stdout).contains("no such luck"));
    assert_eq!(platform.json(&["dead-letters", "--json"]).as_array().unwrap().len(), 6);
    nothing_remains(&platform);
}

#[test]
fn a_flood_of_output_is_capped_and_hurts_nobody() {
    let platform = Platform::start();
    let floods = "import os\nline = b'x' * 1023 + b'\\n'\nblock = line * 1024\nfor _ in range(1024):\n    os.write(1, block)\n";
    platform.deploy_python(
        "flood",
        "  - name: floods\n    udf: { language: python, path: floods }\n    timeout: 120s\n",
        &[("floods", floods)],
    );
    let run = platform.json(&["trigger", "flood", "--wait", "--json"]);
    let tasks = platform.json(&["tasks", run["run"].as_str().unwrap(), "--json"]);
    let log = platform.trace(&["logs", tasks[0]["task"].as_str().unwrap()]).stdout;
    let log = String::from_utf8_lossy(&log);
    assert!(log.len() < 2 << 20, "{} bytes of a gigabyte were kept", log.len());
    assert!(log.contains("truncated"), "and the log says so: …{}", &log[log.len().saturating_sub(400)..]);
    nothing_remains(&platform);
}

/// No process of a task, no file of one in the worker's folder, no cgroup of this platform.
fn nothing_remains(platform: &Platform) {
    // A sandbox that waits for its first task shows no folder of one.
    let mut children = descendants(platform.pid());
    children.retain(|(pid, _)| {
        fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default().contains(" /task/")
    });
    assert_eq!(children, [], "processes of tasks outlived them");

    let attempts = platform.data().join("worker/attempts");
    let left: Vec<_> = fs::read_dir(&attempts)
        .map(|entries| entries.map(|entry| entry.unwrap().path()).collect())
        .unwrap_or_default();
    assert!(left.is_empty(), "files of attempts are left: {left:?}");

    let mounts = fs::read_to_string(format!("/proc/{}/mounts", platform.pid())).unwrap();
    let ours = platform.data().display().to_string();
    assert!(!mounts.contains(&ours), "mounts are left: {mounts}");
}

/// Every process below one, with its command line.
fn descendants(root: u32) -> Vec<(u32, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        if ancestors(pid).contains(&root) {
            let command = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            found.push((pid, command.replace('\0', " ")));
        }
    }
    found
}

fn ancestors(mut pid: u32) -> Vec<u32> {
    let mut chain = Vec::new();
    while let Some(parent) = parent(pid).filter(|parent| *parent > 0) {
        chain.push(parent);
        pid = parent;
    }
    chain
}

fn parent(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}
