//! The gateway behind real sockets, against a dispatcher, a DNS server and destinations of the tests' own.

mod check;
mod dns;
mod forward;
mod names;
mod outside;
mod platform;
mod provider;
mod refusals;
mod rpc;
mod tokens;
mod tunnel;
