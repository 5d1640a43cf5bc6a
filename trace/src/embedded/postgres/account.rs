//! The user that PostgreSQL runs as, and how a command is started as that user.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use nix::unistd::{Gid, Uid, User, geteuid};

use super::Error;

/// The cluster's folder, as a command started by [`Account::command`] reaches it.
pub(super) const DATA: &str = "/proc/self/fd/9";

/// Opens the current folder as descriptor 9, leaves it, and becomes the command that follows.
const WITH_DATA: &str = "exec 9<. && cd / && exec \"$@\"";

/// Who owns the cluster.
#[derive(Debug, Clone)]
pub(super) struct Account {
    pub uid: Uid,
    pub gid: Gid,
    /// The name of the user that this process runs as: the only one that may connect.
    pub platform: String,
    switch: Switch,
}

/// Whether a command changes its user first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Switch {
    Stay,
    Drop,
}

impl Account {
    /// This process's own user; where that is root, which PostgreSQL refuses, `postgres` or `nobody`.
    pub(super) fn choose() -> Result<Self, Error> {
        let own = geteuid();
        let user = User::from_uid(own).ok().flatten().ok_or(Error::NoName(own.as_raw()))?;
        let platform = user.name;
        Ok(match trace_postgres::Account::instead_of_root().map_err(|_| Error::NoAccount)? {
            None => Self { uid: user.uid, gid: user.gid, platform, switch: Switch::Stay },
            Some(other) => Self { uid: other.uid, gid: other.gid, platform, switch: Switch::Drop },
        })
    }

    /// A command that runs as this user, without this process's environment, and that the kernel asks
    /// to shut down (`SIGINT`) when the thread that started it ends.
    ///
    /// The user need not be able to walk to the cluster's folder, which may lie in a closed home: the
    /// folder is opened before the user changes, and reached as [`DATA`] from then on.
    pub(super) fn command(&self, cluster: &Path, program: &Path) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", WITH_DATA, "sh", "setpriv", "--pdeathsig", "SIGINT"]);
        if self.switch == Switch::Drop {
            command.arg(format!("--reuid={}", self.uid)).arg(format!("--regid={}", self.gid));
            command.arg("--clear-groups");
        }
        command
            .arg("--")
            .arg(program)
            .current_dir(cluster)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("LANG", "C.UTF-8")
            .stdin(Stdio::null());
        command
    }
}
