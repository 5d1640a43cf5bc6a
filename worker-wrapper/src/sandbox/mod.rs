//! The process sandbox: what a task can reach is built up from nothing.
//!
//! [`Sandbox::probe`] checks once, at start-up, that this kernel has every mechanism and runs a trial
//! in a real sandbox; what is missing is named and nothing is ever run without it. [`Sandbox::launch`]
//! then starts one program: the wrapper clones itself into new namespaces, and the copy (see
//! [`child`]) builds the root folder, gives everything up, waits for its order and becomes the program.
//! All but the order can have happened before: a few sandboxes are prepared ahead. Each is used once.
//!
//! | file | mechanism |
//! |---|---|
//! | [`make`], [`pool`] | preparing a sandbox, and having one ready |
//! | [`order`], [`handover`], [`spare`] | what a sandbox is told, once, and by whom |
//! | [`namespaces`] | `clone3`, user mapping |
//! | [`mounts`] | the root folder, as a table |
//! | [`place`] | the attempt's folders, mounted into a sandbox that waits |
//! | [`listeners`] | loopback listeners inside, their descriptors outside |
//! | [`trace_surface::forwarder`], [`trace_surface::proxy`] | from those listeners to one fixed address each; to the egress gateway with the attempt's token |
//! | [`cgroup`] | memory, processes, processor time |
//! | [`rlimits`], [`privileges`] | what a process may use and be |
//! | [`landlock`], [`seccomp`] | files, ports and system calls |
//! | [`descriptors`] | nothing is inherited |
//! | [`runtime`] | the Python interpreter and the libraries that it needs |
//! | [`trace_surface::output`] | reading what a task left behind, safely |

mod cgroup;
mod child;
mod confinement;
mod controls;
mod descriptors;
mod elf;
mod environment;
mod error;
mod exit;
mod handover;
mod landlock;
mod launch;
mod listeners;
mod make;
mod mounts;
mod namespaces;
mod order;
mod place;
mod plan;
mod pool;
mod privileges;
mod probe;
mod process;
mod rlimits;
mod runtime;
mod seccomp;
mod spare;
mod spawner;
mod step;
mod syscall;

pub use confinement::{Confinement, Program, SandboxConfig, Upstreams};
pub use error::Error;
pub use exit::Exit;
pub use process::{Confined, Ended, Killer, Process};
pub use runtime::Runtime;
pub use step::Step;
pub use trace_surface::forwarder::Upstream;
#[cfg(fuzzing)]
pub use trace_surface::forwarder::forward;
pub use trace_surface::output::{Error as OutputError, OutputDir, OutputFile, OutputLimits};

use std::sync::Arc;

/// A sandbox that has been tried out on this machine; clones share it.
#[derive(Clone)]
pub struct Sandbox {
    shared: Arc<Shared>,
}

/// What every launch uses.
struct Shared {
    maker: Arc<make::Maker>,
    pool: Arc<pool::Pool>,
    handover: handover::Handover,
    spawner: Arc<spawner::Spawner>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.pool.close().into_iter().for_each(|spare| self.spawner.bury(spare.remains));
    }
}

impl Sandbox {
    /// The interpreter that Python programs run with.
    #[must_use]
    pub fn runtime(&self) -> &Runtime {
        &self.shared.maker.host.runtime
    }
}
