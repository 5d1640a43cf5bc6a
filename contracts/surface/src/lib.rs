//! What a UDF sees, whatever runs it: the process sandbox of a worker, or a container of its own with the
//! runner in it. Both take the variables, folders, addresses and the interpreter from here, unpack bundles and
//! read outputs with the code here, so that one UDF file runs unchanged in either.
//!
//! Nothing here confines anything: that is the sandbox's own, or the container's.

pub mod bundle;
pub mod environment;
pub mod folders;
pub mod forwarder;
pub mod output;
mod program;
pub mod proxy;
pub mod python;
pub mod routes;

pub use program::Program;
