//! The dispatcher against a real PostgreSQL, over HTTP.

mod support;

mod cancel;
mod capabilities;
mod claims;
mod completions;
mod crashes;
mod embedded_sessions;
mod failures;
mod fences;
mod idle;
mod keys;
mod leases;
mod limits;
mod liveness;
mod logs;
mod objects;
mod priorities;
mod races;
mod refusals;
mod replay;
mod runs;
mod session_policies;
mod sts;
mod sts_enforced;
mod two_dispatchers;
mod upgrade;
mod user_audit;
mod user_datasets;
mod user_deploy;
mod user_limits;
mod user_routes;
mod user_runs;
mod user_suspend;
mod wake_ups;
mod why;
