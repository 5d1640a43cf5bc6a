//! How sandboxes start and end, and that nothing of them stays.

use std::{
    fs,
    os::unix::{
        fs::{PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use trace_worker_wrapper::sandbox::{Error, Exit, Sandbox, SandboxConfig, Step};

use super::kit::{Leftovers, Task, alone, groups_of, no_op, processes_with, readable_folder, sandbox, until};

const SLEEP: &str = "
import time
print('ready', flush=True)
time.sleep(1000)";

#[tokio::test]
async fn orphans_end_with_the_program() {
    let script = "
import time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.close(1); os.close(2)
        open('/out/alive', 'w').write('yes')
        time.sleep(1000)
    os._exit(0)
os.wait()
while not os.path.exists('/out/alive'):
    time.sleep(0.01)
print('main ends')";
    let finished = Task::python(script).run().await;
    assert_eq!((finished.exit, finished.stdout.as_str()), (Exit::Success, "main ends\n"));
}

#[tokio::test]
async fn a_killer_ends_it_from_elsewhere() {
    let _alone = alone().await;
    let running = Task::python(SLEEP).start().await;
    assert_eq!(processes_with(&running.marker).len(), 1);
    let killer = running.confined.process.killer();
    let (ended, ()) = tokio::join!(running.confined.process.wait(), async { killer.kill() });
    assert_eq!(ended.unwrap().exit, Exit::Killed);
    killer.kill();
    assert!(Leftovers::look(&running.marker).is_empty());
}

#[tokio::test]
async fn dropping_it_ends_it() {
    let _alone = alone().await;
    let running = Task::python(SLEEP).start().await;
    let marker = running.marker.clone();
    assert!(!Leftovers::look(&marker).is_empty());
    drop(running);
    until("the end of a dropped sandbox", || Leftovers::look(&marker).is_empty()).await;
}

#[tokio::test]
async fn several_run_at_the_same_time() {
    let _alone = alone().await;
    let tasks = (0..8).map(|n| async move {
        let running = Task::python(&format!("sys.exit({n})")).start().await;
        running.confined.process.wait().await.unwrap().exit
    });
    let mut set = tokio::task::JoinSet::new();
    tasks.for_each(|task| drop(set.spawn(task)));
    let mut exits = set.join_all().await;
    exits.sort_by_key(|exit| if let Exit::Status(status) = exit { *status } else { 0 });
    let expected: Vec<_> = std::iter::once(Exit::Success).chain((1..8).map(Exit::Status)).collect();
    assert_eq!(exits, expected);
}

/// Not a test: the wrapper that the next test kills.
#[tokio::test]
#[ignore = "started by the test after it"]
async fn wrapper_to_be_killed() {
    let running = Task::python(SLEEP).start().await;
    println!("marker {}", running.marker);
    running.confined.process.wait().await.unwrap();
}

#[tokio::test]
async fn a_killed_wrapper_leaves_no_process_and_its_groups_are_swept() {
    let _alone = alone().await;
    sandbox().await;
    // What a killed process leaves in its own folder for such things is removed by this one.
    let folder = readable_folder();
    let mut wrapper = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "sandbox::life::wrapper_to_be_killed", "--nocapture"])
        .env("TMPDIR", folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = std::io::BufRead::lines(std::io::BufReader::new(wrapper.stdout.take().unwrap()));
    let marker = lines
        .map_while(Result::ok)
        .find_map(|line| Some(line.split_once("marker ")?.1.to_owned()))
        .expect("the wrapper must say which sandbox it has started");
    assert_eq!(processes_with(&marker).len(), 1);
    let pid = wrapper.id();
    wrapper.kill().unwrap();
    wrapper.wait().unwrap();
    until("the end of its sandbox", || processes_with(&marker).is_empty()).await;
    assert!(!groups_of(pid).is_empty(), "a killed wrapper can't remove its groups");
    Sandbox::probe(SandboxConfig::default()).await.unwrap();
    assert_eq!(groups_of(pid), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn a_failed_set_up_is_named_and_leaves_nothing() {
    let _alone = alone().await;
    let before = Leftovers::look("no marker");
    let mut task = Task::executable(&no_op());
    task.confinement.program = trace_worker_wrapper::sandbox::Program::Executable {
        path: "/task/bundle/missing".to_owned(),
        arguments: Vec::new(),
    };
    let error = sandbox().await.launch(task.confinement).await.err().unwrap();
    assert!(error.to_string().contains("execve") && error.to_string().contains("missing"), "{error}");
    let task = Task::executable(b"not a program");
    let error = sandbox().await.launch(task.confinement).await.err().unwrap();
    assert!(error.to_string().contains("not an executable for this machine"), "{error}");
    let mut task = Task::executable(&no_op());
    task.confinement.resources.memory_bytes = 4096;
    assert!(matches!(sandbox().await.launch(task.confinement).await.err(), Some(Error::Limit { .. })));
    assert_eq!(Leftovers::look("no marker"), before);
}

#[tokio::test]
async fn an_unreadable_bundle_is_refused_by_name() {
    let task = Task::executable(&no_op());
    fs::set_permissions(task.bundle(), fs::Permissions::from_mode(0o700)).unwrap();
    let (path, sandbox) = (task.bundle(), sandbox().await);
    let error = sandbox.launch(task.confinement).await.err().unwrap();
    assert!(matches!(&error, Error::Source { path: named, .. } if *named == path), "{error}");
}

/// Not a test: what an ordinary user gets, once it is told to start.
#[tokio::test]
#[ignore = "started by the tests after it"]
async fn probe_as_somebody() {
    std::io::stdin().read_line(&mut String::new()).unwrap();
    let python = Some("/usr/bin/python3".into());
    match Sandbox::probe(SandboxConfig { python, ..SandboxConfig::default() }).await {
        Ok(_) => println!("probed: no error"),
        Err(error) => println!("probed: {error}"),
    }
}

/// What that says, in these control groups.
fn probe_as_nobody(groups: &[PathBuf]) -> String {
    let folder = readable_folder();
    let copy = folder.path().join("it");
    // Another process copies: while this one has a file open for writing, a child that another test
    // starts may hold it too, and then it can't be executed.
    let copied = Command::new("cp").arg(std::env::current_exe().unwrap()).arg(&copy).status();
    assert!(copied.unwrap().success());
    let mut child = Command::new(&copy)
        .args(["--ignored", "--exact", "sandbox::life::probe_as_somebody", "--nocapture"])
        .current_dir("/")
        .uid(NOBODY)
        .gid(NOBODY)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    for group in groups {
        fs::write(group.join("cgroup.procs"), child.id().to_string()).unwrap();
    }
    drop(child.stdin.take());
    let said = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    said.lines().find_map(|line| Some(line.split_once("probed: ")?.1.to_owned())).unwrap_or(said)
}

const NOBODY: u32 = 65534;

#[tokio::test]
async fn what_is_missing_stops_the_wrapper_and_is_named() {
    let said = probe_as_nobody(&[]);
    assert!(said.starts_with("this machine can't confine tasks: "), "{said}");
    assert!(said.contains("control group") && said.contains("is missing"), "{said}");
}

/// Makes a group in each hierarchy of this machine and gives it to an ordinary user, as a service manager
/// does.
fn delegated_groups() -> Vec<PathBuf> {
    let name = format!("trace-test-{}", std::process::id());
    let root = Path::new("/sys/fs/cgroup");
    // Absent under version 1, where nothing has to be passed on.
    let pass_on = root.join("cgroup.subtree_control");
    if pass_on.exists() {
        fs::write(pass_on, "+memory +pids +cpu").unwrap();
    }
    let hierarchies = ["memory", "pids", "cpu", "."].map(|hierarchy| root.join(hierarchy));
    let mut groups = Vec::new();
    for hierarchy in hierarchies.into_iter().filter(|hierarchy| hierarchy.join("cgroup.procs").exists()) {
        let group = hierarchy.join(&name);
        fs::create_dir(&group).unwrap();
        for file in [".", "cgroup.procs", "cgroup.subtree_control"] {
            let path = group.join(file);
            if path.exists() {
                chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
            }
        }
        groups.push(group);
    }
    groups
}

#[tokio::test]
async fn an_ordinary_user_with_groups_of_its_own_can_confine() {
    let groups = delegated_groups();
    let said = probe_as_nobody(&groups);
    for group in groups {
        // Under version 2 the wrapper has moved itself there.
        let leaf = group.join("trace-wrapper");
        if leaf.exists() {
            fs::remove_dir(leaf).unwrap();
        }
        fs::remove_dir(group).unwrap();
    }
    assert_eq!(said, "no error");
}

/// What a launch costs: the whole of it, from the call to the end of a program that does nothing.
/// What happens when the wrapper copies itself for one sandbox while it unpacks a program for another:
/// the copy has the program open for writing until it has closed what it inherited.
#[tokio::test]
async fn a_program_that_is_still_being_closed_starts_once_it_is() {
    let _alone = alone().await;
    let task = Task::executable(&no_op());
    let writer = fs::OpenOptions::new().write(true).open(task.bundle().join("main")).unwrap();
    let closed = async {
        until("the child is ready to start the program", || any_filtered(groups_of(std::process::id())))
            .await;
        drop(writer);
    };
    let (running, ()) = tokio::join!(task.start(), closed);
    assert_eq!(running.confined.process.wait().await.unwrap().exit, Exit::Success);
}

#[tokio::test]
async fn a_program_that_stays_open_for_writing_is_given_up() {
    let _alone = alone().await;
    let task = Task::executable(&no_op());
    let _writer = fs::OpenOptions::new().write(true).open(task.bundle().join("main")).unwrap();
    let Err(Error::Step { step: Step::Exec, source, .. }) = sandbox().await.launch(task.confinement).await
    else {
        panic!("it can't be started")
    };
    assert_eq!(source.kind(), std::io::ErrorKind::ExecutableFileBusy);
    assert!(groups_of(std::process::id()).is_empty());
}

/// Whether a process of these groups has its system call filter, which comes right before the program.
fn any_filtered(groups: Vec<PathBuf>) -> bool {
    let pids = groups.iter().flat_map(|group| {
        let list = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
        list.lines().map(str::to_owned).collect::<Vec<_>>()
    });
    pids.map(|pid| fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default())
        .any(|status| status.lines().any(|line| line == "Seccomp:\t2"))
}

#[tokio::test]
async fn a_launch_costs_milliseconds() {
    let _alone = alone().await;
    let sandbox = sandbox().await;
    let mut times = Vec::new();
    for _ in 0..100 {
        let task = Task::executable(&no_op());
        let started = Instant::now();
        let confined = sandbox.launch(task.confinement).await.unwrap();
        let launched = started.elapsed();
        assert_eq!(confined.process.wait().await.unwrap().exit, Exit::Success);
        times.push((launched, started.elapsed()));
    }
    let median = |pick: fn(&(Duration, Duration)) -> Duration| {
        let mut picked: Vec<_> = times.iter().map(pick).collect();
        picked.sort();
        (picked[50], picked[95])
    };
    let (launch, all) = (median(|t| t.0), median(|t| t.1));
    println!("launch p50 {:?} p95 {:?}; to the end p50 {:?} p95 {:?}", launch.0, launch.1, all.0, all.1);
    assert!(launch.0 < Duration::from_millis(500), "{:?}", launch.0);
}
