//! The configuration of each service, for one machine. This is all that differs from a cloud,
//! besides the adapters.

use std::{num::NonZeroUsize, thread};

use sqlx::ConnectOptions as _;
use trace_contracts::{Secret, token::USER_AUDIENCE};
use trace_worker_wrapper::sandbox::SandboxConfig;

use super::Ground;
use crate::{
    embedded::object_store::RootCredentials,
    tools::Tools,
    up::{
        Options,
        data_dir::{self, DataDir},
        issuer::{ISSUER, JWKS_PATH},
        listeners::Listeners,
    },
};

/// `iss` of capability tokens.
const CAPABILITY_ISSUER: &str = "trace-up/dispatcher";
/// Where the dispatcher publishes the keys of capabilities.
const CAPABILITY_JWKS: &str = "/.well-known/jwks.json";
/// The bucket of the embedded object store.
pub(super) const BUCKET: &str = "trace";
/// The region that requests to it are signed for.
pub(super) const REGION: &str = "us-east-1";
/// Connections to PostgreSQL.
const DATABASE_CONNECTIONS: u32 = 16;
/// Bundles and files that the worker keeps.
const CACHE_BYTES: u64 = 1 << 30;
/// How long the worker's claims wait.
const CLAIM_WAIT_MS: u64 = 30_000;
/// How long running tasks may go on once the platform is told to stop.
const DRAIN_MS: u64 = 30_000;

pub(super) fn dispatcher(
    options: &Options,
    data: &DataDir,
    ground: &Ground,
    listeners: &Listeners,
) -> Result<trace_dispatcher::Config, data_dir::Error> {
    use trace_dispatcher::config::{Config, Jwks, Keys, Limits, Listen, ObjectStore, StoreKeys, UserIssuer};
    let RootCredentials { access_key_id, secret_access_key } = ground.object_store.root_credentials().clone();
    Ok(Config {
        database_url: Secret::new(ground.postgres.connect_options().to_url_lossy().to_string()),
        database_connections: DATABASE_CONNECTIONS,
        unverified_database: Default::default(),
        plain_http: Default::default(),
        // The listeners are bound here, not by the dispatcher.
        transport: Default::default(),
        ready_file: None,
        listen: Listen {
            users: listeners.users.address,
            tasks: listeners.tasks.address,
            workers: listeners.workers.address,
        },
        key_dir: data.folder("keys")?,
        capability_issuer: CAPABILITY_ISSUER.to_owned(),
        users: UserIssuer {
            issuer: ISSUER.to_owned(),
            audience: USER_AUDIENCE.to_owned(),
            jwks: Jwks::File(data.path().join("issuer/jwks.json")),
        },
        object_store: ObjectStore {
            endpoint: Some(ground.object_store.endpoint().clone()),
            region: REGION.to_owned(),
            bucket: BUCKET.to_owned(),
            keys: Some(StoreKeys { access_key_id, secret_access_key }),
        },
        keys: Keys { platform_org: options.orgs.first().cloned(), ..Keys::default() },
        // Sessions are the embedded object store's.
        credentials: trace_dispatcher::credentials::Source::None,
        egress: trace_dispatcher::config::Egress::Gateway,
        webhooks: trace_dispatcher::webhooks::Settings::default(),
        wake_ups: trace_dispatcher::queue::Source::Postgres,
        limits: Limits::default(),
    })
}

pub(super) fn query_service(
    options: &Options,
    ground: &Ground,
    listeners: &Listeners,
    identity: Secret<String>,
) -> trace_query_service::Config {
    use trace_query_service::config::{Config, Engines, Issuer, Limits, Store, StoreKeys};
    let RootCredentials { access_key_id, secret_access_key } = ground.object_store.root_credentials().clone();
    let issuer = |issuer: &str, path: &str| Issuer {
        issuer: issuer.to_owned(),
        jwks: listeners.users.url(path),
        audience: USER_AUDIENCE.to_owned(),
    };
    Config {
        dispatcher: listeners.workers.url(""),
        identity,
        capabilities: issuer(CAPABILITY_ISSUER, CAPABILITY_JWKS),
        capability_root: None,
        ca_file: None,
        plain_http: Default::default(),
        users: issuer(ISSUER, JWKS_PATH),
        store: Store {
            endpoint: Some(ground.object_store.endpoint().clone()),
            region: REGION.to_owned(),
            keys: Some(StoreKeys { access_key_id, secret_access_key, session_token: None }),
        },
        engines: Engines { count: slots(options).get().clamp(2, 8), ..Engines::default() },
        limits: Limits::default(),
    }
}

/// The way out. What may be reached is for admins to say (`trace egress`); a private address is reached only if
/// the operator's file names it.
pub(super) fn egress_gateway(
    options: &Options,
    listeners: &Listeners,
    identity: Secret<String>,
) -> trace_egress_gateway::Config {
    use trace_egress_gateway::config::{Config, Deliveries, Issuer, Limits};
    Config {
        dispatcher: listeners.workers.url(""),
        identity,
        capabilities: Issuer {
            issuer: CAPABILITY_ISSUER.to_owned(),
            jwks: listeners.users.url(CAPABILITY_JWKS),
        },
        ca_file: None,
        plain_http: Default::default(),
        capability_root: None,
        policy: options.egress_policy.clone(),
        deliveries: Deliveries { ca_file: options.egress_ca.clone(), ..Deliveries::default() },
        dns_servers: options.egress_dns.clone(),
        services: Default::default(),
        rpc: Default::default(),
        limits: Limits::default(),
    }
}

pub(super) fn worker(
    options: &Options,
    data: &DataDir,
    ground: &Ground,
    listeners: &Listeners,
    identity: Secret<String>,
) -> Result<trace_worker_wrapper::Config, data_dir::Error> {
    use trace_worker_wrapper::{
        config::{Addressing, Config, LauncherSettings, ObjectStore, SandboxSettings},
        secrets::Source,
    };
    Ok(Config {
        dispatcher: listeners.workers.url(""),
        task_api: listeners.tasks.url(""),
        query: listeners.queries.url(""),
        egress: Some(listeners.egress.url("")),
        object_store: ObjectStore {
            endpoint: ground.object_store.endpoint().clone(),
            region: REGION.to_owned(),
            addressing: Addressing::Path,
        },
        identity,
        work_dir: data.folder("worker")?,
        slots: slots(options),
        cache_bytes: CACHE_BYTES,
        claim_wait_ms: CLAIM_WAIT_MS,
        drain_ms: DRAIN_MS,
        secrets: options.secrets.clone().map_or(Source::None, Source::Folder),
        wake_ups: trace_worker_wrapper::wakeups::Source::Dispatcher,
        health: None,
        transport: Default::default(),
        ready_file: None,
        ca_file: None,
        plain_http: Default::default(),
        // The launcher is given, and has them already.
        launcher: LauncherSettings::Process,
        sandbox: SandboxSettings::default(),
    })
}

pub(super) fn sandbox(tools: Tools) -> SandboxConfig {
    SandboxConfig { sdk: Some(tools.sdk), tools: tools.programs, ..SandboxConfig::default() }
}

fn slots(options: &Options) -> NonZeroUsize {
    let asked = options.slots.and_then(|slots| NonZeroUsize::new(slots.get() as usize));
    asked.or_else(|| thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN)
}
