use std::{collections::BTreeMap, sync::Arc, time::Duration};

use chrono::Utc;
use proptest::prelude::*;
use trace_contracts::{
    AttemptId, Audience, DatasetId, DatasetVersionId, Grants, InputGrant, LeaseToken, ManifestObject, OrgId,
    PartitionKey, RowFilter, RunId, TaskId, WorkerId,
    grant::{Budgets, FilterValue},
};

use super::*;
use crate::{
    config::Limits,
    db::leases::LeaseRow,
    keys::SigningKey,
    mint::{Signer, Subject},
};

const ISSUER: &str = "https://dispatcher.test";

/// How an input is restricted.
#[derive(Debug, Clone, Copy)]
enum Restriction {
    Open,
    Rows,
    Columns,
}

fn input(name: &str, restriction: Restriction) -> (trace_contracts::Name, InputGrant) {
    let filter = BTreeMap::from([("station".to_owned(), FilterValue::Text("JFK".to_owned()))]);
    let grant = InputGrant {
        dataset: DatasetId::from_db(1),
        version: DatasetVersionId::from_db((1 << 20) + 1),
        manifest: Sha256::of(name.as_bytes()),
        partition: None,
        columns: matches!(restriction, Restriction::Columns).then(|| vec!["station".to_owned()]),
        row_filter: matches!(restriction, Restriction::Rows).then(|| RowFilter(filter)),
    };
    (name.parse().unwrap(), grant)
}

/// A verified capability of attempt a40 with these inputs: there is no other way to one.
fn capability(inputs: impl IntoIterator<Item = (trace_contracts::Name, InputGrant)>) -> Capability {
    let dir = tempfile::tempdir().unwrap();
    let key = Arc::new(SigningKey::open(&dir.path().join("keys")).unwrap());
    let grants = Grants {
        inputs: inputs.into_iter().collect(),
        output: "s3://trace/data/o1/r17/t12/a40/out/".parse().unwrap(),
        scratch: "s3://trace/data/o1/r17/t12/a40/scratch/".parse().unwrap(),
        egress: Vec::new(),
        budgets: Budgets::default(),
    };
    let now = Utc::now();
    let lease = LeaseRow {
        attempt: AttemptId::from_db(40),
        lease_token: LeaseToken::random(),
        task: TaskId::in_run(RunId::from_db(17), 12).unwrap(),
        worker: WorkerId::from_db(1),
        failures: 0,
        losses: 0,
        started_at: now,
        expires_at: now,
    };
    let subject =
        Subject { lease: &lease, org: OrgId::from_db(1), grants: &grants, timeout: Duration::from_secs(60) };
    let minter = Signer::with(Arc::clone(&key), ISSUER, &Limits::default());
    let token = minter.mint(subject, Audience::Dispatcher, now).unwrap().token;
    Capability::verify(token.expose(), &key.key_set().unwrap(), ISSUER, Audience::Dispatcher).unwrap()
}

fn folders(attempts: impl IntoIterator<Item = u64>) -> BTreeSet<S3Prefix> {
    attempts.into_iter().map(|a| format!("s3://trace/data/o1/r9/t{a}/a{a}/out/").parse().unwrap()).collect()
}

fn pretty(policies: &[SessionPolicy]) -> Vec<Value> {
    policies.iter().map(|policy| serde_json::from_str(&policy.document).unwrap()).collect()
}

#[test]
fn a_task_without_inputs_reaches_its_own_folders() {
    let policies = session_policies(&capability([]), &ManifestPrefixes::new()).unwrap();
    insta::assert_json_snapshot!(pretty(&policies));
}

#[test]
fn an_open_input_adds_its_folders_and_nothing_above_them() {
    let capability = capability([input("flights", Restriction::Open)]);
    let manifests = ManifestPrefixes::from([(Sha256::of(b"flights"), folders([3, 30]))]);
    insta::assert_json_snapshot!(pretty(&session_policies(&capability, &manifests).unwrap()));
}

#[test]
fn an_input_with_hidden_rows_or_columns_yields_nothing() {
    let capability = capability([input("rows", Restriction::Rows), input("columns", Restriction::Columns)]);
    // Even when somebody looks their manifests up.
    let manifests =
        ManifestPrefixes::from([(Sha256::of(b"rows"), folders([5])), (Sha256::of(b"columns"), folders([6]))]);
    assert!(readable_manifests(&capability).is_empty());
    let policies = session_policies(&capability, &manifests).unwrap();
    assert_eq!(policies, session_policies(&super::tests::capability([]), &ManifestPrefixes::new()).unwrap());
}

#[test]
fn metacharacters_are_escaped() {
    let prefix: S3Prefix = "s3://trace/a*b/c?d/e$f/".parse().unwrap();
    let policy = SessionPolicy::new(vec![prefix], Vec::new());
    assert!(policy.document.contains("arn:aws:s3:::trace/a${*}b/c${?}d/e${$}f/*"), "{}", policy.document);
}

#[test]
fn manifests_of_unknown_inputs_and_foreign_objects_are_refused() {
    let capability = capability([input("flights", Restriction::Open)]);
    let missing = session_policies(&capability, &ManifestPrefixes::new());
    assert_eq!(missing, Err(Error::UnknownManifest(Sha256::of(b"flights"))));
    for key in [
        "data/o2/r1/t1/a1/out/x.parquet",
        "data/o10/r1/t1/a1/out/x.parquet",
        "data/o1/r1/t1/a1/scratch/x.parquet",
        "data/o1/r1/t1/a1/out",
        "blobs/o1/abc",
        "x",
    ] {
        let object = ManifestObject {
            partition: PartitionKey::whole(),
            key: key.parse().unwrap(),
            size: 1,
            etag: "e".to_owned(),
            version_id: None,
        };
        let manifest = Manifest::new("trace".to_owned(), vec![object]);
        assert_eq!(prefixes_of(&capability, &manifest), Err(Error::ForeignObject(key.to_owned())), "{key}");
    }
}

#[test]
fn more_folders_than_sessions_reach_are_refused_and_never_widened() {
    let capability = capability([input("flights", Restriction::Open)]);
    let manifests = ManifestPrefixes::from([(Sha256::of(b"flights"), folders(1..1000))]);
    assert_eq!(session_policies(&capability, &manifests), Err(Error::TooMany));
}

proptest! {
    #[test]
    fn every_folder_is_in_exactly_one_session_and_every_policy_fits(count in 0..120u64) {
        let capability = capability([input("flights", Restriction::Open)]);
        let wanted = folders(1..=count);
        let manifests = ManifestPrefixes::from([(Sha256::of(b"flights"), wanted.clone())]);
        let policies = session_policies(&capability, &manifests).unwrap();
        prop_assert!(policies.iter().all(|policy| policy.document.chars().count() <= MAX_POLICY_CHARS));
        let own = &capability.grants().scratch;
        let read: Vec<&S3Prefix> =
            policies.iter().flat_map(|policy| &policy.read).filter(|prefix| *prefix != own).collect();
        prop_assert_eq!(read.len() as u64, count);
        prop_assert_eq!(read.into_iter().cloned().collect::<BTreeSet<_>>(), wanted);
        prop_assert!(policies[1..].iter().all(|policy| policy.write.is_empty()), "the first one writes");
        for policy in &policies {
            prop_assert!(!policy.document.contains("out*") && !policy.document.contains("\"s3:*\""));
        }
    }
}
