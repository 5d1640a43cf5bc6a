//! A PostgreSQL of the benchmark's own.

pub use trace_stand::Cluster;
