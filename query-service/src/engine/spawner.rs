//! The thread that starts engines.
//!
//! The kernel kills an engine when the *thread* that started it ends, so that no engine outlives a
//! service that was killed. Threads of the runtime come and go; this one stays as long as the pool.

use std::{io, process::Stdio};

use tokio::{
    process::{Child, Command},
    runtime::Handle,
    sync::{mpsc, oneshot},
};

use crate::config::EngineCommand;

type Request = oneshot::Sender<io::Result<Child>>;

/// Starts engine processes; cheap to clone.
#[derive(Clone)]
pub(crate) struct Spawner(mpsc::Sender<Request>);

impl Spawner {
    /// Starts the thread. It ends, and every engine with it, once the last clone is dropped.
    pub(crate) fn new(command: EngineCommand) -> io::Result<Self> {
        let (sender, mut requests) = mpsc::channel::<Request>(16);
        let runtime = Handle::current();
        std::thread::Builder::new().name("engine-spawner".to_owned()).spawn(move || {
            let _inside = runtime.enter();
            while let Some(reply) = requests.blocking_recv() {
                // Where nobody waits any more, the child is dropped and so killed.
                let _unwanted = reply.send(spawn(&command));
            }
        })?;
        Ok(Self(sender))
    }

    /// A new process, not yet set up.
    pub(crate) async fn start(&self) -> io::Result<Child> {
        let stopped = || io::Error::other("the thread that starts engines is gone");
        let (reply, child) = oneshot::channel();
        self.0.send(reply).await.map_err(|_| stopped())?;
        child.await.map_err(|_| stopped())?
    }
}

fn spawn(command: &EngineCommand) -> io::Result<Child> {
    Command::new(&command.program)
        .args(&command.args)
        .env_clear()
        .envs(trace_controls::passed_on())
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Ctrl-C in a terminal is for the service, which ends its engines itself.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
}
