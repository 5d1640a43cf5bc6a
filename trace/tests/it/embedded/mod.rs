//! The embedded PostgreSQL and object store, with real clients.

mod object_store;
mod postgres;
