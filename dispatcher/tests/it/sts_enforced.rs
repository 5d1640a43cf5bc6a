//! Sessions of STS against a store that enforces them: minted by the dispatcher, used by a client that
//! knows nothing of Trace.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use aws_sdk_s3::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    primitives::ByteStream,
    types::{CompletedMultipartUpload, CompletedPart},
};
use futures::{StreamExt, stream};
use reqwest::{Method, StatusCode};
use tokio::time::{interval, timeout};
use trace_contracts::{
    AttemptId, Audience, ErrorCode, ObjectKey, OrgId, RowFilter, RunId, S3Prefix, Secret, TaskId,
    grant::FilterValue,
    wire::{
        task::{ObjectAddress, ObjectsReply, ObjectsRequest, SessionCredentials},
        worker::{CompleteVerdict, Lease},
    },
};
use trace_dispatcher::{
    config::{ObjectStore, StoreKeys},
    credentials::{
        CredentialMinter, SessionPolicy, SessionRequest,
        policy::MAX_SESSIONS,
        sts::{Config, Sts},
    },
    dag::spec::Source,
};

use crate::support::{
    Platform,
    dags::{job, partitioned, reading, spec},
    platform::Options,
    seaweed::{BUCKET, KEY, REGION, ROLE, Seaweed},
    wire::{ok, problem, succeeded},
};

const LONG: Duration = Duration::from_secs(60);
/// The least that S3 takes as a part that is not the last.
const PART: usize = 5 * 1024 * 1024;

fn sts(seaweed: &Seaweed) -> Arc<Sts> {
    let config = Config {
        role_arn: ROLE.parse().unwrap(),
        external_id: None,
        kms_key: None,
        region: None,
        endpoint: Some(seaweed.endpoint.parse().unwrap()),
        longest_seconds: 3600,
    };
    let identity = ObjectStore {
        endpoint: Some(seaweed.endpoint.parse().unwrap()),
        region: REGION.to_owned(),
        bucket: BUCKET.to_owned(),
        keys: Some(StoreKeys {
            access_key_id: KEY.to_owned(),
            secret_access_key: Secret::new(KEY.to_owned()),
        }),
    };
    Arc::new(Sts::new(&config, &identity))
}

async fn platform(seaweed: &Seaweed) -> Platform {
    let credentials = Some(sts(seaweed) as Arc<dyn CredentialMinter>);
    let object_store = Some(seaweed.endpoint.clone());
    Platform::with(Options { object_store, credentials, ..Options::default() }).await
}

impl Platform {
    fn output_of(&self, lease: &Lease) -> S3Prefix {
        self.verify(lease.capability_token.expose(), Audience::Dispatcher).grants().output.clone()
    }

    async fn objects(&self, lease: &Lease, request: &ObjectsRequest) -> ObjectsReply {
        let asked = self.task(Method::POST, "/v1/task/objects", &lease.capability_token).json(request);
        ok(asked.send().await.unwrap()).await
    }
}

/// Whether the store let it through; anything but a refusal is no answer.
fn passed<T, E: ProvideErrorMetadata + std::fmt::Debug>(answer: Result<T, SdkError<E>>) -> bool {
    match answer {
        Ok(_) => true,
        Err(error) => {
            let status = error.raw_response().map(|response| response.status().as_u16());
            assert_eq!(status, Some(403), "{error:?}");
            false
        }
    }
}

async fn put(client: &Client, key: &str, body: &[u8]) -> bool {
    let body = ByteStream::from(body.to_vec());
    passed(client.put_object().bucket(BUCKET).key(key).body(body).send().await)
}

async fn get(client: &Client, key: &str) -> Option<Vec<u8>> {
    match client.get_object().bucket(BUCKET).key(key).send().await {
        Ok(found) => Some(found.body.collect().await.unwrap().to_vec()),
        refused => {
            assert!(!passed(refused));
            None
        }
    }
}

async fn list(client: &Client, prefix: &str) -> Option<usize> {
    match client.list_objects_v2().bucket(BUCKET).prefix(prefix).send().await {
        Ok(found) => Some(found.contents().len()),
        refused => {
            assert!(!passed(refused));
            None
        }
    }
}

async fn copy(client: &Client, from: &str, to: &str) -> bool {
    let source = format!("{BUCKET}/{from}");
    passed(client.copy_object().bucket(BUCKET).key(to).copy_source(source).send().await)
}

/// Uploads in two parts.
async fn put_in_parts(client: &Client, key: &str, body: &[u8]) {
    let created = client.create_multipart_upload().bucket(BUCKET).key(key).send().await.unwrap();
    let id = created.upload_id().unwrap();
    let mut parts = CompletedMultipartUpload::builder();
    for (number, part) in (1..).zip(body.chunks(PART)) {
        let upload = client.upload_part().bucket(BUCKET).key(key).upload_id(id).part_number(number);
        let uploaded = upload.body(ByteStream::from(part.to_vec())).send().await.unwrap();
        let part = CompletedPart::builder().part_number(number).e_tag(uploaded.e_tag().unwrap());
        parts = parts.parts(part.build());
    }
    let listed = client.list_parts().bucket(BUCKET).key(key).upload_id(id).send().await.unwrap();
    assert_eq!(listed.parts().len(), 2);
    let complete = client.complete_multipart_upload().bucket(BUCKET).key(key).upload_id(id);
    complete.multipart_upload(parts.build()).send().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_reads_inputs_and_writes_outputs_and_nothing_else() {
    let seaweed = Seaweed::start("1h").await;
    let platform = platform(&seaweed).await;
    let mut b =
        reading(reading(job("b"), "open", Source::WholeJob { job: 0 }), "part", Source::WholeJob { job: 1 });
    b.inputs[1].row_filter =
        Some(RowFilter(BTreeMap::from([("station".to_owned(), FilterValue::Text("JFK".to_owned()))])));
    platform.run(spec("d", vec![partitioned(job("a"), 2), job("f"), b])).await;
    let upstream = platform.claim(3).await;
    let large: Vec<u8> = (0..PART + 1000).map(|at| (at * 31 % 251) as u8).collect();
    for lease in &upstream {
        let credentials = platform.credentials(lease).await;
        assert_eq!(credentials.sessions.len(), 1);
        let client = seaweed.session(&credentials.sessions[0]);
        let output = platform.output_of(lease);
        assert!(put(&client, output.object("small").unwrap().as_str(), b"rows").await);
        put_in_parts(&client, output.object("deep/large").unwrap().as_str(), &large).await;
        assert_eq!(list(&client, output.key_prefix()).await, Some(2));
        assert_eq!(
            get(&client, output.object("small").unwrap().as_str()).await,
            None,
            "outputs are not read"
        );
    }
    let verdicts = platform.complete(upstream.iter().map(succeeded).collect()).await;
    assert!(verdicts.iter().all(|verdict| *verdict == CompleteVerdict::Recorded), "{verdicts:?}");

    let root = seaweed.root();
    let lease = platform.claim_one().await;
    let credentials = platform.credentials(&lease).await;
    let client = seaweed.session(&credentials.sessions[0]);
    let is_of = |name: &str| upstream.iter().filter(|lease| &*lease.launch.job == name).collect::<Vec<_>>();
    for lease in is_of("a") {
        let input = platform.output_of(lease);
        assert_eq!(get(&client, input.object("small").unwrap().as_str()).await.unwrap(), b"rows");
        assert!(get(&client, input.object("deep/large").unwrap().as_str()).await.unwrap() == large);
        assert_eq!(list(&client, input.key_prefix()).await, Some(2));
    }
    let (input, hidden) = (platform.output_of(is_of("a")[0]), platform.output_of(is_of("f")[0]));
    let own = platform.output_of(&lease);
    let bare = |prefix: &S3Prefix| prefix.key_prefix().trim_end_matches('/').to_owned();
    let parent = |prefix: &S3Prefix| bare(prefix).rsplit_once('/').unwrap().0.to_owned();
    let beside = [
        format!("{}x", bare(&input)),
        format!("{}0/x", bare(&input)),
        format!("{}0/out/x", parent(&input)),
        format!("{}/x", parent(&input)),
        format!("{}small", hidden.key_prefix()),
        "data/o2/r1/t1.0/a1/out/x".to_owned(),
        "blobs/o1/x".to_owned(),
        "x".to_owned(),
    ];
    for key in &beside {
        assert!(put(&root, key, b"secret").await);
        assert_eq!(get(&client, key).await, None, "{key}");
        assert!(!put(&client, key, b"mine now").await, "{key}");
        assert!(!copy(&client, key, own.object("stolen").unwrap().as_str()).await, "{key}");
        let upload = client.create_multipart_upload().bucket(BUCKET).key(key).send().await;
        assert!(!passed(upload), "{key}");
    }
    let within = input.object("small").unwrap();
    assert!(!put(&client, within.as_str(), b"forged").await, "inputs are not written");
    assert!(copy(&client, within.as_str(), own.object("copied").unwrap().as_str()).await);
    for prefix in
        ["", "data/", &bare(&input), &format!("{}/", parent(&input)), hidden.key_prefix(), "data/o2/"]
    {
        assert_eq!(list(&client, prefix).await, None, "`{prefix}`");
    }
    let copied = own.object("copied").unwrap();
    assert!(!passed(client.delete_object().bucket(BUCKET).key(copied.as_str()).send().await));
    assert!(!passed(client.list_multipart_uploads().bucket(BUCKET).send().await));

    // Keys and token belong together.
    let other = &platform.credentials(&another_attempt(&platform).await).await.sessions[0];
    let mixed =
        SessionCredentials { session_token: other.session_token.clone(), ..credentials.sessions[0].clone() };
    assert_eq!(get(&seaweed.session(&mixed), within.as_str()).await, None);
    assert_eq!(get(&root, within.as_str()).await.unwrap(), b"rows", "nothing of this changed an input");
}

/// An attempt that has nothing to do with the others.
async fn another_attempt(platform: &Platform) -> Lease {
    platform.run(spec("other", vec![job("z")])).await;
    platform.claim_one().await
}

#[tokio::test(flavor = "multi_thread")]
async fn many_inputs_are_read_with_several_sessions_and_the_rest_by_address() {
    let seaweed = Seaweed::start("1h").await;
    let platform = platform(&seaweed).await;
    let count = 230;
    let b = reading(job("b"), "a", Source::WholeJob { job: 0 });
    let mut b = reading(b, "f", Source::WholeJob { job: 1 });
    b.inputs[1].columns = Some(vec!["station".to_owned()]);
    platform.run(spec("d", vec![partitioned(job("a"), count), job("f"), b])).await;
    let (upstream, hidden): (Vec<Lease>, Vec<Lease>) =
        platform.claim(count as u32 + 1).await.into_iter().partition(|lease| &*lease.launch.job == "a");
    let root = seaweed.root();
    let secret = platform.output_of(&hidden[0]).object("part-0").unwrap();
    assert!(put(&root, secret.as_str(), b"secret").await);
    platform.complete_one(succeeded(&hidden[0])).await;
    let keys: Vec<String> = upstream
        .iter()
        .map(|lease| platform.output_of(lease).object("part-0").unwrap().to_string())
        .collect();
    stream::iter(&keys)
        .for_each_concurrent(8, |key| async { assert!(put(&root, key, key.as_bytes()).await) })
        .await;
    for leases in upstream.chunks(100) {
        let verdicts = platform.complete(leases.iter().map(succeeded).collect()).await;
        assert!(verdicts.iter().all(|verdict| *verdict == CompleteVerdict::Recorded), "{verdicts:?}");
    }
    let lease = platform.claim_one().await;
    let credentials = platform.credentials(&lease).await;
    assert_eq!(credentials.sessions.len(), MAX_SESSIONS);
    let again = platform.credentials(&lease).await;
    assert_eq!(
        again.sessions[3].access_key_id, credentials.sessions[3].access_key_id,
        "they are minted once"
    );
    assert_eq!(platform.count("select count(*) from audit where action = 'credentials.mint'").await, 1);

    let mut reached = 0;
    for (at, session) in credentials.sessions.iter().enumerate() {
        let client = seaweed.session(session);
        let inputs = session.read.iter().filter(|prefix| prefix.key_prefix().ends_with("/out/"));
        for input in inputs {
            let key = input.object("part-0").unwrap();
            assert_eq!(get(&client, key.as_str()).await.unwrap(), key.as_str().as_bytes());
            reached += 1;
        }
        let other = &credentials.sessions[(at + 1) % MAX_SESSIONS];
        let foreign = other.read.iter().find(|prefix| prefix.key_prefix().ends_with("/out/")).unwrap();
        assert_eq!(get(&client, foreign.object("part-0").unwrap().as_str()).await, None);
        assert_eq!(get(&client, secret.as_str()).await, None);
    }
    let left = credentials.folders_by_address as usize;
    assert_eq!(reached + left, count);
    read_by_address(&platform, &root, &lease, left, &secret).await;
}

async fn read_by_address(platform: &Platform, root: &Client, lease: &Lease, left: usize, hidden: &ObjectKey) {
    let mut found: Vec<ObjectAddress> = Vec::new();
    let mut request = ObjectsRequest { from: None, limit: Some(7) };
    loop {
        let page = platform.objects(lease, &request).await;
        assert!(page.objects.len() <= 7);
        let capability = platform.verify(lease.capability_token.expose(), Audience::Dispatcher);
        assert!(page.expires_at <= capability.expires_at(), "no address outlives the capability");
        found.extend(page.objects);
        match page.next {
            Some(next) => request.from = Some(next),
            None => break,
        }
    }
    assert_eq!(found.len(), left);
    assert!(found.is_sorted_by(|a, b| a.key < b.key), "each is there once");
    assert!(found.iter().all(|object| object.key != *hidden), "an input with hidden columns has no address");
    let etag = |object: &ObjectAddress| format!("\"{}\"", object.etag);
    let ask = |url: String, etag: Option<String>| {
        let request = platform.http.get(url);
        let request = match etag {
            Some(etag) => request.header("if-match", etag),
            None => request,
        };
        async move { request.send().await.unwrap() }
    };
    for object in &found {
        let answer = ask(object.url.expose().clone(), Some(etag(object))).await;
        assert_eq!(answer.status(), StatusCode::OK, "{}", object.key);
        assert_eq!(answer.text().await.unwrap(), object.key.as_str());
    }
    let (first, second) = (&found[0], &found[1]);
    let url = first.url.expose();
    assert_eq!(ask(url.clone(), None).await.status(), StatusCode::FORBIDDEN, "without the ETag");
    let moved = url.replace(first.key.as_str(), second.key.as_str());
    assert_ne!(&moved, url);
    assert_eq!(ask(moved, Some(etag(first))).await.status(), StatusCode::FORBIDDEN, "another object");
    let put = platform.http.put(url.clone()).header("if-match", etag(first)).body("forged");
    assert_eq!(put.send().await.unwrap().status(), StatusCode::FORBIDDEN, "another method");
    // What is written later does not count.
    assert!(self::put(root, first.key.as_str(), b"overwritten").await);
    let overwritten = ask(url.clone(), Some(etag(first))).await;
    assert_eq!(overwritten.status(), StatusCode::PRECONDITION_FAILED);

    platform.complete_one(succeeded(lease)).await;
    let request = platform.task(Method::POST, "/v1/task/objects", &lease.capability_token);
    let over = problem(request.json(&ObjectsRequest::default()).send().await.unwrap()).await;
    assert_eq!(over.code, ErrorCode::Revoked);
}

/// SeaweedFS takes no `DurationSeconds` below 900, as AWS; but it can be told to cut sessions short.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_when_its_time_is_up() {
    let seaweed = Seaweed::start("5s").await;
    let sts = sts(&seaweed);
    let read: S3Prefix = format!("s3://{BUCKET}/data/in/").parse().unwrap();
    assert!(put(&seaweed.root(), "data/in/x", b"rows").await);
    let request = SessionRequest {
        org: OrgId::from_db(1),
        task: TaskId::in_run(RunId::from_db(1), 0).unwrap(),
        attempt: AttemptId::from_db(1),
        kid: "k1".parse().unwrap(),
        policy: SessionPolicy::new(&sts.rules().names, vec![read.clone()], Vec::new()),
        duration: Duration::from_secs(900),
    };
    let life = async {
        // On a busy machine a session may be over before it is first used.
        let client = loop {
            let keys = sts.mint(request.clone()).await.unwrap();
            let client = seaweed.session(&SessionCredentials {
                access_key_id: keys.access_key_id,
                secret_access_key: keys.secret_access_key,
                session_token: keys.session_token,
                expires_at: keys.expires_at,
                read: vec![read.clone()],
                write: Vec::new(),
            });
            if get(&client, "data/in/x").await.is_some() {
                break client;
            }
        };
        let mut again = interval(Duration::from_millis(200));
        while get(&client, "data/in/x").await.is_some() {
            again.tick().await;
        }
    };
    timeout(LONG, life).await.expect("the session ends");
}
