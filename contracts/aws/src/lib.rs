//! How the services reach AWS: where, as whom, with how much patience; and what a refusal means to whoever
//! operates the platform.

mod failure;
mod identity;
mod settings;

pub use failure::{Failure, Kind};
pub use identity::identity;
pub use settings::{Aws, Keys, Patience};
pub use trace_plane::PlainHttp;
