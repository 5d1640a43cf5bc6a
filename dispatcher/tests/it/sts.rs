//! What is asked of STS, and what becomes of its refusals.

use std::time::Duration;

use trace_contracts::{AttemptId, OrgId, RunId, Secret, TaskId};
use trace_dispatcher::{
    config::{ObjectStore, StoreKeys},
    credentials::{
        CredentialMinter, Error, SessionPolicy, SessionRequest,
        sts::{Config, Sts},
    },
};

use crate::support::fake_sts::FakeSts;

const ROLE: &str = "arn:aws-us-gov:iam::123456789012:role/trace/task";

fn sts(endpoint: &str, longest_seconds: u64) -> Sts {
    let config = Config {
        role_arn: ROLE.parse().unwrap(),
        external_id: Some(Secret::new("hush-id".to_owned())),
        kms_key: None,
        region: None,
        endpoint: Some(endpoint.parse().unwrap()),
        longest_seconds,
    };
    let identity = ObjectStore {
        endpoint: None,
        region: "us-gov-west-1".to_owned(),
        bucket: "trace".to_owned(),
        keys: Some(StoreKeys {
            access_key_id: "AKIADISPATCHER".to_owned(),
            secret_access_key: Secret::new("hush-own".to_owned()),
        }),
    };
    Sts::new(&config, &identity)
}

fn request(sts: &Sts, seconds: u64) -> SessionRequest {
    let read = vec!["s3://trace/data/o1/r1/t1.1/a1/out/".parse().unwrap()];
    SessionRequest {
        org: OrgId::from_db(1),
        task: TaskId::in_run(RunId::from_db(17), 3).unwrap(),
        attempt: AttemptId::from_db(40),
        kid: "k1".parse().unwrap(),
        policy: SessionPolicy::new(&sts.rules().names, read, Vec::new()),
        duration: Duration::from_secs(seconds),
    }
}

#[tokio::test]
async fn a_session_is_asked_for_with_role_policy_name_and_duration() {
    let (fake, endpoint) = FakeSts::start().await;
    let sts = sts(&endpoint, 3600);
    let request = request(&sts, 900);
    let keys = sts.mint(request.clone()).await.unwrap();
    let asked = fake.take().remove(0);
    assert_eq!(asked["Action"], "AssumeRole");
    assert_eq!(asked["RoleArn"], ROLE);
    assert_eq!(asked["RoleSessionName"], "trace-a40-t17.3-o1");
    assert_eq!(asked["ExternalId"], "hush-id");
    assert_eq!(asked["DurationSeconds"], "900");
    assert_eq!(asked["Policy"], request.policy.document);
    assert!(asked["Policy"].contains("arn:aws-us-gov:s3:::trace/data/"));
    assert_eq!(keys.access_key_id, "ASIAFAKE");
    assert_eq!(keys.secret_access_key.expose(), "hush-secret");
    let left = (keys.expires_at - chrono::Utc::now()).num_seconds();
    assert!((0..=900).contains(&left), "{left}");
    let shown = format!("{keys:?} {sts:?}");
    assert!(!shown.contains("hush"), "{shown}");
}

#[tokio::test]
async fn a_session_is_neither_shorter_than_sts_allows_nor_longer_than_the_role_does() {
    let (fake, endpoint) = FakeSts::start().await;
    let sts = sts(&endpoint, 3600);
    for (wanted, asked) in [(1, "900"), (900, "900"), (1234, "1234"), (3600, "3600"), (86_400, "3600")] {
        sts.mint(request(&sts, wanted)).await.unwrap();
        assert_eq!(fake.take()[0]["DurationSeconds"], asked, "{wanted} s");
    }
}

#[tokio::test]
async fn a_role_with_a_lower_limit_is_asked_within_it_and_this_is_remembered() {
    let (fake, endpoint) = FakeSts::start().await;
    let sts = sts(&endpoint, 43_200);
    let exceeds = "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.";
    fake.refuse(1, 400, "ValidationError", exceeds);
    sts.mint(request(&sts, 43_200)).await.unwrap();
    sts.mint(request(&sts, 43_200)).await.unwrap();
    let durations: Vec<String> = fake.take().iter().map(|asked| asked["DurationSeconds"].clone()).collect();
    assert_eq!(durations, ["43200", "3600", "3600"]);
    assert_eq!(sts.rules().longest, Duration::from_secs(3600));
    fake.refuse(2, 400, "ValidationError", exceeds);
    let Err(Error::Setup(what)) = sts.mint(request(&sts, 43_200)).await else { panic!("it must be refused") };
    assert!(what.contains("raise its MaxSessionDuration") && what.contains(ROLE), "{what}");
}

#[tokio::test]
async fn what_an_operator_has_to_change_is_said_and_not_tried_again() {
    let (fake, endpoint) = FakeSts::start().await;
    let sts = sts(&endpoint, 3600);
    for (status, code, advice) in [
        (403, "AccessDenied", "the role's trust policy, and check `external_id`"),
        (403, "InvalidClientTokenId", "check `object_store.access_key_id`"),
        (403, "SignatureDoesNotMatch", "check `object_store.access_key_id`"),
        (403, "RegionDisabledException", "activate it in the account's settings"),
        (400, "MalformedPolicyDocument", "does not take the request"),
        (400, "ValidationError", "does not take the request"),
    ] {
        fake.refuse(1, status, code, "for a reason");
        let Err(Error::Setup(what)) = sts.mint(request(&sts, 900)).await else { panic!("{code}") };
        assert!(what.contains(advice) && what.contains("for a reason"), "{code}: {what}");
        assert_eq!(fake.take().len(), 1, "{code}");
        assert!(!what.contains("hush"), "{what}");
    }
}

#[tokio::test]
async fn a_policy_that_packs_too_large_is_told_from_the_rest() {
    let (fake, endpoint) = FakeSts::start().await;
    let sts = sts(&endpoint, 3600);
    fake.refuse(1, 400, "PackedPolicyTooLarge", "Packed policy consumes 112% of allotted space.");
    let refused = sts.mint(request(&sts, 900)).await;
    assert!(matches!(refused, Err(Error::PolicyTooLarge { reason, .. }) if reason.contains("112%")));
    assert_eq!(fake.take().len(), 1);
}

#[tokio::test]
async fn throttling_is_waited_out_and_has_an_end() {
    let (fake, endpoint) = FakeSts::start().await;
    let sts = sts(&endpoint, 3600);
    fake.refuse(2, 400, "Throttling", "Rate exceeded");
    sts.mint(request(&sts, 900)).await.unwrap();
    assert_eq!(fake.take().len(), 3);
    fake.refuse(100, 400, "Throttling", "Rate exceeded");
    assert!(matches!(sts.mint(request(&sts, 900)).await, Err(Error::Throttled(_))));
    assert_eq!(fake.take().len(), 4);
}

#[tokio::test]
async fn an_sts_that_is_away_or_broken_may_be_asked_again() {
    let (fake, endpoint) = FakeSts::start().await;
    let broken = sts(&endpoint, 3600);
    fake.refuse(1, 500, "InternalFailure", "oops");
    broken.mint(request(&broken, 900)).await.unwrap();
    let nobody = trace_ports::reserve_address();
    let away = sts(&format!("http://{nobody}"), 3600);
    assert!(matches!(away.mint(request(&away, 900)).await, Err(Error::Unavailable(_))));
    // Nothing is to be done there, and it must not fail.
    away.revoke(AttemptId::from_db(40)).await.unwrap();
}
