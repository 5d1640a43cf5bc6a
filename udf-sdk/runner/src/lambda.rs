//! The runner as a function of Lambda: it serves one invocation, and ends.
//!
//! Lambda would use this environment again, for as long as it is asked to serve the same tenant, and a tenant is one
//! attempt: see `docs/adr/0023-lambda.md`. That is Lambda's part. This part lets nothing run where something has
//! run before, and leaves nothing behind that could.

use std::{fs, io, path::Path, sync::Arc};

use lambda_runtime::{Diagnostic, LambdaEvent, Runtime, service_fn};
use tokio::{select, sync::Notify};
use tower::util::ThenLayer;
use trace_contracts::wire::lambda::{Invitation, Tenant};

use crate::{
    bounds::{Bounds, Invocation},
    descendants, run,
    settings::Places,
};

/// Made by the first attempt in an environment. The image has links to what is in it where code sees its folders.
const GROUND: &str = "/tmp/trace";
/// What the links lead to.
const FOLDERS: [&str; 2] = ["task", "out"];

/// Why an invocation ran nothing, or not to a reported end.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(
        "the function is not isolated by tenant, so that an environment could serve one attempt after another: \
         create it with the tenancy PER_TENANT; nothing was run"
    )]
    NotIsolated,
    #[error("something has run in this environment before; nothing was run")]
    Used,
    #[error("{0}: {1}; nothing was run")]
    Ground(&'static str, io::Error),
    #[error(transparent)]
    Attempt(run::Error),
}

impl From<Error> for Diagnostic {
    fn from(error: Error) -> Self {
        let error_type = match error {
            Error::NotIsolated => "Trace.NotIsolated",
            Error::Used => "Trace.Used",
            Error::Ground(..) => "Trace.Ground",
            Error::Attempt(_) => "Trace.Attempt",
        };
        Self { error_type: error_type.to_owned(), error_message: error.to_string() }
    }
}

/// Asks the Runtime API for one invocation, answers it, and comes back.
///
/// # Errors
/// When the Runtime API does not answer.
pub async fn serve(places: Places) -> Result<(), run::Error> {
    let (places, answered) = (Arc::new(places), Arc::new(Notify::new()));
    let handler = service_fn(move |event: LambdaEvent<Invitation>| {
        let places = Arc::clone(&places);
        async move {
            let ended = invocation(&places, event).await;
            // Nothing of it is there any more when Lambda hears that it is over.
            descendants::end_all();
            ended
        }
    });
    let once = ThenLayer::new({
        let answered = Arc::clone(&answered);
        move |answer: Result<(), lambda_runtime::Error>| async move {
            answer?;
            answered.notify_one();
            // The next thing would be to ask for another invocation.
            std::future::pending::<Result<(), lambda_runtime::Error>>().await
        }
    });
    select! {
        ended = Runtime::new(handler).layer(once).run() => match ended {
            Ok(()) => Err(run::Error::RuntimeApi("it ended by itself".to_owned())),
            Err(error) => Err(run::Error::RuntimeApi(error.to_string())),
        },
        () = answered.notified() => Ok(()),
    }
}

async fn invocation(places: &Places, event: LambdaEvent<Invitation>) -> Result<(), Error> {
    let (Invitation { ticket }, context) = event.into_parts();
    let tenant = context.tenant_id.as_deref().and_then(|tenant| Tenant::parse(tenant).ok());
    let tenant = tenant.ok_or(Error::NotIsolated)?;
    take(Path::new(GROUND))?;
    let bounds = Bounds::Invocation(Invocation::new(tenant, context.deadline()));
    run::attempt(places, ticket, &bounds).await.map_err(Error::Attempt)
}

/// Makes the folders of an attempt, where there have never been any.
fn take(ground: &Path) -> Result<(), Error> {
    fs::create_dir(ground).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Error::Used,
        _ => Error::Ground("the folder for temporary files", error),
    })?;
    for folder in FOLDERS {
        fs::create_dir(ground.join(folder)).map_err(|error| Error::Ground("a folder of the task", error))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_taken_once() {
        let folder = tempfile::tempdir().unwrap();
        let ground = folder.path().join("trace");
        take(&ground).unwrap();
        assert!(ground.join("task").is_dir() && ground.join("out").is_dir());
        assert!(matches!(take(&ground), Err(Error::Used)));
        assert!(matches!(take(&ground.join("no/folder")), Err(Error::Ground(..))));
    }
}
