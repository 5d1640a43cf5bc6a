//! Everything that the code has started, also what has left its group: this process is the parent of whatever
//! loses its own, so that nothing gets out of sight.

use std::fs;

use nix::{
    errno::Errno,
    sys::{
        prctl,
        signal::{Signal, kill},
        wait::{WaitPidFlag, waitpid},
    },
    unistd::{Pid, getpid},
};

/// Orphans below this process are given to it.
///
/// # Errors
/// When the kernel refuses.
pub fn adopt() -> nix::Result<()> {
    prctl::set_child_subreaper(true)
}

/// Kills and waits for every child of this process, and for what becomes its child by that, until there is
/// none. What forks faster than it is killed is met again in the next round.
pub fn end_all() {
    loop {
        let children = children();
        for child in &children {
            // One that is gone already needs no signal.
            let _gone = kill(*child, Signal::SIGKILL);
        }
        match waitpid(None, Some(WaitPidFlag::__WALL)) {
            Ok(_) | Err(Errno::EINTR) => {}
            // None are left.
            Err(_) => return,
        }
    }
}

/// Processes whose parent is this one.
fn children() -> Vec<Pid> {
    let own = getpid();
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| parent(*pid) == Some(own)).map(Pid::from_raw).collect()
}

/// The fourth word of `stat`; the second is a name in brackets, which may hold anything.
fn parent(pid: i32) -> Option<Pid> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let after_name = stat.rsplit_once(')')?.1;
    after_name.split_whitespace().nth(1)?.parse().ok().map(Pid::from_raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_is_read_whatever_the_name_is() {
        assert_eq!(parent(getpid().as_raw()), Some(nix::unistd::getppid()));
        assert_eq!(parent(-1), None);
    }
}
