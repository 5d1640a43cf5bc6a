//! The check at start-up: what is missing is named, and nothing runs without it.

use std::{collections::BTreeMap, fs, io, path::Path, sync::Arc, time::Duration};

use tokio::io::AsyncReadExt;
use trace_contracts::wire::worker::Resources;

use super::{
    Confinement, Ended, Error, Exit, Program, Sandbox, SandboxConfig, Shared, Upstreams,
    cgroup::Cgroups,
    handover::Handover,
    landlock,
    make::Maker,
    plan::Host,
    pool::Pool,
    runtime::{Runtime, View},
    seccomp::Filter,
    spawner::Spawner,
};

/// What the trial run may have.
const TRIAL: Resources = Resources { cpu_millis: 1000, memory_bytes: 256 << 20, disk_bytes: 1 << 20 };
const TRIAL_PROGRAM: &str = "import json, os, socket, ssl; assert os.listdir('/task/files')";
/// How long it may take, on a machine that is busy.
const MAX_TRIAL: Duration = Duration::from_secs(30);
/// Bytes of what it says when it fails.
const MAX_SAID: u64 = 4096;

impl Sandbox {
    /// Checks this machine, and runs Python once in a real sandbox.
    ///
    /// # Errors
    /// [`Error::Missing`] names the feature that this kernel lacks or this user may not use, and what to
    /// do about it; without it no task can be run.
    pub async fn probe(config: SandboxConfig) -> Result<Self, Error> {
        let checked = tokio::task::spawn_blocking(move || check(&config));
        let shared = checked.await.map_err(|_| Error::Stopped)??;
        let sandbox = Self { shared: Arc::new(shared) };
        sandbox.try_out().await?;
        Ok(sandbox)
    }

    async fn try_out(&self) -> Result<(), Error> {
        let confinement = Confinement {
            program: Program::Python { arguments: vec!["-c".to_owned(), TRIAL_PROGRAM.to_owned()] },
            bundle: None,
            // Any folder that can be shown will do: that one can be mounted late is tried out, too.
            files: Some(self.runtime().library().to_owned()),
            inputs: None,
            env: Vec::new(),
            resources: TRIAL,
            timeout: MAX_TRIAL,
            upstreams: Upstreams::default(),
            egress: None,
        };
        let confined = self.launch_once(confinement).await?;
        let mut said = String::new();
        let mut stderr = confined.stderr.take(MAX_SAID);
        let (read, ended) = tokio::join!(stderr.read_to_string(&mut said), confined.process.wait());
        read.map_err(|source| Error::io("read what the trial says", source))?;
        let Ended { exit, .. } = ended?;
        match exit {
            Exit::Success => Ok(()),
            other => Err(Error::Trial(format!("Python {}. {}", other.detail(), said.trim_end()))),
        }
    }
}

/// Everything that can be known without starting a sandbox.
fn check(config: &SandboxConfig) -> Result<Shared, Error> {
    check_namespaces()?;
    let landlock = landlock::Version::detect()?;
    let filter = Arc::new(Filter::compile()?);
    let cgroups = Cgroups::open(config.cgroup_parent.as_deref())?;
    let swept = cgroups.sweep()?;
    check_tools(&config.tools)?;
    let runtime = Runtime::find(config.python.as_deref())?;
    if let Some(sdk) = &config.sdk {
        runtime.compile(sdk);
    }
    let host = Host {
        python_path: runtime.python_path(),
        python: runtime.view()?,
        tools: View::of_tools(config.sdk.as_deref(), &config.tools)?,
        runtime,
        filter,
        landlock,
        max_processes: config.max_processes,
        max_files: config.max_files,
    };
    tracing::info!(
        cgroups = cgroups.version(),
        swept,
        python = host.runtime.version(),
        "this machine can confine tasks"
    );
    let maker = Arc::new(Maker { host, cgroups });
    let pool = Arc::new(Pool::new(config.spares));
    let spawner = Arc::new(Spawner::new(&maker, &pool)?);
    Ok(Shared { maker, pool, handover: Handover::new()?, spawner })
}

/// A tool's name becomes a file name inside.
fn check_tools(tools: &BTreeMap<String, std::path::PathBuf>) -> Result<(), Error> {
    let plain = |name: &str| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    match tools.iter().find(|(name, _)| !plain(name)) {
        Some((_, path)) => Err(Error::Source {
            path: path.clone(),
            reason: "its name inside has other characters than a-z, 0-9, - and _",
        }),
        None => Ok(()),
    }
}

/// The switches that turn namespaces off for a user, each with the way to turn them on.
const SWITCHES: [(&str, &str, &str); 3] = [
    (
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "AppArmor restricts user namespaces (as Ubuntu does since 24.04): run the wrapper as root, give its \
         executable an AppArmor profile with `userns,`, or set kernel.apparmor_restrict_unprivileged_userns=0 \
         with sysctl",
    ),
    (
        "/proc/sys/kernel/unprivileged_userns_clone",
        "0",
        "User namespaces are off for ordinary users: run the wrapper as root, or set \
         kernel.unprivileged_userns_clone=1 with sysctl",
    ),
    (
        "/proc/sys/user/max_user_namespaces",
        "0",
        "User namespaces are off: set user.max_user_namespaces to 10000 with sysctl",
    ),
];

/// What can be read of the kernel's settings before the first try.
fn check_namespaces() -> Result<(), Error> {
    for kind in ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"] {
        if !Path::new("/proc/self/ns").join(kind).exists() {
            return Err(missing(format!("The kernel was built without {kind} namespaces")));
        }
    }
    let root = nix::unistd::geteuid().is_root();
    let off = |(path, value, _): &&(&str, &str, &str)| {
        let is_off = fs::read_to_string(path).is_ok_and(|setting| setting.trim() == *value);
        is_off && (!root || path.contains("max_user"))
    };
    match SWITCHES.iter().find(off) {
        Some((_, _, remedy)) => Err(missing((*remedy).to_owned())),
        None => Ok(()),
    }
}

/// Why `clone3` failed, in words that help.
pub(super) fn explain_clone(error: io::Error) -> Error {
    match error.raw_os_error() {
        Some(libc::EPERM) => missing(
            "The kernel refuses new namespaces to this process: run the wrapper as root, and if it is in a \
             container, with a seccomp profile that allows clone3 with namespaces"
                .to_owned(),
        ),
        Some(libc::ENOSYS) => missing(
            "The system call clone3 is not there: Linux 5.3 or newer is needed, and a container's seccomp \
             profile must allow it"
                .to_owned(),
        ),
        Some(libc::ENOSPC | libc::EUSERS) => missing(
            "The limit on namespaces is reached: raise user.max_user_namespaces, max_mnt_namespaces, \
             max_pid_namespaces and max_net_namespaces with sysctl"
                .to_owned(),
        ),
        Some(libc::EINVAL) => missing("The kernel lacks one of the namespaces".to_owned()),
        _ => Error::io("make a process in new namespaces", error),
    }
}

fn missing(remedy: String) -> Error {
    Error::Missing { feature: "namespaces", remedy }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_clone_names_the_feature_and_the_way_out() {
        for (errno, word) in [
            (libc::EPERM, "root"),
            (libc::ENOSYS, "5.3"),
            (libc::ENOSPC, "max_user_namespaces"),
            (libc::EUSERS, "max_net_namespaces"),
            (libc::EINVAL, "lacks"),
        ] {
            let error = explain_clone(io::Error::from_raw_os_error(errno));
            assert!(matches!(error, Error::Missing { feature: "namespaces", .. }), "{error:?}");
            assert!(error.to_string().contains(word), "{error}");
        }
    }

    #[test]
    fn a_tools_name_stays_in_its_folder() {
        for name in ["", "../x", "a/b", "a b"] {
            let tools = BTreeMap::from([(name.to_owned(), "/bin/true".into())]);
            assert!(check_tools(&tools).is_err(), "{name:?}");
        }
    }
}
