//! `POST /v1/task/credentials`.

use std::time::Duration;

use axum::{Json, extract::State};
use serde_json::json;
use trace_contracts::{
    Capability,
    wire::{
        plane::{Actor, AuditEntry, AuditVerdict, Plane},
        task::{CredentialsReply, SessionCredentials},
    },
};
use trace_plane::Reply;

use super::{LiveTask, over};
use crate::{
    App,
    credentials::{
        ManifestPrefixes, SessionPolicy, SessionRequest,
        policy::{prefixes_of, readable_manifests, session_policies},
    },
    db,
};

/// Keys for the object store that reach what the capability does.
pub(super) async fn credentials(State(app): State<App>, task: LiveTask) -> Reply<Json<CredentialsReply>> {
    let capability = &*task.capability;
    let policies = policies(&app, capability).await?;
    // Written first: what can't be audited is not done.
    audit(&app, capability, &policies).await?;
    let mut sessions = Vec::with_capacity(policies.len());
    for policy in policies {
        sessions.push(session(&app, capability, policy).await?);
    }
    // An attempt that ended while its sessions were minted may have been revoked before they were
    // there; so they are taken back here.
    let mut conn = app.db.acquire().await.map_err(db::Error::from)?;
    let lives = db::leases::current_under(&mut conn, task.lease.attempt, capability.kid()).await?.is_some();
    if !lives || app.liveness.is_cut(task.lease.attempt) {
        app.credentials.revoke(task.lease.attempt).await?;
        return Err(over());
    }
    Ok(Json(CredentialsReply { region: app.config.object_store.region.clone(), sessions }))
}

async fn policies(app: &App, capability: &Capability) -> Reply<Vec<SessionPolicy>> {
    let wanted = readable_manifests(capability);
    let mut conn = app.db.acquire().await.map_err(db::Error::from)?;
    let mut prefixes = ManifestPrefixes::new();
    for (hash, manifest) in db::manifests::of_versions(&mut conn, &wanted).await? {
        prefixes.insert(hash, prefixes_of(capability, &manifest)?);
    }
    Ok(session_policies(capability, &prefixes)?)
}

async fn session(app: &App, capability: &Capability, policy: SessionPolicy) -> Reply<SessionCredentials> {
    let (read, write) = (policy.read.clone(), policy.write.clone());
    let request = SessionRequest {
        org: capability.org(),
        task: capability.task(),
        attempt: capability.attempt(),
        kid: capability.kid().clone(),
        policy,
        duration: Duration::from_secs(app.config.limits.session_seconds),
    };
    let keys = app.credentials.mint(request).await?;
    Ok(SessionCredentials {
        access_key_id: keys.access_key_id,
        secret_access_key: keys.secret_access_key,
        session_token: keys.session_token,
        expires_at: keys.expires_at,
        read,
        write,
    })
}

async fn audit(app: &App, capability: &Capability, policies: &[SessionPolicy]) -> Reply<()> {
    let entry = AuditEntry {
        plane: Plane::Dispatcher,
        org: capability.org(),
        actor: Actor::Attempt { task: capability.task(), attempt: capability.attempt() },
        action: "credentials.mint".to_owned(),
        object: capability.grants().output.to_string(),
        verdict: AuditVerdict::Allow,
        detail: json!({
            "sessions": policies.len(),
            "read": policies.iter().flat_map(|policy| &policy.read).collect::<Vec<_>>(),
        }),
        kid: Some(capability.kid().clone()),
    };
    let mut conn = app.db.acquire().await.map_err(db::Error::from)?;
    Ok(db::audit::append(&mut conn, &[entry]).await?)
}
