//! The gateway behind real sockets, against a dispatcher, a DNS server and destinations of the tests' own.

#[path = "../../../contracts/plane/tests/it/authority.rs"]
mod authority;
mod check;
mod deliveries;
mod dns;
mod forward;
mod names;
mod outside;
mod platform;
mod provider;
mod receiver;
mod refusals;
mod rpc;
mod tls;
mod tokens;
mod tunnel;
