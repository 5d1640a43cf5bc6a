//! The process sandbox: what a task can reach is built up from nothing.
//!
//! [`Sandbox::probe`] checks once, at start-up, that this kernel has every mechanism and runs a trial
//! in a real sandbox; what is missing is named and nothing is ever run without it. [`Sandbox::launch`]
//! then starts one program: the wrapper clones itself into new namespaces, and the copy (see
//! [`child`]) builds the root folder, gives everything up and becomes the program.
//!
//! | file | mechanism |
//! |---|---|
//! | [`namespaces`] | `clone3`, user mapping |
//! | [`mounts`] | the root folder, as a table |
//! | [`listeners`] | loopback listeners inside, their descriptors outside |
//! | [`forwarder`] | from those listeners to one fixed address each |
//! | [`cgroup`] | memory, processes, processor time |
//! | [`rlimits`], [`privileges`] | what a process may use and be |
//! | [`landlock`], [`seccomp`] | files, ports and system calls |
//! | [`descriptors`] | nothing is inherited |
//! | [`runtime`] | the Python interpreter and the libraries that it needs |
//! | [`output`] | reading what a task left behind, safely |

mod cgroup;
mod child;
mod confinement;
mod descriptors;
mod elf;
mod environment;
mod error;
mod exit;
mod forwarder;
mod landlock;
mod launch;
mod listeners;
mod mounts;
mod namespaces;
mod output;
mod plan;
mod privileges;
mod probe;
mod process;
mod rlimits;
mod runtime;
mod seccomp;
mod spawner;
mod step;
mod syscall;

pub use confinement::{Confinement, Program, SandboxConfig, Upstreams};
pub use error::Error;
#[cfg(fuzzing)]
pub use forwarder::forward;
pub use exit::Exit;
pub use output::{Error as OutputError, OutputDir, OutputFile, OutputLimits};
pub use process::{Confined, Ended, Killer, Process};
pub use runtime::Runtime;
pub use step::Step;

use std::sync::Arc;

/// A sandbox that has been tried out on this machine; clones share it.
#[derive(Clone)]
pub struct Sandbox {
    shared: Arc<Shared>,
}

/// What every launch uses and none changes.
struct Shared {
    host: plan::Host,
    cgroups: cgroup::Cgroups,
    spawner: Arc<spawner::Spawner>,
}

impl Sandbox {
    /// The interpreter that Python programs run with.
    #[must_use]
    pub fn runtime(&self) -> &Runtime {
        &self.shared.host.runtime
    }
}
