//! What `trace up` brings along so that one machine needs no cloud: a private PostgreSQL and an S3
//! endpoint on local files. Production wires RDS and S3 to the same ports instead.

pub mod postgres;

pub use trace_object_store as object_store;
