//! `POST /v1/task/credentials` and `POST /v1/task/objects`.

use std::{collections::BTreeMap, sync::Arc};

use axum::{Json, extract::State};
use serde_json::{Value, json};
use trace_contracts::{
    Capability, Manifest, Sha256,
    wire::{
        plane::{Actor, AuditEntry, AuditVerdict, Plane},
        task::{CredentialsReply, ObjectsReply, ObjectsRequest},
    },
};
use trace_plane::{Body, Reply};

use super::{LiveTask, over};
use crate::{
    App,
    credentials::{
        ManifestPrefixes, Packed,
        addresses::{self, Listed},
        issue::{Holder, Issued},
        policy::{prefixes_of, readable_manifests, session_policies},
    },
    db,
};

/// Keys for the object store that reach what the capability does.
pub(super) async fn credentials(State(app): State<App>, task: LiveTask) -> Reply<Json<CredentialsReply>> {
    let issued = issued(&app, &task).await?;
    Ok(Json(CredentialsReply {
        region: app.config.object_store.region.clone(),
        sessions: issued.sessions.clone(),
        folders_by_address: issued.left.len().try_into().unwrap_or(u32::MAX),
    }))
}

/// Addresses of the inputs' objects that the sessions do not reach.
pub(super) async fn objects(
    State(app): State<App>,
    task: LiveTask,
    Body(request): Body<ObjectsRequest>,
) -> Reply<Json<ObjectsReply>> {
    let issued = issued(&app, &task).await?;
    let (capability, now) = (&*task.capability, app.credentials.now());
    let Some(signer) = &issued.signer else {
        let expires_at = capability.expires_at();
        return Ok(Json(ObjectsReply { objects: Vec::new(), next: None, expires_at }));
    };
    let manifests = manifests(&app, capability).await?;
    let listed = Listed::new(capability, manifests.values(), &issued.left)?;
    let ends = (now, capability.expires_at());
    let page = addresses::sign(&app.objects, signer, &listed, &request, ends).await?;
    let detail = json!({
        "objects": page.objects.len(),
        "first": page.objects.first().map(|object| &object.key),
        "last": page.objects.last().map(|object| &object.key),
        "expires_at": page.expires_at,
    });
    audit(&app, capability, "objects.presign", detail).await?;
    Ok(Json(page))
}

/// What the attempt was given before, while it is fresh, or else new sessions.
async fn issued(app: &App, task: &LiveTask) -> Reply<Arc<Issued>> {
    let capability = &*task.capability;
    let holder = Holder {
        org: capability.org(),
        task: capability.task(),
        attempt: capability.attempt(),
        kid: capability.kid().clone(),
    };
    let mut turn = app.credentials.turn(holder.attempt).await;
    if let Some(issued) = app.credentials.fresh(&turn) {
        return Ok(issued);
    }
    let packed = packed(app, capability).await?;
    // Written first: what can't be audited is not done.
    let detail = json!({
        "sessions": packed.sessions.len(),
        "read": packed.sessions.iter().flat_map(|policy| &policy.read).collect::<Vec<_>>(),
        "folders_by_address": packed.left.len(),
    });
    audit(app, capability, "credentials.mint", detail).await?;
    let issued = app.credentials.mint(&mut turn, holder, packed).await?;
    // An attempt that ended while its sessions were minted may have been revoked before they were
    // there; so they are taken back here.
    let mut conn = app.db.acquire().await.map_err(db::Error::from)?;
    let lives = db::leases::current_under(&mut conn, task.lease.attempt, capability.kid()).await?.is_some();
    if !lives || app.liveness.is_cut(task.lease.attempt) {
        app.credentials.revoke(task.lease.attempt).await?;
        return Err(over());
    }
    Ok(issued)
}

async fn packed(app: &App, capability: &Capability) -> Reply<Packed> {
    let mut prefixes = ManifestPrefixes::new();
    for (hash, manifest) in manifests(app, capability).await? {
        prefixes.insert(hash, prefixes_of(capability, &manifest)?);
    }
    Ok(session_policies(&app.credentials.rules().names, capability, &prefixes)?)
}

async fn manifests(app: &App, capability: &Capability) -> Reply<BTreeMap<Sha256, Manifest>> {
    let wanted = readable_manifests(capability);
    let mut conn = app.db.acquire().await.map_err(db::Error::from)?;
    Ok(db::manifests::of_versions(&mut conn, &wanted).await?)
}

async fn audit(app: &App, capability: &Capability, action: &str, detail: Value) -> Reply<()> {
    let entry = AuditEntry {
        plane: Plane::Dispatcher,
        org: capability.org(),
        actor: Actor::Attempt { task: capability.task(), attempt: capability.attempt() },
        action: action.to_owned(),
        object: capability.grants().output.to_string(),
        verdict: AuditVerdict::Allow,
        detail,
        kid: Some(capability.kid().clone()),
    };
    let mut conn = app.db.acquire().await.map_err(db::Error::from)?;
    Ok(db::audit::append(&mut conn, &[entry]).await?)
}
