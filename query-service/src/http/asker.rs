//! From a bearer token to who asks. Runs before a body is read.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use axum::{extract::FromRequestParts, http::request::Parts};
use trace_contracts::{
    Capability, ErrorCode, InputGrant, Name, Secret,
    grant::Budgets,
    wire::plane::{Actor, ReadableDataset},
};
use trace_plane::{Hold, Refusal, bearer};

use super::{AUDIENCE, Routes};
use crate::{asking::Asker, audit};

/// A task that lives, by its capability.
pub(super) struct TaskAsker(pub(super) Asker);

/// A user, as the registry sees them now.
pub(super) struct UserAsker(pub(super) Asker);

impl FromRequestParts<Arc<Routes>> for TaskAsker {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, routes: &Arc<Routes>) -> Result<Self, Refusal> {
        let capability = routes.capabilities.verify_capability(bearer(&parts.headers)?, AUDIENCE).await?;
        match routes.liveness.admit(&capability).await {
            Ok(live) => Ok(Self(task(&capability, Some(live.into_hold())))),
            Err(refusal) => {
                if refusal.code() == ErrorCode::Revoked {
                    let entry = audit::refused(&task(&capability, None), &refusal);
                    routes.asking.planes.audit(vec![entry]).await?;
                }
                Err(refusal)
            }
        }
    }
}

impl FromRequestParts<Arc<Routes>> for UserAsker {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, routes: &Arc<Routes>) -> Result<Self, Refusal> {
        let unverified_token = bearer(&parts.headers)?;
        routes.users.verify_user(unverified_token).await?;
        let asked_at = Instant::now();
        let user = routes.asking.planes.resolve_user(&Secret::new(unverified_token.to_owned())).await?;
        Ok(Self(Asker {
            org: user.org,
            actor: Actor::User { user: user.user },
            grants: user.datasets.into_iter().map(published).collect::<BTreeMap<_, _>>(),
            budgets: Budgets::default(),
            kid: None,
            hold: Some(routes.liveness.hold_user(user.user, asked_at)),
        }))
    }
}

fn task(capability: &Capability, hold: Option<Hold>) -> Asker {
    let grants = capability.grants();
    Asker {
        org: capability.org(),
        actor: Actor::Attempt { task: capability.task(), attempt: capability.attempt() },
        grants: grants.inputs.clone(),
        budgets: grants.budgets.clone(),
        kid: Some(capability.kid().clone()),
        hold,
    }
}

/// A dataset that a user may read is read whole.
fn published(dataset: ReadableDataset) -> (Name, InputGrant) {
    let grant = InputGrant {
        dataset: dataset.dataset,
        version: dataset.version,
        manifest: dataset.manifest,
        partition: None,
        columns: None,
        row_filter: None,
    };
    (dataset.name, grant)
}
