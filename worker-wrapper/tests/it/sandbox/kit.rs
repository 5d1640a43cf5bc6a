//! Runs scripts in a real sandbox, and checks after each that nothing of it is left.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    sync::{Mutex, MutexGuard, OnceCell},
};
use trace_contracts::wire::worker::Resources;
use trace_worker_wrapper::sandbox::{
    Confined, Confinement, Ended, Exit, OutputDir, Program, Sandbox, SandboxConfig, Upstream, Upstreams,
};

/// The sandbox that all tests of this binary share. It prepares nothing by itself, so that what is left
/// over can be told.
pub async fn sandbox() -> &'static Sandbox {
    static SANDBOX: OnceCell<Sandbox> = OnceCell::const_new();
    SANDBOX.get_or_init(|| sandbox_with_spares(0)).await
}

/// One that keeps so many prepared.
pub async fn sandbox_with_spares(spares: usize) -> Sandbox {
    let config = SandboxConfig { spares, ..SandboxConfig::default() };
    Sandbox::probe(config).await.expect("this machine must be able to confine tasks")
}

/// One test at a time has sandboxes, so that what is left over can be told.
pub async fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::const_new(());
    ONE.lock().await
}

/// A program to run; what is not set is ample.
pub struct Task {
    bundle: TempDir,
    marker: String,
    pub confinement: Confinement,
}

/// What became of it.
pub struct Finished {
    pub exit: Exit,
    pub stdout: String,
    pub stderr: String,
    pub output: OutputDir,
}

/// What each script starts with.
const PRELUDE: &str = "\
import ctypes, errno, json, os, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
def syscall(number, *arguments):
    arguments = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return -ctypes.get_errno() if libc.syscall(ctypes.c_long(number), *arguments) < 0 else 0
def refusal(action, *arguments):
    try:
        action(*arguments)
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))
    return 'ALLOWED'
";

impl Task {
    /// `main.py` with this content.
    pub fn python(script: &str) -> Self {
        let program = Program::Python { arguments: vec!["main.py".to_owned(), "an argument".to_owned()] };
        Self::new(program, |folder| {
            fs::write(folder.join("main.py"), format!("{PRELUDE}{script}")).unwrap();
        })
    }

    /// An executable `main` with this content.
    pub fn executable(content: &[u8]) -> Self {
        let program = Program::Executable { path: "/task/bundle/main".to_owned(), arguments: Vec::new() };
        Self::new(program, |folder| {
            let main = folder.join("main");
            fs::write(&main, content).unwrap();
            fs::set_permissions(main, fs::Permissions::from_mode(0o755)).unwrap();
        })
    }

    fn new(program: Program, fill: impl FnOnce(&Path)) -> Self {
        let bundle = readable_folder();
        let marker = bundle.path().file_name().unwrap().to_str().unwrap().to_owned();
        fill(bundle.path());
        let confinement = Confinement {
            program,
            bundle: Some(bundle.path().to_owned()),
            files: None,
            inputs: None,
            env: Vec::new(),
            resources: Resources { cpu_millis: 2000, memory_bytes: 256 << 20, disk_bytes: 64 << 20 },
            timeout: Duration::from_secs(300),
            upstreams: Upstreams::default(),
            egress: None,
        };
        Self { bundle, marker, confinement }
    }

    pub fn bundle(&self) -> PathBuf {
        self.bundle.path().to_owned()
    }

    pub fn memory(mut self, bytes: u64) -> Self {
        self.confinement.resources.memory_bytes = bytes;
        self
    }

    pub fn disk(mut self, bytes: u64) -> Self {
        self.confinement.resources.disk_bytes = bytes;
        self
    }

    pub fn cpu(mut self, millis: u32) -> Self {
        self.confinement.resources.cpu_millis = millis;
        self
    }

    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.confinement.timeout = timeout;
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.confinement.env.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn query(mut self, upstream: impl Into<Upstream>) -> Self {
        self.confinement.upstreams.query = Some(upstream.into());
        self
    }

    /// What a sandbox is prepared with that this is not known to yet: other limits, nothing of its own.
    pub fn ahead(&self) -> Confinement {
        let Confinement { program, upstreams, egress, .. } = &self.confinement;
        Confinement {
            program: program.clone(),
            bundle: None,
            files: None,
            inputs: None,
            env: Vec::new(),
            resources: Resources { cpu_millis: 1000, memory_bytes: 128 << 20, disk_bytes: 1 << 20 },
            timeout: Duration::from_secs(1),
            upstreams: upstreams.clone(),
            egress: egress.clone(),
        }
    }

    /// Runs it to its end, in a sandbox that was prepared before, and checks that nothing is left.
    pub async fn run(self) -> Finished {
        let _alone = alone().await;
        let before = Leftovers::look(&self.marker);
        let marker = self.marker.clone();
        sandbox().await.prepare(&self.ahead()).await.unwrap();
        let finished = run_in(sandbox().await, self).await;
        assert_eq!(Leftovers::look(&marker), before, "something is left");
        finished
    }

    /// Runs it and reads what it printed as JSON.
    pub async fn report(self) -> serde_json::Value {
        let finished = self.run().await;
        assert_eq!(finished.exit, Exit::Success, "{}", finished.stderr);
        serde_json::from_str(&finished.stdout).unwrap()
    }

    /// Starts it in a sandbox that is made for it, for tests that end it themselves.
    pub async fn start(self) -> Running {
        self.start_in(sandbox().await).await
    }

    /// The same in another than the shared one.
    pub async fn start_in(self, sandbox: &Sandbox) -> Running {
        let confined = sandbox.launch(self.confinement).await.unwrap();
        Running { confined, marker: self.marker, _bundle: self.bundle }
    }
}

/// Runs a program to its end.
pub async fn run_in(sandbox: &Sandbox, task: Task) -> Finished {
    let Confined { stdout, stderr, process } = sandbox.launch(task.confinement).await.unwrap();
    let (stdout, stderr, ended) = tokio::join!(read(stdout), read(stderr), process.wait());
    let Ended { exit, output } = ended.unwrap();
    Finished { exit, stdout, stderr, output }
}

/// A program that runs.
pub struct Running {
    pub confined: Confined,
    pub marker: String,
    _bundle: TempDir,
}

/// What of a sandbox can be seen from outside.
#[derive(Debug, PartialEq, Eq)]
pub struct Leftovers {
    processes: Vec<String>,
    groups: Vec<PathBuf>,
    mounts: String,
}

impl Leftovers {
    /// Processes that see the folder `marker`, groups of this process, and this machine's mounts.
    pub fn look(marker: &str) -> Self {
        Self {
            processes: processes_with(marker),
            groups: groups_of(std::process::id()),
            mounts: fs::read_to_string("/proc/self/mountinfo").unwrap(),
        }
    }

    /// Whether there is neither a process nor a group.
    pub fn is_empty(&self) -> bool {
        self.processes.is_empty() && self.groups.is_empty()
    }
}

/// Process numbers, outside, of everything in a sandbox that shows the folder `marker`.
pub fn processes_with(marker: &str) -> Vec<String> {
    let marker = format!("/{marker} /task/");
    let all = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    all.filter(|pid| pid.bytes().all(|b| b.is_ascii_digit()))
        .filter(|pid| {
            fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default().contains(&marker)
        })
        .collect()
}

/// Control groups that a wrapper has made.
pub fn groups_of(wrapper: u32) -> Vec<PathBuf> {
    fn search(folder: &Path, prefix: &str, found: &mut Vec<PathBuf>) {
        let Ok(entries) = fs::read_dir(folder) else { return };
        for entry in entries.filter_map(Result::ok).filter(|e| e.file_type().is_ok_and(|t| t.is_dir())) {
            if entry.file_name().to_string_lossy().starts_with(prefix) {
                found.push(entry.path());
            } else {
                search(&entry.path(), prefix, found);
            }
        }
    }
    let mut found = Vec::new();
    search(Path::new("/sys/fs/cgroup"), &format!("trace.{wrapper}."), &mut found);
    found
}

/// A folder that the sandbox's user can read.
pub fn readable_folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// Waits until `condition` holds, looking again at intervals; fails after half a minute.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let mut tick = tokio::time::interval(Duration::from_millis(10));
    for _ in 0..3000 {
        tick.tick().await;
        if condition() {
            return;
        }
    }
    panic!("{what} did not happen");
}

async fn read(mut pipe: impl AsyncRead + Unpin) -> String {
    let mut text = String::new();
    pipe.read_to_string(&mut text).await.unwrap();
    text
}

/// The smallest static program: it exits with 0.
#[cfg(target_arch = "x86_64")]
pub fn no_op() -> Vec<u8> {
    const BASE: u64 = 0x40_0000;
    const CODE: &[u8] = &[0xb8, 60, 0, 0, 0, 0x31, 0xff, 0x0f, 0x05]; // exit(0)
    let size = 120 + CODE.len() as u64;
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0".to_vec();
    for word in [BASE + 120, 64, 0] {
        elf.extend(word.to_le_bytes()); // entry, program headers, section headers
    }
    elf.extend([0, 0, 0, 0, 64, 0, 56, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    elf.extend([1, 0, 0, 0, 5, 0, 0, 0]); // one loadable part, readable and executable
    for word in [0, BASE, BASE, size, size, 0x1000] {
        elf.extend(word.to_le_bytes());
    }
    elf.extend(CODE);
    elf
}
