//! A dispatcher with the routes of workers and users called by hand.

use std::{net::SocketAddr, path::Path, sync::Arc};

use anyhow::ensure;
use serde::{Serialize, de::DeserializeOwned};
use tokio_util::sync::{CancellationToken, DropGuard};
use trace_contracts::{Name, Secret};
use trace_dispatcher::{
    Adapters, Addresses, App, Config, bootstrap,
    config::{Jwks, Keys, Limits, Listen, ObjectStore, StoreKeys, UserIssuer},
    identity::Kind,
    start,
};
use trace_object_store::EmbeddedObjectStore;

use crate::{
    BUCKET, REGION,
    sessions::Sessions,
    users::{ISSUER, Issuer},
};

/// `iss` of capabilities.
pub const CAPABILITY_ISSUER: &str = "https://dispatcher.stand";

/// A dispatcher on ports of its own. It stops when this is dropped.
pub struct Dispatcher {
    app: App,
    addresses: Addresses,
    http: reqwest::Client,
    worker: Secret<String>,
    plane: Secret<String>,
    _stop: DropGuard,
}

impl Dispatcher {
    pub(crate) async fn start(
        database: &str,
        folder: &Path,
        issuer: &Issuer,
        store: &EmbeddedObjectStore,
    ) -> anyhow::Result<Self> {
        let any: SocketAddr = "127.0.0.1:0".parse()?;
        let main: Name = "main".parse()?;
        let root = store.root_credentials().clone();
        let config = Config {
            database_url: Secret::new(database.to_owned()),
            database_connections: 16,
            unverified_database: Default::default(),
            plain_http: Default::default(),
            transport: Default::default(),
            ready_file: None,
            listen: Listen { users: any, tasks: any, workers: any },
            key_dir: folder.join("keys"),
            capability_issuer: CAPABILITY_ISSUER.to_owned(),
            users: UserIssuer {
                issuer: ISSUER.to_owned(),
                audience: "trace".to_owned(),
                jwks: Jwks::File(issuer.jwks_file().to_owned()),
            },
            object_store: ObjectStore {
                endpoint: Some(store.endpoint().clone()),
                region: REGION.to_owned(),
                bucket: BUCKET.to_owned(),
                keys: Some(StoreKeys {
                    access_key_id: root.access_key_id,
                    secret_access_key: root.secret_access_key,
                }),
            },
            credentials: trace_dispatcher::credentials::Source::None,
            egress: trace_dispatcher::config::Egress::None,
            webhooks: trace_dispatcher::webhooks::Settings::default(),
            wake_ups: trace_dispatcher::queue::Source::Postgres,
            keys: Keys { platform_org: Some(main.clone()), ..Keys::default() },
            limits: Limits { lease_ms: 600_000, ..Limits::default() },
        };
        let adapters = Adapters::new(&config, Arc::new(Sessions(store.sessions())));
        let stop = CancellationToken::new();
        let dispatcher = start(config, adapters, stop.clone()).await?;
        let app = dispatcher.app().clone();
        bootstrap::ensure_org(&app.db, &main).await?;
        let listeners = dispatcher.bind().await?;
        let addresses = listeners.addresses()?;
        let (worker, plane) =
            (format!("worker_{}", addresses.workers.port()), format!("plane_{}", addresses.workers.port()));
        let worker = bootstrap::issue_identity(&app.db, &worker, Kind::Worker).await?;
        let plane = bootstrap::issue_identity(&app.db, &plane, Kind::Plane).await?;
        tokio::spawn(dispatcher.serve(listeners));
        let http = reqwest::Client::builder().no_proxy().build()?;
        Ok(Self { app, addresses, http, worker, plane, _stop: stop.drop_guard() })
    }

    /// Its state.
    #[must_use]
    pub const fn app(&self) -> &App {
        &self.app
    }

    /// Where it listens.
    #[must_use]
    pub const fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    pub(crate) const fn plane(&self) -> &Secret<String> {
        &self.plane
    }

    /// Calls a route of workers, which must be answered with success.
    pub async fn worker<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &(impl Serialize + Sync),
    ) -> anyhow::Result<T> {
        let url = format!("http://{}{path}", self.addresses.workers);
        self.post(&url, self.worker.expose(), body).await
    }

    /// Calls a route of users with `POST`, which must be answered with success.
    pub async fn user<T: DeserializeOwned>(
        &self,
        token: &str,
        path: &str,
        body: &(impl Serialize + Sync),
    ) -> anyhow::Result<T> {
        self.post(&format!("http://{}{path}", self.addresses.users), token, body).await
    }

    /// The same with `GET`.
    pub async fn get<T: DeserializeOwned>(&self, token: &str, path: &str) -> anyhow::Result<T> {
        let url = format!("http://{}{path}", self.addresses.users);
        let response = self.http.get(&url).bearer_auth(token).send().await?;
        let (status, text) = (response.status(), response.text().await?);
        ensure!(status.is_success(), "GET {url}: {status}: {text}");
        Ok(serde_json::from_str(&text)?)
    }

    /// Calls a route of tasks; answers whatever comes back.
    pub async fn task(
        &self,
        method: reqwest::Method,
        path: &str,
        token: &Secret<String>,
        body: Option<&serde_json::Value>,
    ) -> anyhow::Result<reqwest::Response> {
        let url = format!("http://{}{path}", self.addresses.tasks);
        let request = self.http.request(method, url).bearer_auth(token.expose());
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        Ok(request.send().await?)
    }

    async fn post<T: DeserializeOwned>(
        &self,
        url: &str,
        token: &str,
        body: &(impl Serialize + Sync),
    ) -> anyhow::Result<T> {
        let response = self.http.post(url).bearer_auth(token).json(body).send().await?;
        let (status, text) = (response.status(), response.text().await?);
        ensure!(status.is_success(), "POST {url}: {status}: {text}");
        Ok(serde_json::from_str(&text)?)
    }
}
