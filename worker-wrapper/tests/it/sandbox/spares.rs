//! Sandboxes that are prepared ahead: each is one attempt's alone, and none is left behind.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use serde_json::{Value, json};
use tokio::io::AsyncBufReadExt;
use trace_worker_wrapper::sandbox::{Exit, Program, Sandbox, SandboxConfig};

use super::kit::{
    Running, Task, alone, groups_of, no_op, readable_folder, run_in, sandbox, sandbox_with_spares, until,
};

/// Says which sandbox it is in, and stays there.
const INTRODUCTION: &str = "
import time
spaces = {kind: os.stat('/proc/self/ns/' + kind).st_ino for kind in ('user', 'mnt', 'pid', 'net', 'ipc', 'uts', 'cgroup')}
outside = int(open('/proc/self/uid_map').read().split()[1])
print(json.dumps({'outside': outside, **spaces}), flush=True)
time.sleep(1000)";

async fn first_line(running: &mut Running) -> Value {
    let mut line = String::new();
    tokio::io::BufReader::new(&mut running.confined.stdout).read_line(&mut line).await.unwrap();
    serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}"))
}

#[tokio::test]
async fn two_attempts_never_share_a_sandbox() {
    let _alone = alone().await;
    for _ in 0..3 {
        sandbox().await.prepare(&Task::python("").ahead()).await.unwrap();
    }
    let prepared = processes_of(std::process::id());
    assert_eq!(prepared.len(), 3);
    // The fourth finds none that waits. All live at the same time, so that no number is used again.
    let mut running = Vec::new();
    for _ in 0..4 {
        running.push(Task::python(INTRODUCTION).start().await);
    }
    let mut seen: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    for task in &mut running {
        for (name, value) in first_line(task).await.as_object().unwrap() {
            seen.entry(name.clone()).or_default().insert(value.as_u64().unwrap());
        }
    }
    assert_eq!(seen.len(), 8);
    for (name, values) in seen {
        assert_eq!(values.len(), 4, "{name}: {values:?}");
    }
    let used = processes_of(std::process::id());
    assert_eq!(used.len(), 4);
    assert!(used.is_superset(&prepared), "those that waited were taken: {prepared:?} {used:?}");
    drop(running);
    until("the end of all", || groups_of(std::process::id()).is_empty()).await;
}

#[tokio::test]
async fn a_kind_is_prepared_once_it_was_used_and_everything_goes_with_the_sandbox() {
    let _alone = alone().await;
    let me = std::process::id();
    let sandbox = sandbox_with_spares(2).await;
    assert!(groups_of(me).is_empty(), "nothing was launched yet");
    let finished = run_in(&sandbox, Task::executable(&no_op())).await;
    assert_eq!(finished.exit, Exit::Success, "{}", finished.stderr);
    until("two that wait", || processes_of(me).len() == 2).await;
    let waiting = processes_of(me);
    let names: BTreeSet<_> = waiting.iter().map(|pid| argument(*pid, 1)).collect();
    assert!(!names.contains("/trace/start.py"), "no interpreter was asked for: {names:?}");

    let mut running = Task::python(INTRODUCTION).start_in(&sandbox).await;
    first_line(&mut running).await;
    until("two more that wait, and the one that runs", || processes_of(me).len() == 5).await;
    assert!(processes_of(me).is_superset(&waiting));
    drop((running, sandbox));
    assert!(processes_of(me).is_empty() && groups_of(me).is_empty(), "what waited has gone with it");
}

/// Not a test: the wrapper that the next test kills.
#[tokio::test]
#[ignore = "started by the test after it"]
async fn wrapper_that_prepares_and_is_killed() {
    let sandbox = sandbox_with_spares(2).await;
    for task in [Task::executable(&no_op()), Task::python("")] {
        run_in(&sandbox, task).await;
    }
    until("four that wait", || processes_of(std::process::id()).len() == 4).await;
    println!("prepared");
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

#[tokio::test]
async fn a_killed_wrapper_leaves_none_that_waits() {
    let _alone = alone().await;
    let folder = readable_folder();
    let mut wrapper = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "sandbox::spares::wrapper_that_prepares_and_is_killed", "--nocapture"])
        .env("TMPDIR", folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(wrapper.stdout.take().unwrap()));
    assert!(lines.any(|line| line.is_ok_and(|line| line.ends_with("prepared"))), "it must prepare some");
    let pid = wrapper.id();
    assert_eq!(processes_of(pid).len(), 4);
    wrapper.kill().unwrap();
    wrapper.wait().unwrap();
    until("the end of what waited", || processes_of(pid).is_empty()).await;
    Sandbox::probe(SandboxConfig::default()).await.unwrap();
    assert_eq!(groups_of(pid), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn one_that_has_died_is_not_taken() {
    let _alone = alone().await;
    sandbox().await.prepare(&Task::python("").ahead()).await.unwrap();
    let [pid] = processes_of(std::process::id()).into_iter().collect::<Vec<_>>()[..] else {
        panic!("one was prepared")
    };
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
    until("its end", || state(pid).is_none_or(|state| state == 'Z')).await;
    let finished = run_in(sandbox().await, Task::python("print('alive')")).await;
    assert_eq!((finished.exit, finished.stdout.as_str()), (Exit::Success, "alive\n"));
    until("the end of both", || groups_of(std::process::id()).is_empty()).await;
}

#[tokio::test]
async fn the_limits_are_those_of_the_attempt_whatever_it_was_prepared_with() {
    let script = "
import resource
disk, own = os.statvfs('/tmp'), os.statvfs('/out')
print(json.dumps([disk.f_blocks * disk.f_frsize, own.f_blocks * own.f_frsize, resource.getrlimit(resource.RLIMIT_FSIZE)]))
with open('/out/x', 'wb') as f:
    for _ in range(3):
        f.write(bytes(1 << 20))";
    for ahead in [512 << 10, 512 << 20] {
        let _alone = alone().await;
        let mut prepared = Task::python("").ahead();
        prepared.resources.disk_bytes = ahead;
        prepared.resources.memory_bytes = 2 * ahead.max(64 << 20);
        sandbox().await.prepare(&prepared).await.unwrap();
        let finished = run_in(sandbox().await, Task::python(script).disk(2 << 20)).await;
        assert!(matches!(finished.exit, Exit::Disk { .. }), "{:?} {}", finished.exit, finished.stderr);
        let report: Value = serde_json::from_str(&finished.stdout).unwrap();
        assert_eq!(report, json!([2 << 20, 2 << 20, [2 << 20, 2 << 20]]));
    }
}

/// An interpreter that waits may use more memory than the next attempt is allowed.
#[tokio::test]
async fn an_attempt_that_a_prepared_sandbox_is_too_large_for_gets_one_of_its_own() {
    let _alone = alone().await;
    sandbox().await.prepare(&Task::python("").ahead()).await.unwrap();
    let finished = run_in(sandbox().await, Task::python("x = bytearray(64 << 20)").memory(8 << 20)).await;
    assert_eq!(finished.exit, Exit::Memory { limit: 8 << 20 }, "{}", finished.stderr);
    until("the end of both", || groups_of(std::process::id()).is_empty()).await;
}

#[tokio::test]
async fn nothing_of_another_attempt_is_in_a_prepared_sandbox() {
    const SECRET: &str = "the-token-of-another-attempt";
    let _alone = alone().await;
    let tools = ["env", "cat", "ls"].map(|tool| (tool.to_owned(), PathBuf::from("/usr/bin").join(tool)));
    let config = SandboxConfig { spares: 0, tools: tools.into(), ..SandboxConfig::default() };
    let sandbox = Sandbox::probe(config).await.unwrap();
    let tool = |name: &str, arguments: &[&str]| {
        let mut task = Task::executable(b"");
        task.confinement.program = Program::Executable {
            path: format!("/trace/bin/{name}"),
            arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
        };
        task
    };
    // One attempt has the secret and runs while the sandboxes of the next ones are prepared.
    let mut first = Task::python(INTRODUCTION).env("SECRET", SECRET).start_in(&sandbox).await;
    first_line(&mut first).await;
    let files = ["/proc/self/environ", "/proc/self/cmdline"];
    let python = Task::python(
        "print(dict(os.environ), sys.argv, sys.orig_argv)
for name in ('environ', 'cmdline'):
    print(open('/proc/self/' + name).read())",
    );
    for (task, expected) in
        [(python, "TRACE_TASK"), (tool("env", &[]), "TRACE_TASK=t2"), (tool("cat", &files), "TRACE_TASK=t2")]
    {
        sandbox.prepare(&task.ahead()).await.unwrap();
        let finished = run_in(&sandbox, task.env("TRACE_TASK", "t2")).await;
        assert_eq!(finished.exit, Exit::Success, "{}", finished.stderr);
        assert!(finished.stdout.contains(expected), "{}", finished.stdout);
        assert!(!finished.stdout.contains(SECRET), "{}", finished.stdout);
    }
    let list = tool("ls", &["/proc/self/fd"]);
    sandbox.prepare(&list.ahead()).await.unwrap();
    // The folder that `ls` itself has open is 3.
    assert_eq!(run_in(&sandbox, list).await.stdout, "0\n1\n2\n3\n");
    drop((first, sandbox));
}

/// What `python3 -S main.py` would have shown.
#[tokio::test]
async fn a_program_sees_itself_as_if_the_interpreter_had_been_started_with_it() {
    let report = Task::python(
        "def kind(): pass
print(json.dumps({
    'argv': sys.argv, 'orig': sys.orig_argv[1:], 'path': sys.path[0], 'name': __name__, 'file': __file__,
    'main': sys.modules['__main__'].__dict__ is globals(), 'module': kind.__module__, 'spec': __spec__,
    'loader': type(__loader__).__name__, 'site': 'site' in sys.modules, 'start': '/trace' in sys.path,
    'names': sorted(name for name in globals() if name.startswith('__')), 'cwd': os.getcwd(),
    'builtins': __builtins__.__name__, 'flags': [sys.flags.no_site, sys.flags.dont_write_bytecode],
}))",
    )
    .report()
    .await;
    let expected = json!({
        "argv": ["main.py", "an argument"], "orig": ["-S", "main.py", "an argument"], "path": "/task/bundle",
        "name": "__main__", "file": "/task/bundle/main.py", "main": true, "module": "__main__", "spec": null,
        "loader": "SourceFileLoader", "site": false, "start": false, "cwd": "/task/bundle",
        "names": ["__annotations__", "__builtins__", "__cached__", "__doc__", "__file__", "__loader__",
            "__name__", "__package__", "__spec__"],
        "builtins": "builtins", "flags": [1, 1],
    });
    assert_eq!(report, expected);
}

#[tokio::test]
async fn an_error_is_shown_as_the_interpreter_itself_would() {
    let raised = Task::python("def f():\n    raise ValueError('no rows')\nf()").run().await;
    assert_eq!(raised.exit, Exit::Status(1));
    let lines: Vec<_> = raised.stderr.lines().filter(|line| !line.contains("^^")).collect();
    assert_eq!(lines.len(), 6, "{}", raised.stderr);
    assert_eq!(lines[0], "Traceback (most recent call last):");
    assert!(lines[1].starts_with("  File \"/task/bundle/main.py\", line "), "{}", raised.stderr);
    assert_eq!((lines[2], lines[5]), ("    f()", "ValueError: no rows"));

    for (script, status, said) in [
        ("x = (", 1, "SyntaxError: '(' was never closed\n"),
        (
            "import atexit\natexit.register(print, 'bye', file=sys.stderr)\nsys.exit('stopped')",
            1,
            "stopped\nbye\n",
        ),
        (
            "sys.excepthook = lambda *a: print('hook', a[0].__name__, file=sys.stderr)\n1/0",
            1,
            "hook ZeroDivisionError\n",
        ),
        ("try:\n    1/0\nexcept ZeroDivisionError as e:\n    raise SystemExit(5) from e", 5, ""),
    ] {
        let finished = Task::python(script).run().await;
        assert_eq!(finished.exit, Exit::Status(status), "{}", finished.stderr);
        assert!(finished.stderr.ends_with(said), "{script}: {}", finished.stderr);
        assert!(!finished.stderr.contains("start.py"), "{}", finished.stderr);
    }
}

/// A module in the bundle comes before the SDK's, although that was imported before the bundle was there.
#[tokio::test]
async fn a_module_of_the_bundle_comes_first() {
    let _alone = alone().await;
    let sdk = readable_folder();
    fs::create_dir(sdk.path().join("trace_udf")).unwrap();
    for (file, content) in [("__init__.py", "WHOSE = 'sdk'"), ("_context.py", "")] {
        fs::write(sdk.path().join("trace_udf").join(file), content).unwrap();
    }
    let config = SandboxConfig { spares: 0, sdk: Some(sdk.path().to_owned()), ..SandboxConfig::default() };
    let sandbox = Sandbox::probe(config).await.unwrap();
    let loaded = "print('trace_udf._context' in sys.modules)\nimport trace_udf\nprint(trace_udf.WHOSE)";
    for (own, expected) in [(false, "True\nsdk\n"), (true, "False\nbundle\n")] {
        let task = Task::python(loaded);
        if own {
            fs::write(task.bundle().join("trace_udf.py"), "WHOSE = 'bundle'").unwrap();
        }
        sandbox.prepare(&task.ahead()).await.unwrap();
        let finished = run_in(&sandbox, task).await;
        assert_eq!(finished.stdout, expected, "{}", finished.stderr);
    }
}

#[tokio::test]
async fn declared_files_can_not_be_executed() {
    let files = readable_folder();
    fs::write(files.path().join("tool"), no_op()).unwrap();
    fs::set_permissions(files.path().join("tool"), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    let mut task = Task::python(
        "print(json.dumps([refusal(os.execv, p, [p]) for p in ('/task/files/tool', '/task/bundle/main.py')]))",
    );
    fs::set_permissions(task.bundle().join("main.py"), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    task.confinement.files = Some(files.path().to_owned());
    assert_eq!(task.report().await, json!(["EACCES", "EACCES"]));
}

#[tokio::test]
async fn an_order_that_is_too_large_is_refused_and_leaves_nothing() {
    let _alone = alone().await;
    let mut task = Task::python("");
    for name in ["A", "B"] {
        task.confinement.env.push((name.to_owned(), "x".repeat(100 << 10)));
    }
    let error = sandbox().await.launch(task.confinement).await.err().unwrap();
    assert!(error.to_string().contains("at most 192 KiB"), "{error}");
    assert!(groups_of(std::process::id()).is_empty());
}

/// The processes in the sandboxes of a wrapper.
fn processes_of(wrapper: u32) -> BTreeSet<i32> {
    let lists = groups_of(wrapper).into_iter();
    let lists = lists.map(|group| fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default());
    lists.flat_map(|list| list.lines().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect()
}

/// An argument of a process.
fn argument(pid: i32, place: usize) -> String {
    let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.split('\0').nth(place + 1).unwrap_or_default().to_owned()
}

/// Its state, such as `Z`; absent when it is gone.
fn state(pid: i32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}
