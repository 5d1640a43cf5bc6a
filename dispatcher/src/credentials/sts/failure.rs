//! What STS answers when it mints no session, and what to do about it.

use std::time::Duration;

use aws_sdk_sts::{
    error::{DisplayErrorContext, ProvideErrorMetadata, SdkError},
    operation::assume_role::AssumeRoleError,
};

use super::super::{Error, arn::RoleArn};

/// Why there is no session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// Not now; the SDK has tried again already.
    Passing(String),
    /// Too often, and the SDK has waited already.
    Throttled(String),
    /// The packed policy.
    TooLarge(String),
    /// The duration.
    TooLong(String),
    /// The role can't be assumed by the dispatcher.
    Denied(String),
    /// The dispatcher's own keys.
    OwnKeys(String),
    /// STS is off in the region.
    Region(String),
    /// The request itself.
    Request(String),
}

impl Failure {
    pub(super) fn of<R: std::fmt::Debug + Send + Sync + 'static>(
        error: &SdkError<AssumeRoleError, R>,
    ) -> Self {
        let Some(answer) = error.as_service_error() else {
            let failure = trace_aws::Failure::of("STS", "AssumeRole", error);
            return match failure.kind() {
                trace_aws::Kind::Identity => Self::OwnKeys(failure.to_string()),
                _ => Self::Passing(DisplayErrorContext(error).to_string()),
            };
        };
        let message = answer.message().unwrap_or("no reason given").chars().take(300).collect::<String>();
        // The models of AWS and of those who imitate it name some errors with the suffix, some without.
        let code = answer.code().unwrap_or("Unknown");
        let said = format!("{code}: {message}");
        match code.strip_suffix("Exception").unwrap_or(code) {
            "PackedPolicyTooLarge" => Self::TooLarge(said),
            "Throttling"
            | "Throttled"
            | "RequestThrottled"
            | "RequestLimitExceeded"
            | "TooManyRequests"
            | "SlowDown" => Self::Throttled(said),
            "AccessDenied" => Self::Denied(said),
            "InvalidClientTokenId"
            | "InvalidAccessKeyId"
            | "SignatureDoesNotMatch"
            | "UnrecognizedClient"
            | "ExpiredToken"
            | "IncompleteSignature"
            | "MissingAuthenticationToken" => Self::OwnKeys(said),
            "RegionDisabled" => Self::Region(said),
            "ValidationError" | "Validation" | "InvalidParameterValue" if is_about_duration(&message) => {
                Self::TooLong(said)
            }
            "MalformedPolicyDocument" | "ValidationError" | "Validation" | "InvalidParameterValue" => {
                Self::Request(said)
            }
            _ => Self::Passing(said),
        }
    }

    /// The same for whoever reads the dispatcher's log: what happened and what to do.
    pub(super) fn explain(self, role: &RoleArn, chars: usize, asked: Duration) -> Error {
        match self {
            Self::Passing(said) => Error::Unavailable(said),
            Self::Throttled(said) => Error::Throttled(said),
            Self::TooLarge(reason) => Error::PolicyTooLarge { chars, reason },
            Self::TooLong(said) => Error::Setup(format!(
                "{role} allows no session of {} s, the shortest that could be asked for: raise its MaxSessionDuration ({said})",
                asked.as_secs()
            )),
            Self::Denied(said) => Error::Setup(format!(
                "the dispatcher may not assume {role}: allow `sts:AssumeRole` to its identity, allow that identity in the role's trust policy, and check `external_id` ({said})"
            )),
            Self::OwnKeys(said) => Error::Setup(format!(
                "STS does not accept the dispatcher's own identity: check `object_store.access_key_id` and its secret where they are set, the task's role where they are not, and the machine's clock ({said})"
            )),
            Self::Region(said) => Error::Setup(format!(
                "STS is not active in this region: activate it in the account's settings, or set `credentials.sts.region` ({said})"
            )),
            Self::Request(said) => Error::Setup(format!("STS does not take the request for {role} ({said})")),
        }
    }
}

/// STS says this with the code of any other bad value.
fn is_about_duration(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    message.contains("durationseconds") || message.contains("maxsessionduration")
}
