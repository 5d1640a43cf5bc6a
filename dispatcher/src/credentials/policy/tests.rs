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
    credentials::arn::{RoleArn, StoreNames},
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

fn packed(capability: &Capability, manifests: &ManifestPrefixes) -> Packed {
    session_policies(&StoreNames::default(), capability, manifests).unwrap()
}

fn pretty(policies: &[SessionPolicy]) -> Vec<Value> {
    policies.iter().map(|policy| serde_json::from_str(&policy.document).unwrap()).collect()
}

#[test]
fn a_task_without_inputs_reaches_its_own_folders() {
    let policies = packed(&capability([]), &ManifestPrefixes::new()).sessions;
    insta::assert_json_snapshot!(pretty(&policies));
}

#[test]
fn an_open_input_adds_its_folders_and_nothing_above_them() {
    let capability = capability([input("flights", Restriction::Open)]);
    let manifests = ManifestPrefixes::from([(Sha256::of(b"flights"), folders([3, 30]))]);
    insta::assert_json_snapshot!(pretty(&packed(&capability, &manifests).sessions));
}

fn encrypted() -> StoreNames {
    let key = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    StoreNames { partition: Partition::aws(), kms_key: Some(key.parse().unwrap()) }
}

#[test]
fn an_encrypted_bucket_s_key_is_used_by_s3_alone() {
    let capability = capability([input("flights", Restriction::Open)]);
    let manifests = ManifestPrefixes::from([(Sha256::of(b"flights"), folders(1..=20))]);
    let packed = session_policies(&encrypted(), &capability, &manifests).unwrap();
    assert_eq!(packed.sessions.len(), 2);
    // The first one writes, the second one reads only.
    let of_kms = |document: Value| {
        let statements = document["Statement"].as_array().unwrap();
        statements
            .iter()
            .filter(|one| one["Action"].to_string().contains("kms:"))
            .cloned()
            .collect::<Vec<_>>()
    };
    insta::assert_json_snapshot!(pretty(&packed.sessions).into_iter().map(of_kms).collect::<Vec<_>>());
}

#[test]
fn an_input_with_hidden_rows_or_columns_yields_nothing() {
    let capability = capability([input("rows", Restriction::Rows), input("columns", Restriction::Columns)]);
    // Even when somebody looks their manifests up.
    let manifests =
        ManifestPrefixes::from([(Sha256::of(b"rows"), folders([5])), (Sha256::of(b"columns"), folders([6]))]);
    assert!(readable_manifests(&capability).is_empty());
    let policies = packed(&capability, &manifests);
    assert_eq!(policies, packed(&super::tests::capability([]), &ManifestPrefixes::new()));
}

#[test]
fn metacharacters_are_escaped() {
    let prefix: S3Prefix = "s3://trace/a*b/c?d/e$f/".parse().unwrap();
    let policy = SessionPolicy::new(&StoreNames::default(), vec![prefix], Vec::new());
    assert!(policy.document.contains("arn:aws:s3:::trace/a${*}b/c${?}d/e${$}f/*"), "{}", policy.document);
}

#[test]
fn manifests_of_unknown_inputs_and_foreign_objects_are_refused() {
    let capability = capability([input("flights", Restriction::Open)]);
    let missing = session_policies(&StoreNames::default(), &capability, &ManifestPrefixes::new());
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
fn every_arn_is_in_the_partition_of_the_role() {
    let capability = capability([input("flights", Restriction::Open)]);
    let manifests = ManifestPrefixes::from([(Sha256::of(b"flights"), folders(1..60))]);
    for (partition, start) in [
        ("aws", "arn:aws:s3:::"),
        ("aws-cn", "arn:aws-cn:s3:::"),
        ("aws-us-gov", "arn:aws-us-gov:s3:::"),
        ("aws-iso", "arn:aws-iso:s3:::"),
        ("aws-iso-b", "arn:aws-iso-b:s3:::"),
        ("aws-iso-e", "arn:aws-iso-e:s3:::"),
        ("aws-iso-f", "arn:aws-iso-f:s3:::"),
        ("aws-eusc", "arn:aws-eusc:s3:::"),
    ] {
        let role: RoleArn = format!("arn:{partition}:iam::123456789012:role/task").parse().unwrap();
        let names = StoreNames { partition: role.partition().clone(), kms_key: None };
        let packed = session_policies(&names, &capability, &manifests).unwrap();
        assert!(packed.sessions.len() > 1);
        for policy in &packed.sessions {
            let document: Value = serde_json::from_str(&policy.document).unwrap();
            for statement in document["Statement"].as_array().unwrap() {
                let resources = match &statement["Resource"] {
                    Value::Array(several) => several.clone(),
                    one => vec![one.clone()],
                };
                assert!(
                    resources.iter().all(|arn| arn.as_str().unwrap().starts_with(start)),
                    "{resources:?}"
                );
            }
        }
    }
}

#[test]
fn a_policy_has_no_character_that_sts_refuses() {
    let prefix: S3Prefix = "s3://trace/größe/日本𠀀/".parse().unwrap();
    let policy = SessionPolicy::new(&StoreNames::default(), vec![prefix.clone()], Vec::new());
    assert!(policy.document.is_ascii() && policy.document.contains("\\u65e5\\u672c\\ud840\\udc00"));
    let document: Value = serde_json::from_str(&policy.document).unwrap();
    assert_eq!(document["Statement"][0]["Resource"][0], "arn:aws:s3:::trace/größe/日本𠀀/*");
}

#[test]
fn folders_past_the_last_session_are_left_and_never_widened() {
    let capability = capability([input("flights", Restriction::Open)]);
    let wanted = folders(1..1000);
    let manifests = ManifestPrefixes::from([(Sha256::of(b"flights"), wanted.clone())]);
    let packed = packed(&capability, &manifests);
    assert_eq!(packed.sessions.len(), MAX_SESSIONS);
    let own = &capability.grants().scratch;
    let read = packed.sessions.iter().flat_map(|policy| &policy.read).filter(|prefix| *prefix != own);
    let reached: BTreeSet<S3Prefix> = read.cloned().collect();
    assert!(reached.is_disjoint(&packed.left));
    assert_eq!(reached.union(&packed.left).cloned().collect::<BTreeSet<_>>(), wanted);
}

#[test]
fn a_folder_whose_name_fits_into_no_policy_is_left() {
    let capability = capability([input("flights", Restriction::Open)]);
    let long: S3Prefix = format!("s3://trace/data/o1/{}/t1/a1/out/", "$".repeat(250)).parse().unwrap();
    let manifests = ManifestPrefixes::from([(Sha256::of(b"flights"), BTreeSet::from([long.clone()]))]);
    let packed = packed(&capability, &manifests);
    assert_eq!((packed.sessions.len(), packed.left), (1, BTreeSet::from([long])));
}

#[test]
fn a_policy_that_is_too_large_is_halved_until_one_folder_is_left() {
    let capability = capability([input("flights", Restriction::Open)]);
    let manifests = ManifestPrefixes::from([(Sha256::of(b"flights"), folders(1..=9))]);
    let whole = packed(&capability, &manifests).sessions.remove(0);
    let mut waiting = vec![whole.clone()];
    let mut smallest = Vec::new();
    while let Some(policy) = waiting.pop() {
        match policy.halves(&StoreNames::default()) {
            Some((first, second)) => {
                assert!(first.chars() < policy.chars() && second.chars() < policy.chars());
                assert!(second.write.is_empty());
                waiting.extend([first, second]);
            }
            None => smallest.push(policy),
        }
    }
    let writing: Vec<_> = smallest.iter().filter(|policy| !policy.write.is_empty()).collect();
    assert_eq!((smallest.len(), writing.len()), (10, 1));
    assert_eq!(
        (&writing[0].write, &writing[0].read),
        (&whole.write, &vec![capability.grants().scratch.clone()])
    );
    let read: BTreeSet<&S3Prefix> = smallest.iter().flat_map(|policy| &policy.read).collect();
    assert_eq!(read, whole.read.iter().collect());
}

/// Folders with names of any length, in two buckets.
fn any_folders() -> impl Strategy<Value = BTreeSet<S3Prefix>> {
    let folder = ("[ab]", "[a-c$*?ä]{1,60}", 0..40_u32);
    proptest::collection::btree_set(folder, 0..150).prop_map(|folders| {
        let text = |(bucket, run, attempt)| format!("s3://bucket-{bucket}/data/o1/{run}/t1/a{attempt}/out/");
        folders.into_iter().map(|folder| text(folder).parse().unwrap()).collect()
    })
}

/// A bucket with and without a key of KMS, which takes room in every policy.
fn any_store() -> impl Strategy<Value = StoreNames> {
    prop_oneof![Just(StoreNames::default()), Just(encrypted())]
}

proptest! {
    #[test]
    fn every_folder_is_in_exactly_one_place_and_every_policy_fits(
        wanted in any_folders(),
        store in any_store(),
    ) {
        let capability = capability([input("flights", Restriction::Open)]);
        let manifests = ManifestPrefixes::from([(Sha256::of(b"flights"), wanted.clone())]);
        let packed = session_policies(&store, &capability, &manifests).unwrap();
        prop_assert!(packed.sessions.len() <= MAX_SESSIONS);
        prop_assert!(packed.sessions.iter().all(|policy| policy.chars() <= MAX_POLICY_CHARS));
        prop_assert!(packed.sessions[1..].iter().all(|policy| policy.write.is_empty()), "the first one writes");
        let own = &capability.grants().scratch;
        let read = packed.sessions.iter().flat_map(|policy| &policy.read).filter(|prefix| *prefix != own);
        let everywhere: Vec<S3Prefix> = read.chain(&packed.left).cloned().collect();
        prop_assert_eq!(everywhere.len(), wanted.len());
        prop_assert_eq!(everywhere.into_iter().collect::<BTreeSet<_>>(), wanted);
    }

    /// No session is opened while there is room in an earlier one: nothing of a later session, and
    /// nothing that was left, fits into an earlier one.
    #[test]
    fn sessions_are_few(wanted in any_folders(), store in any_store()) {
        let capability = capability([input("flights", Restriction::Open)]);
        let manifests = ManifestPrefixes::from([(Sha256::of(b"flights"), wanted)]);
        let Packed { sessions, left } = session_policies(&store, &capability, &manifests).unwrap();
        let with = |policy: &SessionPolicy, more: &S3Prefix| {
            let read = policy.read.iter().chain([more]).cloned().collect();
            SessionPolicy::new(&store, read, policy.write.clone()).chars()
        };
        for (at, session) in sessions.iter().enumerate() {
            let later = sessions[at + 1..].iter().flat_map(|later| &later.read).chain(&left);
            for folder in later {
                // A comma too many is counted in each list: of objects, and of each bucket's folders.
                prop_assert!(with(session, folder) + 3 > MAX_POLICY_CHARS, "{folder} fits into session {at}");
            }
        }
    }
}
