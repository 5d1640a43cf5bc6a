//! The query service with real engines, behind real sockets, against a dispatcher and an object
//! store of the tests' own.

mod confinement;
mod engines;
mod forged;
mod local;
mod objects;
mod platform;
mod queries;
mod refusals;
mod tokens;
mod turns;
