//! Checks the model, its broken variants, and how the log of a real PostgreSQL is read.

mod decode;
mod model;
#[path = "../../../tests/it/support/postgres.rs"]
mod postgres;
mod variants;
