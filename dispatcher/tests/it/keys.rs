//! The key ring: rotation, retirement, revocation, and what a key file has to be.

use std::{fs, path::Path};

use futures::future::join_all;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use sqlx::PgPool;
use trace_contracts::{
    Audience, Capability, ErrorCode, KeyId, Role, Secret,
    keys::KeySet,
    token::{CAPABILITY_TYPE, CapabilityClaims},
    wire::{
        authority::{KeyInfo, KeyState, RevokeKeyReply},
        plane::{AuditRecord, AuditVerdict, LivenessReply, LivenessRequest},
        worker::{CompleteVerdict, Lease},
    },
};
use trace_dispatcher::{
    authority,
    config::{Keys, Limits, WhenLost},
    keys::{Error, KeyRing, SigningKey},
};

use crate::{
    refusals::user_token,
    support::{
        Platform,
        app::{TestApp, code},
        dags::{job, partitioned, spec},
        platform::CAPABILITY_ISSUER,
        postgres::fresh_database,
        wire::{ok, problem, succeeded},
    },
};

impl Platform {
    async fn admin(&self, method: Method, path: &str, body: &Value) -> Response {
        let url = format!("http://{}{path}", self.addresses.users);
        let request = self.http.request(method, url).bearer_auth(user_token(self).expose());
        let request = if body.is_null() { request } else { request.json(body) };
        request.send().await.unwrap()
    }

    async fn rotate(&self) -> KeyInfo {
        ok(self.admin(Method::POST, "/v1/keys/rotate", &json!({ "reason": "a test" })).await).await
    }

    async fn revoke(&self, kid: &KeyId) -> RevokeKeyReply {
        let path = format!("/v1/keys/{kid}/revoke");
        ok(self.admin(Method::POST, &path, &json!({ "reason": "stolen" })).await).await
    }

    async fn keys(&self) -> Vec<KeyInfo> {
        ok(self.admin(Method::GET, "/v1/keys", &Value::Null).await).await
    }

    async fn jwks(&self) -> Value {
        let url = format!("http://{}/.well-known/jwks.json", self.addresses.users);
        self.http.get(url).send().await.unwrap().json().await.unwrap()
    }

    /// The key that signed a lease's token.
    async fn kid_of(&self, lease: &Lease) -> KeyId {
        let header = jsonwebtoken::decode_header(lease.capability_token.expose()).unwrap();
        header.kid.unwrap().parse().unwrap()
    }

    /// The signing keys in the folder, which has the key of webhooks, too.
    fn key_files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir.path().join("keys")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.ends_with(".p8")).collect()
    }

    async fn context(&self, token: &Secret<String>) -> Response {
        self.task(Method::GET, "/v1/task/context", token).send().await.unwrap()
    }
}

/// What a thief makes who has read a key file: a capability like another one, signed anew.
fn forged(key: &SigningKey, like: &Capability) -> Secret<String> {
    let now = chrono::Utc::now().timestamp();
    let claims = CapabilityClaims {
        iss: CAPABILITY_ISSUER.to_owned(),
        aud: Audience::Dispatcher,
        sub: like.task(),
        attempt: like.attempt(),
        org: like.org(),
        jti: uuid::Uuid::new_v4(),
        iat: now,
        nbf: now,
        exp: now + 600,
        grants: like.grants().clone(),
    };
    Secret::new(key.token(CAPABILITY_TYPE, &claims).unwrap())
}

#[tokio::test]
async fn after_a_rotation_every_dispatcher_signs_anew_and_believes_both() {
    let one = Platform::start().await;
    let two = one.beside().await;
    one.run(spec("d", vec![partitioned(job("a"), 2)])).await;
    let before = one.claim(1).await.remove(0);
    let old = one.kid_of(&before).await;
    let new = one.rotate().await;
    assert_eq!((new.state, new.kid == old), (KeyState::Signing, false));
    // No news are waited for: which key signs is asked of the database.
    let after = two.claim(1).await.remove(0);
    assert_eq!(two.kid_of(&after).await, new.kid);
    for platform in [&one, &two] {
        for lease in [&before, &after] {
            assert_eq!(platform.context(&lease.capability_token).await.status(), 200);
        }
    }
    let jwks = one.jwks().await;
    let states: Vec<(&str, &str)> = jwks["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| (key["kid"].as_str().unwrap(), key["trace_state"].as_str().unwrap()))
        .collect();
    assert_eq!(states, [(new.kid.as_str(), "signing"), (old.as_str(), "verifying")]);
    KeySet::from_jwks(&jwks.to_string()).unwrap();
    let verifying = one.keys().await.remove(1);
    let overlap = verifying.retires_at.unwrap() - verifying.stopped_at.unwrap();
    assert!(overlap.num_seconds() >= 600 + 5 + 60, "tokens, leeway and cached key sets: {overlap}");
    assert_eq!(one.key_files(), [format!("{}.p8", new.kid)], "what signs no more is not kept");
}

#[tokio::test]
async fn a_key_retires_when_its_overlap_is_over() {
    let platform = Platform::start().await;
    platform.run(spec("d", vec![job("a")])).await;
    let lease = platform.claim_one().await;
    let old = platform.kid_of(&lease).await;
    platform.rotate().await;
    // The end of the overlap, as the clock would bring it.
    sqlx::query("update signing_keys set retires_at = now() where kid = $1")
        .bind(old.as_str())
        .execute(&platform.db)
        .await
        .unwrap();
    sqlx::query("select pg_notify('trace_authority', '')").execute(&platform.db).await.unwrap();
    while platform.jwks().await["keys"].as_array().unwrap().len() > 1 {}
    let refused = problem(platform.context(&lease.capability_token).await).await;
    assert_eq!(refused.code, ErrorCode::Unauthenticated);
    let states: Vec<KeyState> = platform.keys().await.iter().map(|key| key.state).collect();
    assert_eq!(states, [KeyState::Signing, KeyState::Retired]);
}

#[tokio::test]
async fn a_revoked_key_takes_what_it_signed_with_it() {
    let platform = Platform::start().await;
    let run = platform.run(spec("d", vec![partitioned(job("a"), 3)])).await;
    let stolen = SigningKey::open(&platform.dir.path().join("keys")).unwrap();
    let leases = platform.claim(3).await;
    let old = platform.kid_of(&leases[0]).await;
    assert_eq!(stolen.id(), &old);
    let request = LivenessRequest {
        attempts: vec![leases[0].attempt],
        keys: vec![old.clone()],
        wait_ms: 20_000,
        ..LivenessRequest::default()
    };
    let feed = platform.internal(Method::POST, "/internal/liveness", &platform.plane).json(&request).send();
    let (reply, news) = tokio::join!(platform.revoke(&old), feed);
    let news: LivenessReply = ok(news.unwrap()).await;
    assert!(news.revoked_keys == [old.clone()] || !news.dead.is_empty(), "{news:?}");
    assert_eq!((reply.revoked.state, reply.signing.state), (KeyState::Revoked, KeyState::Signing));
    assert_eq!(reply.attempts_ended, 3);

    assert_eq!(platform.count("select count(*) from leases").await, 0);
    assert_eq!(platform.count("select count(*) from ready where failures = 0").await, 3);
    assert_eq!(platform.count("select count(*) from attempts where outcome = 'key_revoked'").await, 3);
    for lease in &leases {
        let refused = problem(platform.context(&lease.capability_token).await).await;
        assert_eq!(refused.code, ErrorCode::Revoked);
    }
    assert_eq!(platform.complete_one(succeeded(&leases[0])).await, CompleteVerdict::Stale);

    // The tasks run again; and the thief's key is of no use for their new attempts either.
    let again = platform.claim(3).await;
    assert_eq!(again.len(), 3);
    assert_eq!(platform.kid_of(&again[0]).await, reply.signing.kid);
    let token = forged(&stolen, &platform.verify(again[0].capability_token.expose(), Audience::Dispatcher));
    let refused = problem(platform.context(&token).await).await;
    assert_eq!(refused.code, ErrorCode::Revoked);
    assert_eq!(platform.context(&again[0].capability_token).await.status(), 200);
    let path = format!("/v1/keys/{old}/touched");
    let touched: Vec<AuditRecord> = ok(platform.admin(Method::GET, &path, &Value::Null).await).await;
    assert!(touched.iter().all(|record| record.entry.kid.as_ref() == Some(&old)));
    let thief = touched.last().unwrap();
    assert_eq!((thief.entry.verdict, &*thief.entry.action), (AuditVerdict::Deny, "token.use"));

    let verdicts = platform.complete(again.iter().map(succeeded).collect()).await;
    assert!(verdicts.iter().all(|verdict| *verdict == CompleteVerdict::Recorded));
    assert_eq!(platform.state_of(run).await, "succeeded");
    assert_eq!(platform.revoke(&old).await.attempts_ended, 0, "twice does nothing more");
    platform.assert_consistent().await;
}

/// Whatever a claim and a revocation do to each other: afterwards every attempt that lives holds a token that
/// is believed.
#[tokio::test]
async fn no_live_attempt_holds_a_token_of_a_revoked_key() {
    let one = Platform::start().await;
    let two = one.beside().await;
    one.run(spec("d", vec![partitioned(job("a"), 400)])).await;
    for _ in 0..10 {
        let signing = one.keys().await.remove(0).kid;
        let claims = join_all((0..6).map(|n| if n % 2 == 0 { one.claim(3) } else { two.claim(3) }));
        let (leases, _) = tokio::join!(claims, one.revoke(&signing));
        let live: Vec<i64> =
            sqlx::query_scalar("select attempt_id from leases").fetch_all(&one.db).await.unwrap();
        for lease in leases.iter().flatten().filter(|lease| live.contains(&lease.attempt.get())) {
            assert_ne!(one.kid_of(lease).await, signing, "{} lives under a revoked key", lease.attempt);
            assert_eq!(two.context(&lease.capability_token).await.status(), 200);
        }
        one.assert_consistent().await;
    }
}

#[tokio::test]
async fn what_a_dispatcher_left_undone_is_done_by_the_sweep() {
    let limits = Limits { sweep_ms: 200, ..Limits::default() };
    let platform = Platform::with_limits(limits).await;
    platform.run(spec("d", vec![partitioned(job("a"), 2)])).await;
    let leases = platform.claim(2).await;
    let old = platform.kid_of(&leases[0]).await;
    let mut tx = platform.db.begin().await.unwrap();
    authority::keys::revoke(&mut tx, &platform.app, &old, platform.user, "stolen", None).await.unwrap();
    tx.commit().await.unwrap();
    // As if the dispatcher had stopped here.
    let attempts: Vec<_> = leases.iter().map(|lease| lease.attempt).collect();
    while platform.dead_of(&attempts, 1_000).await.len() < 2 {}
    assert_eq!(platform.count("select count(*) from attempts where outcome = 'key_revoked'").await, 2);
    platform.assert_consistent().await;
}

#[tokio::test]
async fn too_many_rotations_wait_and_a_revocation_never_does() {
    let platform = Platform::start().await;
    for _ in 0..15 {
        platform.rotate().await;
    }
    let refused = platform.admin(Method::POST, "/v1/keys/rotate", &json!({ "reason": "again" })).await;
    assert_eq!(problem(refused).await.code, ErrorCode::Conflict);
    let signing = platform.keys().await.remove(0).kid;
    assert_eq!(platform.revoke(&signing).await.revoked.kid, signing);
    KeySet::from_jwks(&platform.jwks().await.to_string()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_for_the_platform_s_own_admins_and_a_reason_is_asked_for() {
    let test = TestApp::start().await;
    let (admin, rival) = (test.user(Role::Admin), test.named("rival_admin", "rival", Role::Admin));
    let why = json!({ "reason": "because" });
    assert_eq!(code(rival.post("/v1/keys/rotate", &why).await).await, ErrorCode::Forbidden);
    assert_eq!(code(rival.send(Method::GET, "/v1/keys").await).await, ErrorCode::Forbidden);
    assert_eq!(code(admin.post("/v1/keys/nobody/revoke", &why).await).await, ErrorCode::NotFound);
    assert_eq!(code(admin.post("/v1/keys/a%2Fb/revoke", &why).await).await, ErrorCode::NotFound);
    for bad in [
        json!({}),
        json!({ "reason": "" }),
        json!({ "reason": "a\nb" }),
        json!({ "reason": "x".repeat(501) }),
    ] {
        assert_eq!(code(admin.post("/v1/keys/rotate", &bad).await).await, ErrorCode::BadRequest, "{bad}");
    }
    let denied: Vec<Value> = rival.get("/v1/audit").await;
    assert_eq!(denied.iter().filter(|entry| entry["verdict"] == "deny").count(), 2);
}

async fn migrated() -> PgPool {
    // A dispatcher brings the schema, and leaves.
    let url = fresh_database().await;
    Platform::on_database(url.clone()).await.stop().await;
    let db = PgPool::connect(&url).await.unwrap();
    sqlx::query("delete from signing_keys").execute(&db).await.unwrap();
    db
}

async fn open(db: &PgPool, folder: &Path, keys: &Keys) -> Result<KeyRing, Error> {
    KeyRing::open(db, folder, keys, 700, "https://dispatcher.test").await
}

async fn signing(ring: &KeyRing, db: &PgPool) -> KeyId {
    ring.signing(&mut db.acquire().await.unwrap()).await.unwrap().id().clone()
}

#[tokio::test]
async fn the_key_of_an_earlier_version_goes_on_signing() {
    let (db, dir) = (migrated().await, tempfile::tempdir().unwrap());
    let folder = dir.path().join("keys");
    let before = SigningKey::open(&folder).unwrap();
    let ring = open(&db, &folder, &Keys::default()).await.unwrap();
    assert_eq!(signing(&ring, &db).await, *before.id());
    let again = open(&db, &folder, &Keys::default()).await.unwrap();
    assert_eq!(signing(&again, &db).await, *before.id());
}

#[tokio::test]
async fn a_key_that_is_lost_stops_the_start_unless_it_is_to_be_replaced() {
    let (db, dir) = (migrated().await, tempfile::tempdir().unwrap());
    let first = signing(&open(&db, &dir.path().join("keys"), &Keys::default()).await.unwrap(), &db).await;
    let elsewhere = dir.path().join("elsewhere");
    let refused = open(&db, &elsewhere, &Keys::default()).await.unwrap_err();
    assert!(matches!(&refused, Error::Lost { kid, .. } if *kid == first), "{refused}");
    let replace = Keys { when_lost: WhenLost::Replace, ..Keys::default() };
    let ring = open(&db, &elsewhere, &replace).await.unwrap();
    assert_ne!(signing(&ring, &db).await, first);
    assert!(ring.jwks().contains(first.as_str()), "what the lost key signed is believed for a while");
}

#[tokio::test]
async fn a_key_that_an_operator_brings_signs_until_the_next_rotation() {
    let (db, dir) = (migrated().await, tempfile::tempdir().unwrap());
    let folder = dir.path().join("keys");
    let own = signing(&open(&db, &folder, &Keys::default()).await.unwrap(), &db).await;
    let brought = SigningKey::open(&dir.path().join("brought")).unwrap();
    let path = fs::read_dir(dir.path().join("brought")).unwrap().next().unwrap().unwrap().path();
    let keys = Keys { signing_key: Some(path.clone()), ..Keys::default() };
    let ring = open(&db, &folder, &keys).await.unwrap();
    assert_eq!(signing(&ring, &db).await, *brought.id());
    assert!(ring.jwks().contains(own.as_str()), "the one before it verifies");
    let mut tx = db.begin().await.unwrap();
    let next = ring.make().await.unwrap();
    ring.turn_to(&mut tx, &next).await.unwrap();
    tx.commit().await.unwrap();
    let restarted = open(&db, &folder, &keys).await.unwrap();
    assert_eq!(signing(&restarted, &db).await, *next.key.id(), "it is not brought back by a restart");
    assert!(path.exists(), "what an operator brought is theirs");
}

#[tokio::test]
async fn every_file_of_the_folder_is_checked_at_the_start() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let (db, dir) = (migrated().await, tempfile::tempdir().unwrap());
    let folder = dir.path().join("keys");
    open(&db, &folder, &Keys::default()).await.unwrap();
    let stray = folder.join("stray.p8");
    fs::write(&stray, "x").unwrap();
    fs::set_permissions(&stray, fs::Permissions::from_mode(0o604)).unwrap();
    let refused = open(&db, &folder, &Keys::default()).await.unwrap_err();
    assert!(matches!(&refused, Error::Permissions { mode: 0o604, .. }), "{refused}");
    assert!(refused.to_string().contains("chmod go= "), "{refused}");
    fs::remove_file(&stray).unwrap();
    symlink("/etc/passwd", &stray).unwrap();
    assert!(matches!(open(&db, &folder, &Keys::default()).await, Err(Error::Kind { .. })));
}
