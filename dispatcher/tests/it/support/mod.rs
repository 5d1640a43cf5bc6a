//! What the tests stand on: real PostgreSQL, an object store in memory, an issuer of user tokens,
//! and a dispatcher that is served on ports of its own.

pub mod adapters;
pub mod app;
#[path = "../../../../contracts/plane/tests/it/authority.rs"]
pub mod authority;
pub mod dags;
pub mod deliveries;
pub mod fake_sts;
pub mod grants;
pub mod iam;
pub mod platform;
pub mod postgres;
pub mod program;
pub mod s3;
pub mod seaweed;
pub mod tls_postgres;
pub mod users;
pub mod wire;

pub use platform::Platform;
