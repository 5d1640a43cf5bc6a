//! The attempt's way: fetch, start, watch, upload. It ends with what is to be reported.

use std::{fs::File, io, net::TcpListener, os::fd::OwnedFd, pin::pin, time::Duration};

use futures::future::join;
use tokio::{select, time::timeout};
use trace_contracts::wire::{
    launch::{RedeemReply, RunnerExit},
    worker::LogStream,
};
use trace_surface::{
    folders,
    forwarder::{self, Forwarders, Upstream, Way},
    output::{self, MAX_DEPTH, OutputDir, OutputLimits},
    routes::{DISPATCHER, Inside, OBJECT_STORE, QUERY},
};
use url::Url;

use crate::{
    api::Api,
    bounds::Bounds,
    child, descendants, fetch,
    relay::Relay,
    settings::Places,
    upload::{self, Store},
};

/// As in the process sandbox.
const MAX_FILES: usize = 10_000;
/// Once nothing runs any more, what is left in the pipes is read within this time.
const LAST_OUTPUT: Duration = Duration::from_secs(10);
/// The status of code that could not be run, or whose outputs could not be brought away: `EX_SOFTWARE`.
const TROUBLE: i32 = 70;

/// What of an attempt goes wrong in the runner, and not in the code.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("fetching the code: {0}")]
    Fetch(fetch::Error),
    #[error("starting the code: {0}")]
    Start(#[from] child::Error),
    #[error("the way to the platform at {0}: {1}")]
    Way(Url, io::Error),
    #[error("reading /out: {0}")]
    Out(io::Error),
    #[error("uploading the outputs: {0}")]
    Upload(upload::Error),
}

/// Runs the attempt to its end. Nothing of the code runs then.
pub async fn live(
    places: &Places,
    api: &Api,
    order: &RedeemReply,
    relay: &Relay,
    bounds: &Bounds,
) -> RunnerExit {
    let ended = select! {
        ended = steps(places, api, order, relay, bounds) => ended,
        () = bounds.over() => {
            descendants::end_all();
            relay.say("the time of the invocation is up: fetching, running and uploading took longer than the function may");
            Ok(RunnerExit::Timeout)
        }
    };
    match ended {
        Ok(how) => how,
        // Nobody believes a runner that it was not the code: this is what the code itself could have said.
        Err(trouble) => {
            relay.say(&trouble.to_string());
            RunnerExit::Status { status: TROUBLE }
        }
    }
}

async fn steps(
    places: &Places,
    api: &Api,
    order: &RedeemReply,
    relay: &Relay,
    bounds: &Bounds,
) -> Result<RunnerExit, Trouble> {
    match fetch::stage(order, &places.trust).await {
        Err(error) if error.is_the_bundles() => return Ok(RunnerExit::Bundle { detail: short(&error) }),
        staged => staged.map_err(Trouble::Fetch)?,
    }
    let how = {
        let _forwarding = forward(places).await?;
        let time = bounds.time(Duration::from_millis(order.launch.timeout_ms));
        let (running, stdout, stderr) = child::start(order, time)?;
        let pipes = join(relay.read(stdout, LogStream::Stdout), relay.read(stderr, LogStream::Stderr));
        let ending = async {
            let how = running.ended().await;
            // The code is over when its first process is, as in the process sandbox.
            descendants::end_all();
            how
        };
        watched(ending, pipes).await
    };
    if how != RunnerExit::Succeeded {
        return Ok(how);
    }
    let out = OwnedFd::from(File::open(folders::OUT).map_err(Trouble::Out)?);
    let bytes = order.launch.resources.disk_bytes;
    let outputs = OutputDir::new(out, OutputLimits { files: MAX_FILES, depth: MAX_DEPTH, bytes });
    let files = match outputs.files() {
        Ok(files) => files,
        Err(output::Error::Io { source, .. }) => return Err(Trouble::Out(source)),
        Err(error) => return Ok(RunnerExit::Output { detail: short(&error) }),
    };
    match upload::upload(&Store::new(&places.object_store, &places.trust), api, &outputs, files).await {
        Ok(()) => Ok(RunnerExit::Succeeded),
        Err(upload::Error::Unacceptable(detail)) => Ok(RunnerExit::Output { detail }),
        Err(error) => Err(Trouble::Upload(error)),
    }
}

/// Waits for the end, and then for the rest of what was printed, which nobody can add to any more.
async fn watched(ending: impl Future<Output = RunnerExit>, pipes: impl Future) -> RunnerExit {
    let (mut ending, mut pipes) = (pin!(ending), pin!(pipes));
    let how = select! {
        how = &mut ending => how,
        _closed = &mut pipes => return ending.await,
    };
    let _rest_is_dropped = timeout(LAST_OUTPUT, pipes).await;
    how
}

/// Details are for people, and short.
fn short(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    text.truncate(text.floor_char_boundary(1024));
    text
}

/// The same loopback ports as in the process sandbox, byte for byte to what they stand for, and by TLS where that is
/// asked for: the code inside has no authorities.
async fn forward(places: &Places) -> Result<Forwarders, Trouble> {
    let all: [(Inside, &Url); 3] =
        [(DISPATCHER, &places.task_api), (QUERY, &places.query), (OBJECT_STORE, &places.object_store)];
    let mut routes = Vec::new();
    for (inside, url) in all {
        let failed = |error| Trouble::Way(url.clone(), error);
        let address = forwarder::resolve(url).await.map_err(failed)?;
        let tls = places.trust.connector(url).map_err(|error| failed(io::Error::other(error)))?;
        let listener = TcpListener::bind(("127.0.0.1", inside.port)).map_err(failed)?;
        routes.push((OwnedFd::from(listener), Way::Bytes(Upstream { address, tls })));
    }
    Forwarders::start(routes).map_err(|error| Trouble::Way(places.task_api.clone(), error))
}
