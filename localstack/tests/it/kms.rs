//! KMS as the root of trust of the keys that sign capabilities.

use std::time::Duration;

use aws_sdk_kms::{
    Client,
    types::{KeySpec, KeyUsageType},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use trace_aws::Aws;
use trace_contracts::{
    Audience, Capability, ClaimId, Secret,
    certificate::Root,
    keys::{Error as KeysError, KeySet},
    token,
    wire::worker::{ClaimReply, Lease},
};
use trace_dispatcher::{
    Error as StartError,
    config::{self, Keys},
    keys::{Error as KeyError, SigningKey, kms},
};
use trace_localstack::{CAPABILITY_ISSUER, Emulator, Fault, Options, Platform, Proxy, job, until};

/// A key of KMS for signing.
pub struct RootKey {
    client: Client,
    pub id: String,
}

impl RootKey {
    async fn create(emulator: &Emulator, spec: KeySpec, usage: KeyUsageType) -> Self {
        let client = Client::new(&emulator.aws().sdk(trace_localstack::PATIENCE));
        let made = client.create_key().key_spec(spec).key_usage(usage).send().await.unwrap();
        let id = made.key_metadata().unwrap().key_id().to_owned();
        Self { client, id }
    }

    pub async fn p256(emulator: &Emulator) -> Self {
        Self::create(emulator, KeySpec::EccNistP256, KeyUsageType::SignVerify).await
    }

    /// The public half as an operator gives it to planes.
    pub async fn pem(&self) -> String {
        let public = self.client.get_public_key().key_id(&self.id).send().await.unwrap();
        let der = STANDARD.encode(public.public_key().unwrap());
        format!("-----BEGIN PUBLIC KEY-----\n{der}\n-----END PUBLIC KEY-----\n")
    }

    async fn root(&self) -> Root {
        Root::from_pem(&self.pem().await).unwrap()
    }
}

fn options(aws: Aws, key: &str, rotate_every_seconds: u64, certificate_seconds: u64) -> Options {
    let kms = kms::Config { aws, key: key.to_owned(), certificate_seconds };
    let root = config::Root::Kms(Box::new(kms));
    let keys = Keys { root, rotate_every_seconds: Some(rotate_every_seconds), ..Keys::default() };
    Options { keys, ..Options::default() }
}

async fn claim(platform: &Platform) -> (u16, Vec<Lease>) {
    let url = format!("http://{}/internal/claim", platform.addresses.workers);
    let body = json!({ "claim_id": ClaimId::random(), "max": 1, "wait_ms": 0 });
    let call = platform.http.post(url).bearer_auth(platform.worker.expose()).json(&body);
    let answer = call.send().await.unwrap();
    let status = answer.status().as_u16();
    let leases = answer.json::<ClaimReply>().await.map(|reply| reply.leases).unwrap_or_default();
    (status, leases)
}

async fn jwks(platform: &Platform) -> Value {
    let url = format!("http://{}/.well-known/jwks.json", platform.addresses.users);
    platform.http.get(url).send().await.unwrap().json().await.unwrap()
}

/// The task API believes the token, or says why not.
async fn context(platform: &Platform, token: &Secret<String>) -> u16 {
    let url = format!("http://{}/v1/task/context", platform.addresses.tasks);
    platform.http.get(url).bearer_auth(token.expose()).send().await.unwrap().status().as_u16()
}

async fn one_lease(platform: &Platform) -> Lease {
    let (status, mut leases) = claim(platform).await;
    assert_eq!((status, leases.len()), (200, 1));
    leases.remove(0)
}

async fn signing(platform: &Platform) -> String {
    let row = sqlx::query_scalar("select kid from signing_keys where stopped_at is null");
    row.fetch_one(&platform.app.db).await.unwrap()
}

const SELDOM: u64 = 100_000;

#[tokio::test(flavor = "multi_thread")]
async fn planes_believe_keys_that_kms_certifies_and_no_others() {
    let emulator = Emulator::here();
    let key = RootKey::p256(&emulator).await;
    let platform = Platform::start(options(emulator.aws(), &key.id, SELDOM, 3600)).await.unwrap();
    platform.run("d", vec![job("a", 1)]).await.unwrap();
    let lease = one_lease(&platform).await;
    let token = lease.capability_token.expose();
    let (jwks, root) = (self::jwks(&platform).await, key.root().await);
    let keys = KeySet::from_certified_jwks(&jwks.to_string(), &root, CAPABILITY_ISSUER).unwrap();
    let capability = Capability::verify(token, &keys, CAPABILITY_ISSUER, Audience::Dispatcher).unwrap();
    assert_eq!(capability.attempt(), lease.attempt);
    assert_eq!(context(&platform, &lease.capability_token).await, 200);

    // Another root, another issuer, no certificates.
    let other = RootKey::p256(&emulator).await.root().await;
    let refused = |jwks: &Value, root: &Root, issuer: &str| {
        matches!(KeySet::from_certified_jwks(&jwks.to_string(), root, issuer), Err(KeysError::Uncertified(_)))
    };
    assert!(refused(&jwks, &other, CAPABILITY_ISSUER) && refused(&jwks, &root, "https://other"));
    let mut bare = jwks.clone();
    bare["keys"][0].as_object_mut().unwrap().remove("trace_certificate");
    assert!(refused(&bare, &root, CAPABILITY_ISSUER));

    // Whoever stands in for the JWKS address adds a key of their own, with the certificate of ours; theirs is
    // not believed, under neither name.
    let folder = tempfile::tempdir().unwrap();
    let thief = SigningKey::open(&folder.path().join("thief")).unwrap();
    let mut forged: Value = serde_json::from_str(thief.jwks()).unwrap();
    forged["keys"][0]["trace_certificate"] = jwks["keys"][0]["trace_certificate"].clone();
    let keys = KeySet::from_certified_jwks(&forged.to_string(), &root, CAPABILITY_ISSUER).unwrap();
    assert!(!keys.has(thief.kid()));
    let claims: Value = {
        use base64::engine::general_purpose::URL_SAFE_NO_PAD;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap()).unwrap()
    };
    let theirs = thief.token(token::CAPABILITY_TYPE, &claims).unwrap();
    let verified = Capability::verify(&theirs, &keys, CAPABILITY_ISSUER, Audience::Dispatcher);
    assert_eq!(verified.unwrap_err(), token::Error::UnknownKey);

    // Nor does it help to write to the dispatcher's database.
    let point = thief.point();
    sqlx::query(
        "insert into signing_keys (kid, x, y, signs_from, stopped_at, retires_at, certificate, certified_until)
        select $1, $2, $3, now(), now(), now() + interval '1 hour', certificate, certified_until
        from signing_keys",
    )
    .bind(thief.kid())
    .bind(&point.x)
    .bind(&point.y)
    .execute(&platform.app.db)
    .await
    .unwrap();
    assert_eq!(context(&platform, &Secret::new(theirs)).await, 401);
    assert_eq!(context(&platform, &lease.capability_token).await, 200);
}

/// While KMS is away, the key that signs goes on, and rotation is tried again until it is back.
#[tokio::test(flavor = "multi_thread")]
async fn while_kms_is_away_the_key_goes_on_and_the_next_one_waits() {
    let emulator = Emulator::here();
    let key = RootKey::p256(&emulator).await;
    let proxy = Proxy::start(&emulator).await.unwrap();
    let platform = Platform::start(options(proxy.aws(), &key.id, 2, 3600)).await.unwrap();
    let first = signing(&platform).await;
    proxy.always(Some(Fault::Cut));
    let tried = proxy.seen("Sign") + 4;
    until("rotation is tried", async || Ok((proxy.seen("Sign") >= tried).then_some(()))).await.unwrap();
    assert_eq!(signing(&platform).await, first);
    platform.run("d", vec![job("a", 1)]).await.unwrap();
    let lease = one_lease(&platform).await;
    let files = std::fs::read_dir(&platform.app.config.key_dir).unwrap();
    let keys =
        files.filter(|file| file.as_ref().unwrap().path().extension().is_some_and(|kind| kind == "p8"));
    assert!(keys.count() <= 2, "keys that were not certified are not left behind");
    proxy.always(None);
    until("a new key signs", async || Ok((signing(&platform).await != first).then_some(()))).await.unwrap();
    assert_eq!(context(&platform, &lease.capability_token).await, 200, "the one before it verifies");
    let now = signing(&platform).await;
    let published = jwks(&platform).await.to_string();
    let keys = KeySet::from_certified_jwks(&published, &key.root().await, CAPABILITY_ISSUER).unwrap();
    assert!(keys.has(&first) && keys.has(&now));
}

/// Beyond the bound of its certificate nothing is signed, nothing is leased, and all goes on once KMS is back.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_ends_stops_claims_until_kms_is_back() {
    let emulator = Emulator::here();
    let key = RootKey::p256(&emulator).await;
    let proxy = Proxy::start(&emulator).await.unwrap();
    let platform = Platform::start(options(proxy.aws(), &key.id, SELDOM, 4)).await.unwrap();
    proxy.always(Some(Fault::Refused(500, "KMSInternalException")));
    platform.run("d", vec![job("a", 1)]).await.unwrap();
    let refused = async || Ok((claim(&platform).await.0 == 503).then_some(()));
    // Until then the one task may have been leased; a second run has another.
    until("claims are refused", refused).await.unwrap();
    platform.run("e", vec![job("a", 1)]).await.unwrap();
    assert_eq!(claim(&platform).await.0, 503);
    let leases = platform.count("select count(*) from leases").await.unwrap();
    assert!(leases <= 1, "nothing is leased that could not be told of");
    proxy.always(None);
    let granted = async || Ok((claim(&platform).await.0 == 200).then_some(()));
    until("claims are granted again", granted).await.unwrap();
}

/// A revocation does not wait for KMS.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_revoked_while_kms_is_away() {
    let emulator = Emulator::here();
    let key = RootKey::p256(&emulator).await;
    let proxy = Proxy::start(&emulator).await.unwrap();
    let platform = Platform::start(options(proxy.aws(), &key.id, SELDOM, 3600)).await.unwrap();
    platform.run("d", vec![job("a", 1)]).await.unwrap();
    let lease = one_lease(&platform).await;
    let (before, admin) = (signing(&platform).await, platform.admin());
    proxy.always(Some(Fault::Cut));
    let url = format!("http://{}/v1/keys/{before}/revoke", platform.addresses.users);
    let call = platform.http.post(url).bearer_auth(admin).json(&json!({ "reason": "stolen" }));
    let answer = call.timeout(Duration::from_secs(60)).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200, "{}", answer.text().await.unwrap());
    assert_ne!(signing(&platform).await, before);
    assert_eq!(context(&platform, &lease.capability_token).await, 401);
    assert_eq!(claim(&platform).await.0, 503, "no key is certified");
    proxy.always(None);
    let granted = async || Ok(claim(&platform).await.1.pop());
    let again = until("the task runs again", granted).await.unwrap();
    assert_eq!(again.launch.task, lease.launch.task);
    assert_eq!(context(&platform, &again.capability_token).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_that_is_none_stops_the_start_and_says_what_to_do() {
    let emulator = Emulator::here();
    let key = RootKey::p256(&emulator).await;
    let good = Platform::start(options(emulator.aws(), &key.id, SELDOM, 3600)).await.unwrap();
    let start = async |aws: Aws, key: &str| match good.beside(options(aws, key, SELDOM, 3600)).await {
        Ok(_) => panic!("it starts with {key}"),
        Err(error) => match error.downcast::<StartError>() {
            Ok(StartError::Key(KeyError::Root(error))) => error.to_string(),
            other => panic!("{other:?}"),
        },
    };
    let rsa = RootKey::create(&emulator, KeySpec::Rsa2048, KeyUsageType::SignVerify).await;
    let said = start(emulator.aws(), &rsa.id).await;
    assert!(said.contains("RSA_2048") && said.contains("ECC_NIST_P256") && said.contains(&rsa.id), "{said}");
    let p384 = RootKey::create(&emulator, KeySpec::EccNistP384, KeyUsageType::SignVerify).await;
    assert!(start(emulator.aws(), &p384.id).await.contains("ECC_NIST_P384"));
    let said = start(emulator.aws(), "00000000-0000-0000-0000-000000000000").await;
    assert!(said.contains("KMS") && said.contains("check the configured name"), "{said}");
    let proxy = Proxy::start(&emulator).await.unwrap();
    proxy.always(Some(Fault::Cut));
    let said = start(proxy.aws(), &rsa.id).await;
    assert!(said.contains("KMS") && said.contains("check its endpoint"), "{said}");
    proxy.always(Some(Fault::Refused(400, "AccessDeniedException")));
    let said = start(proxy.aws(), &rsa.id).await;
    assert!(said.contains("KMS") && said.contains("add the action to its role"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_the_root_of_today_does_not_certify_signs_no_more_after_a_start() {
    let emulator = Emulator::here();
    let platform = Platform::start(Options::default()).await.unwrap();
    let mut before = signing(&platform).await;
    for _ in 0..2 {
        let key = RootKey::p256(&emulator).await;
        let next = platform.beside(options(emulator.aws(), &key.id, SELDOM, 3600)).await.unwrap();
        let now = signing(&next).await;
        assert_ne!(now, before, "it was certified by nobody, or by another root");
        let published = jwks(&next).await.to_string();
        let keys = KeySet::from_certified_jwks(&published, &key.root().await, CAPABILITY_ISSUER).unwrap();
        assert!(keys.has(&now) && !keys.has(&before));
        let again = platform.beside(options(emulator.aws(), &key.id, SELDOM, 3600)).await.unwrap();
        assert_eq!(signing(&again).await, now, "one that is certified goes on");
        before = now;
    }
}
