//! The one call of Lambda that the launcher makes, and what its answers say of whether something was started.

use std::time::Duration;

use aws_sdk_lambda::{
    Client,
    config::{Builder, StalledStreamProtectionConfig},
    error::{DisplayErrorContext, ProvideErrorMetadata as _, SdkError},
    operation::invoke::{InvokeError, InvokeOutput},
    primitives::Blob,
    types::InvocationType,
};
use trace_aws::{Failure, Kind, Patience};
use trace_contracts::{
    LaunchTicket,
    wire::lambda::{Invitation, Tenant},
};

use super::{config::Function, explain::FunctionError};
use crate::launcher::lambda::Config;

/// An answer comes when the function has ended: after fifteen minutes at the latest. Never tried again by the SDK,
/// which can't know that a second invocation would be a thief to the dispatcher.
const PATIENCE: Patience =
    Patience { attempt: Duration::from_secs(960), operation: Duration::from_secs(960), tries: 1 };

/// How a call ended that may have started a runner.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Invoked {
    /// The function has ended, and says that all is well.
    Ended,
    /// Lambda, or the runner, says that it failed.
    Failed(FunctionError),
    /// There is no answer, or Lambda's own trouble is the answer: it may run all the same.
    Lost(Failure),
}

/// Why nothing was started.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotInvoked {
    /// It may go better in a while.
    #[error("{0}")]
    Busy(Failure),
    /// It never does by itself.
    #[error("{0}{1}")]
    Refused(Failure, &'static str),
    /// The attempt was over before.
    #[error("the attempt was given up before it was invoked")]
    GivenUp,
}

/// Lambda, for one platform.
#[derive(Debug, Clone)]
pub(super) struct Lambda {
    client: Client,
}

impl Lambda {
    pub(super) fn new(config: &Config) -> Self {
        // While the function runs, nothing comes, and that is as it should be.
        let quiet = StalledStreamProtectionConfig::disabled();
        let sdk = Builder::from(&config.aws.sdk(PATIENCE)).stalled_stream_protection(quiet).build();
        Self { client: Client::from_conf(sdk) }
    }

    /// Invokes a function, and waits until it has ended.
    pub(super) async fn invoke(
        &self,
        function: &Function,
        tenant: &Tenant,
        ticket: &LaunchTicket,
    ) -> Result<Invoked, NotInvoked> {
        let event = serde_json::json!(Invitation { ticket: ticket.clone() }).to_string();
        let call = self
            .client
            .invoke()
            .function_name(&function.name)
            .invocation_type(InvocationType::RequestResponse)
            .tenant_id(tenant.to_string())
            .payload(Blob::new(event));
        match call.send().await {
            Ok(InvokeOutput { function_error: None, .. }) => Ok(Invoked::Ended),
            Ok(InvokeOutput { payload, .. }) => {
                let said = payload.as_ref().map_or(&[][..], Blob::as_ref);
                Ok(Invoked::Failed(FunctionError::read(said)))
            }
            Err(error) => sort(&error),
        }
    }
}

fn sort(error: &SdkError<InvokeError>) -> Result<Invoked, NotInvoked> {
    let failure = Failure::of("Lambda", "Invoke", error);
    let (answer, status) = match error {
        SdkError::ServiceError(answer) => (answer.err(), answer.raw().status()),
        SdkError::ConstructionFailure(_) => return Err(NotInvoked::Refused(failure, "")),
        _ if failure.kind() == Kind::Identity => return Err(NotInvoked::Refused(failure, "")),
        _ if was_never_sent(error) => return Err(NotInvoked::Busy(failure)),
        _ => return Ok(Invoked::Lost(failure)),
    };
    let code = answer.code().unwrap_or_default();
    if is_busy(code) || failure.kind() == Kind::Throttled {
        return Err(NotInvoked::Busy(failure));
    }
    match advice(code) {
        Some(advice) => Err(NotInvoked::Refused(failure, advice)),
        // It says neither that it has started something nor that it has not.
        None if status.is_server_error() => Ok(Invoked::Lost(failure)),
        None => Err(NotInvoked::Refused(failure, "")),
    }
}

/// No connection was made. The SDK says so in words alone.
fn was_never_sent(error: &SdkError<InvokeError>) -> bool {
    let said = DisplayErrorContext(error).to_string();
    ["client error (Connect)", "HTTP connect timeout"].iter().any(|words| said.contains(words))
}

/// What passes, and of which Lambda says that nothing was started.
fn is_busy(code: &str) -> bool {
    [
        "TooManyRequestsException",
        "EC2ThrottledException",
        "ENILimitReachedException",
        "ENINotReadyException",
        "SubnetIPAddressLimitReachedException",
        "ResourceConflictException",
        "ResourceNotReadyException",
        "CodeArtifactUserPendingException",
    ]
    .contains(&code)
}

/// What to do about what does not pass. Lambda answers some of it as if it were its own trouble.
fn advice(code: &str) -> Option<&'static str> {
    let table = [
        (
            "InvalidParameterValueException",
            ": the function has to be isolated by tenant, which is said when it is created (tenancy PER_TENANT)",
        ),
        ("ResourceNotFoundException", ": `functions` in this worker's configuration names it"),
        ("KMS", ": check the key that the function's variables are encrypted with"),
        ("EC2AccessDeniedException", ": the function's role has to manage its network interfaces"),
        ("InvalidSubnetIDException", ": check the function's subnets"),
        ("InvalidSecurityGroupIDException", ": check the function's security groups"),
        ("CodeArtifactUserFailedException", ": deploy the function's image again"),
        ("InvalidRuntimeException", ": the function is made from the runner's image"),
    ];
    table.into_iter().find(|(start, _)| code.starts_with(start)).map(|(_, advice)| advice)
}
