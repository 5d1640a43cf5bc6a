//! Starting a program: a sandbox that waits is taken, or one is made, and it is given the order.

use std::sync::Arc;

use tokio::net::unix::pipe::Receiver;

use super::{
    Confined, Confinement, Error, Sandbox, controls,
    exit::Bounds,
    forwarder::Forwarders,
    plan::{Kind, Request},
    process::Process,
    spare::{Given, Refused},
};

impl Sandbox {
    /// Starts a program, confined, in a sandbox that no other program has seen. It runs when this returns;
    /// dropping the result kills it.
    ///
    /// # Errors
    /// When the confinement asks for something that can't be shown or set, or the set-up fails. The
    /// program has not run then, and nothing of it is left.
    pub async fn launch(&self, confinement: Confinement) -> Result<Confined, Error> {
        let shared = &self.shared;
        let request = Arc::new(shared.maker.host.request(&confinement)?);
        let (spare, dead) = shared.pool.take(&request.key);
        dead.into_iter().for_each(|spare| shared.spawner.bury(spare.remains));
        let given = match spare {
            Some(spare) => match shared.handover.give(spare, &request).await {
                Ok(given) => Ok(given),
                Err(Refused::Unfit(_)) => self.make_and_give(&request).await,
                Err(Refused::Failed(error)) => Err(error),
            },
            None => self.make_and_give(&request).await,
        };
        shared.spawner.refill(&request.key, &request.resources);
        self.watch(given?, &request, &confinement)
    }

    /// The same in a sandbox that is made now, and without preparing others.
    pub(super) async fn launch_once(&self, confinement: Confinement) -> Result<Confined, Error> {
        let request = Arc::new(self.shared.maker.host.request(&confinement)?);
        let given = self.make_and_give(&request).await?;
        self.watch(given, &request, &confinement)
    }

    /// Prepares a sandbox for a program like this one, which the next such launch takes; returns once it
    /// waits. Launches prepare others by themselves: this is for who can't wait for that.
    ///
    /// # Errors
    /// As [`Self::launch`].
    pub async fn prepare(&self, confinement: &Confinement) -> Result<(), Error> {
        let Request { key, resources, .. } = self.shared.maker.host.request(confinement)?;
        let spare = self.shared.spawner.make(&key, &resources).await?;
        let waits = tokio::task::spawn_blocking(move || {
            let waits = match key.kind {
                Kind::Executable => Ok(()),
                Kind::Python => spare.await_interpreter(),
            };
            (key, spare, waits)
        });
        let (key, spare, waits) = waits.await.map_err(|_| Error::Stopped)?;
        let unwanted = match waits {
            Ok(()) => self.shared.pool.put(&key, spare),
            Err(_) => Some(spare),
        };
        if let Some(spare) = unwanted {
            self.shared.spawner.bury(spare.remains);
        }
        waits
    }

    async fn make_and_give(&self, request: &Arc<Request>) -> Result<Given, Error> {
        let spare = self.shared.spawner.make(&request.key, &request.resources).await?;
        self.shared.handover.give(spare, request).await.map_err(|refused| match refused {
            Refused::Unfit(error) | Refused::Failed(error) => error,
        })
    }

    pub(super) fn watch(
        &self,
        given: Given,
        request: &Request,
        confinement: &Confinement,
    ) -> Result<Confined, Error> {
        let host = &self.shared.maker.host;
        let bounds = Bounds {
            memory: confinement.resources.memory_bytes,
            disk: confinement.resources.disk_bytes,
            files: host.max_files,
            processes: host.max_processes,
            time: controls::time(confinement.timeout),
        };
        let Given { remains, stdout, stderr, passed, control } = given;
        let process = Process::new(remains, passed.output, bounds, control, self.shared.spawner.clone())?;
        let upstreams = request.routes.iter().map(|route| route.upstream.clone());
        let forwarders = Forwarders::start(passed.listeners.into_iter().zip(upstreams))
            .map_err(|source| Error::io("forward from the sandbox", source))?;
        let read = |pipe| Receiver::from_owned_fd(pipe).map_err(|source| Error::io("read a pipe", source));
        Ok(Confined {
            stdout: read(stdout)?,
            stderr: read(stderr)?,
            process: process.with_forwarders(forwarders),
        })
    }
}
