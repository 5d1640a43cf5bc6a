//! What every part of Trace shares: ids, locations, grants, tokens, wire bodies and error codes.
//!
//! No SQL, no AWS, no HTTP server and no runtime: a type here is a promise between parts, and the
//! part that makes it true lives elsewhere. Values that come from outside are parsed into these
//! types once, at the edge, and prove themselves from there on.

pub mod certificate;
pub mod destination;
pub mod digest;
pub mod grant;
pub mod id;
pub mod keys;
pub mod launch;
pub mod location;
pub mod manifest;
pub mod name;
pub mod pattern;
pub mod problem;
pub mod role;
pub mod runtime;
pub mod secret;
pub mod token;
pub mod webhook;
pub mod wire;

mod text_form;

pub use destination::{Destination, EgressGrant, Host, HostName};
pub use digest::Sha256;
pub use grant::{Grants, InputGrant, RowFilter};
pub use id::{
    AttemptId, ClaimId, DagId, DagVersionId, DatasetId, DatasetVersionId, DeliveryId, EgressRuleId, KeyId,
    LeaseToken, OrgId, RunId, TaskId, UserId, WorkerId,
};
pub use launch::{LaunchNonce, LaunchTicket};
pub use location::{ObjectKey, S3Prefix};
pub use manifest::{Manifest, ManifestObject};
pub use name::{Name, PartitionKey};
pub use pattern::DestinationPattern;
pub use problem::{ErrorCode, FieldError, Problem};
pub use role::Role;
pub use runtime::Runtime;
pub use secret::Secret;
pub use token::{Audience, Capability, UserIdentity};
pub use webhook::WebhookUrl;
