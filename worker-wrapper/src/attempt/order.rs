//! What the launcher is asked for: the program, and what the environment tells it about its task.

use std::{sync::Arc, time::Duration};

use trace_contracts::{
    AttemptId, Secret,
    wire::worker::{Fence, LaunchSpec},
};
use trace_surface::{
    Program,
    environment::{deadline, of_attempt},
    proxy::EgressTokens,
};

use super::stage::Staged;
use crate::launcher::Order;

/// The order for one attempt. What is not staged here is fetched by what runs the code, with an environment
/// that is made there.
pub(crate) fn order(
    fence: Fence,
    spec: &LaunchSpec,
    token: &Secret<String>,
    region: &str,
    staged: Option<&Staged>,
    egress: Option<Arc<dyn EgressTokens>>,
) -> Order {
    let attempt: AttemptId = fence.attempt;
    let timeout = Duration::from_millis(spec.timeout_ms);
    Order {
        lease: Some(fence),
        program: Program::of(&spec.code),
        bundle: staged.and_then(Staged::bundle).map(ToOwned::to_owned),
        files: staged.map(Staged::files),
        inputs: None,
        env: of_attempt(attempt, spec, token, region, deadline(timeout)),
        resources: spec.resources,
        timeout,
        egress,
    }
}
