//! What a service of AWS answers when it does not do what was asked, and what to do about it.

use std::fmt;

use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::{display::DisplayErrorContext, metadata::ProvideErrorMetadata};

/// A call that came to nothing. Its text says which service, which call, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    service: &'static str,
    call: &'static str,
    kind: Kind,
    said: String,
}

/// What a failure means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The service is away or broken: the same call may succeed later.
    Away,
    /// Too many calls.
    Throttled,
    /// The identity may not do this.
    Denied,
    /// The identity is none, or its keys have expired.
    Identity,
    /// What the call is about is not there.
    Missing,
    /// The call itself: nothing that waiting changes.
    Refused,
}

/// Answers of services are cut to so many characters.
const MAX_CHARS: usize = 300;

impl Failure {
    /// Reads the SDK's error.
    pub fn of<E, R>(service: &'static str, call: &'static str, error: &SdkError<E, R>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        R: fmt::Debug,
    {
        let Some(answer) = error.as_service_error() else {
            let said = DisplayErrorContext(error).to_string();
            let kind = if is_about_credentials(&said) { Kind::Identity } else { Kind::Away };
            return Self { service, call, kind, said: cut(&said) };
        };
        let code = answer.code().unwrap_or("Unknown");
        let said = cut(&format!("{code}: {}", answer.message().unwrap_or("no reason given")));
        Self { service, call, kind: kind(code), said }
    }

    /// A call whose answer is none.
    #[must_use]
    pub fn unreadable(service: &'static str, call: &'static str, what: &str) -> Self {
        Self { service, call, kind: Kind::Refused, said: cut(what) }
    }

    /// One entry of a batch.
    #[must_use]
    pub fn of_entry(service: &'static str, call: &'static str, code: &str, message: &str) -> Self {
        Self { service, call, kind: kind(code), said: cut(&format!("{code}: {message}")) }
    }

    /// What it means.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether the same call may succeed later without anybody changing anything.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        matches!(self.kind, Kind::Away | Kind::Throttled)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { service, call, kind, said } = self;
        match kind {
            Kind::Away => {
                write!(
                    f,
                    "{service} gives no answer to {call}, and is tried again: check its endpoint and the network if that lasts ({said})"
                )
            }
            Kind::Throttled => {
                write!(f, "{service} takes no more calls of {call} just now, and is tried again ({said})")
            }
            Kind::Denied => {
                write!(
                    f,
                    "{service} does not allow {call} to this service's identity: add the action to its role, see docs/aws.md ({said})"
                )
            }
            Kind::Identity => {
                write!(
                    f,
                    "{service} refuses {call}: it does not know this service's identity, or its keys have expired. Check the task's role or the configured keys, and the machine's clock ({said})"
                )
            }
            Kind::Missing => {
                write!(
                    f,
                    "{service} has nothing of that name for {call}: check the configured name, region and account ({said})"
                )
            }
            Kind::Refused => write!(f, "{service} refuses {call} ({said})"),
        }
    }
}

impl std::error::Error for Failure {}

/// The models of AWS and of those who imitate it name some errors with a prefix or suffix, some without.
fn kind(code: &str) -> Kind {
    let code = code.rsplit(['.', '#']).next().unwrap_or(code);
    match code.strip_suffix("Exception").unwrap_or(code) {
        "Throttling"
        | "Throttled"
        | "RequestThrottled"
        | "RequestLimitExceeded"
        | "TooManyRequests"
        | "SlowDown"
        | "LimitExceeded"
        | "KmsThrottled"
        | "OverLimit" => Kind::Throttled,
        "AccessDenied" | "KmsAccessDenied" | "NotAuthorized" | "AuthorizationError" => Kind::Denied,
        "InvalidClientTokenId"
        | "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "UnrecognizedClient"
        | "ExpiredToken"
        | "InvalidToken"
        | "IncompleteSignature"
        | "MissingAuthenticationToken"
        | "InvalidSignature"
        | "InvalidSecurity"
        | "RequestExpired" => Kind::Identity,
        "QueueDoesNotExist" | "NonExistentQueue" | "NotFound" | "ResourceNotFound" | "InvalidAddress"
        | "KmsNotFound" => Kind::Missing,
        "InternalError"
        | "InternalFailure"
        | "InternalServiceError"
        | "InternalServerError"
        | "ServiceUnavailable"
        | "KMSInternal"
        | "DependencyTimeout"
        | "KeyUnavailable"
        | "RequestTimeout"
        | "Unknown" => Kind::Away,
        _ => Kind::Refused,
    }
}

fn is_about_credentials(said: &str) -> bool {
    [
        "CredentialsNotLoaded",
        "no providers in chain provided credentials",
        "unexpected credentials error",
        "an error occurred while loading credentials",
        "credentials provider was not properly configured",
    ]
    .iter()
    .any(|words| said.contains(words))
}

fn cut(text: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().map(plain).take(MAX_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_says_what_to_do() {
        let text =
            |code: &str| Failure::of_entry("SQS", "SendMessageBatch", code, "for a reason").to_string();
        for (code, advice) in [
            ("ThrottlingException", "tried again"),
            ("RequestThrottled", "tried again"),
            ("AccessDeniedException", "add the action to its role"),
            ("KmsAccessDenied", "add the action to its role"),
            ("ExpiredTokenException", "keys have expired"),
            ("AWS.SimpleQueueService.NonExistentQueue", "check the configured name"),
            ("QueueDoesNotExist", "check the configured name"),
            ("com.amazonaws.sqs#QueueDoesNotExist", "check the configured name"),
            ("KMSInternalException", "check its endpoint"),
            ("InternalError", "check its endpoint"),
            ("InvalidMessageContents", "refuses SendMessageBatch"),
        ] {
            let text = text(code);
            assert!(
                text.contains(advice) && text.contains("SQS") && text.contains("for a reason"),
                "{code}: {text}"
            );
        }
    }

    #[test]
    fn a_hostile_answer_is_cut_and_steers_no_terminal() {
        let failure = Failure::of_entry("KMS", "Sign", "X", &format!("\u{1b}[31m{}", "y".repeat(10_000)));
        let text = failure.to_string();
        assert!(text.len() < 400 && !text.contains('\u{1b}'), "{text}");
        assert!(!failure.is_passing());
    }
}
