//! The command line as a program: arguments and environment in, output and exit code out.

mod authority;
mod deploy;
mod egress;
mod embedded;
mod limits;
mod lists;
mod logs;
mod platform;
mod query;
mod refusals;
mod switches;
mod trigger;
mod up;
