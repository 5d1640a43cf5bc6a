//! The sessions of `trace up`'s object store, asked over HTTP with the cases of `session_policies`.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use aws_credential_types::Credentials;
use aws_sdk_s3::{
    Client,
    config::{BehaviorVersion, Region, retry::RetryConfig},
    error::{ProvideErrorMetadata, SdkError},
};
use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::TestRunner,
};
use trace_object_store::{Config, Denial, DenialSink, EmbeddedObjectStore, Limits, MintRequest, SessionKeys};

use crate::support::grants::{BUCKET, Case, Want, cases};

const REGION: &str = "us-east-1";
/// Of the generator's cases.
const CASES: usize = 8;
/// Of each case.
const KEYS: usize = 40;

struct Unheard;

#[async_trait]
impl DenialSink for Unheard {
    async fn denied(&self, _denial: Denial) {}
}

async fn store(folder: &std::path::Path) -> EmbeddedObjectStore {
    let config = Config {
        root: folder.join("objects"),
        listen: "127.0.0.1:0".parse().unwrap(),
        bucket: BUCKET.to_owned(),
        region: REGION.to_owned(),
        limits: Limits::default(),
        denials: Arc::new(Unheard),
    };
    EmbeddedObjectStore::start(config).await.unwrap()
}

fn client(store: &EmbeddedObjectStore, keys: &SessionKeys) -> Client {
    let credentials = Credentials::new(
        keys.access_key_id.clone(),
        keys.secret_access_key.expose().clone(),
        Some(keys.session_token.expose().clone()),
        None,
        "session",
    );
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .credentials_provider(credentials)
        .endpoint_url(store.endpoint().as_str().trim_end_matches('/'))
        .retry_config(RetryConfig::disabled())
        .force_path_style(true)
        .build();
    Client::from_conf(config)
}

/// Whether the store lets it through, whatever it finds there then.
fn passes<T, E: ProvideErrorMetadata + std::fmt::Debug>(answer: Result<T, SdkError<E>>) -> bool {
    match answer {
        Ok(_) => true,
        Err(error) => match error.raw_response().map(|response| response.status().as_u16()) {
            Some(404) => true,
            // A key that is no location is refused before anybody asks who may have it.
            Some(400 | 403) => false,
            status => panic!("{status:?}: {error:?}"),
        },
    }
}

async fn allows(client: &Client, want: Want, key: &str) -> bool {
    match want {
        Want::Read => passes(client.get_object().bucket(BUCKET).key(key).send().await),
        Want::Write => passes(client.create_multipart_upload().bucket(BUCKET).key(key).send().await),
        Want::Abort => {
            passes(client.abort_multipart_upload().bucket(BUCKET).key(key).upload_id("none").send().await)
        }
        Want::ListParts => passes(client.list_parts().bucket(BUCKET).key(key).upload_id("none").send().await),
        Want::Delete => passes(client.delete_object().bucket(BUCKET).key(key).send().await),
        Want::List => passes(client.list_objects_v2().bucket(BUCKET).prefix(key).send().await),
        Want::ListUploads => passes(client.list_multipart_uploads().bucket(BUCKET).prefix(key).send().await),
    }
}

/// As `trace up` mints them.
fn sessions(store: &EmbeddedObjectStore, case: &Case) -> Vec<Client> {
    let mint = |document: &String| {
        let capability = &case.capability;
        let request = MintRequest {
            org: capability.org(),
            task: capability.task(),
            attempt: capability.attempt(),
            kid: capability.kid().clone(),
            policy_json: document.clone(),
            duration: Duration::from_secs(900),
        };
        client(store, &store.mint(request).unwrap())
    };
    case.packed.sessions.iter().map(|policy| mint(&policy.document)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_of_the_embedded_store_allow_what_the_capability_does() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path()).await;
    let mut runner = TestRunner::deterministic();
    let (mut allowed, mut denied) = (0, 0);
    for _ in 0..CASES {
        let case = cases().new_tree(&mut runner).unwrap().current();
        let sessions = sessions(&store, &case);
        // An empty key is a request of another kind, and these SDKs send no path that begins with `/`.
        let keys = case.keys().into_iter().filter(|key| !key.is_empty() && !key.starts_with('/'));
        let keys: Vec<String> = keys.collect();
        for key in keys.iter().step_by(keys.len() / KEYS + 1) {
            let is_location = key.parse::<trace_contracts::ObjectKey>().is_ok();
            for want in Want::ALL {
                let of_object = !matches!(want, Want::List | Want::ListUploads);
                let expected = case.allows(want, key)
                    && (is_location || !of_object)
                    && !(want == Want::Read && case.by_address.contains(key));
                let mut passed = false;
                for session in &sessions {
                    passed |= allows(session, want, key).await;
                }
                assert_eq!(passed, expected, "{want:?} of `{key}`");
                if passed { allowed += 1 } else { denied += 1 }
            }
        }
    }
    assert!(allowed > 40 && denied > 400, "{allowed} allowed, {denied} denied");
}
