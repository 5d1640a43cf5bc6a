//! The platform as its users meet it: the built binaries, real PostgreSQL, real sandboxes, and the
//! public command line. `make test` builds the workspace first, because the programs that run
//! inside the sandbox are binaries of their own.

#[path = "../../../contracts/plane/tests/it/authority.rs"]
mod authority;
mod drill;
mod egress;
mod faults;
mod flights;
mod platform;
mod recovery;
mod refusals;
mod webhooks;
