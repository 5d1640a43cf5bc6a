//! An attempt's sessions and addresses allow a key if and only if its capability does: by an evaluator of
//! IAM, and by the one of the embedded object store, on the same cases.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::Value;
use trace_dispatcher::credentials::{StoreNames, addresses::Listed};
use trace_object_store::policy::{self, Policy};

use crate::support::{
    grants::{BUCKET, Case, Want, cases, cases_in},
    iam::{self, Question, assert_accepted_by_sts},
};

/// How each want is put to an evaluator: the action, and whether it is about the bucket.
fn action(want: Want) -> &'static str {
    match want {
        Want::Read => "s3:GetObject",
        Want::Write => "s3:PutObject",
        Want::Abort => "s3:AbortMultipartUpload",
        Want::ListParts => "s3:ListMultipartUploadParts",
        Want::Delete => "s3:DeleteObject",
        Want::List => "s3:ListBucket",
        Want::ListUploads => "s3:ListBucketMultipartUploads",
    }
}

fn is_of_bucket(want: Want) -> bool {
    matches!(want, Want::List | Want::ListUploads)
}

fn iam_allows(document: &Value, want: Want, key: &str) -> bool {
    let (resource, context) = match is_of_bucket(want) {
        true => (format!("arn:aws:s3:::{BUCKET}"), BTreeMap::from([("s3:prefix", key.to_owned())])),
        false => (format!("arn:aws:s3:::{BUCKET}/{key}"), BTreeMap::new()),
    };
    iam::allows(document, &Question { action: action(want), resource, context })
}

fn embedded_allows(policy: &Policy, want: Want, key: &str) -> bool {
    let of_bucket = is_of_bucket(want);
    let resource = if of_bucket { BUCKET.to_owned() } else { format!("{BUCKET}/{key}") };
    let prefix = of_bucket.then_some(key);
    policy
        .decide(&policy::Question { action: action(want), resource: &resource, prefix, delimiter: None })
        .is_ok()
}

/// The keys that may be had by an address: exactly as the route lists them.
fn addresses(case: &Case) -> BTreeSet<&str> {
    Listed::new(&case.capability, case.manifests.values(), &case.packed.left).unwrap().keys().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sessions_and_addresses_allow_what_the_capability_does(case in cases()) {
        let documents: Vec<&str> = case.packed.sessions.iter().map(|policy| policy.document.as_str()).collect();
        let embedded: Vec<Policy> = documents.iter().map(|document| Policy::parse(document).unwrap()).collect();
        documents.iter().for_each(|document| assert_accepted_by_sts(document));
        let documents: Vec<Value> = documents.iter().map(|text| serde_json::from_str(text).unwrap()).collect();
        let addresses = addresses(&case);
        for key in case.keys() {
            for want in Want::ALL {
                let expected = case.allows(want, &key);
                let by_address = want == Want::Read && addresses.contains(key.as_str());
                let by_iam = documents.iter().any(|document| iam_allows(document, want, &key));
                prop_assert_eq!(by_iam || by_address, expected, "IAM, {:?} of `{}`", want, key);
                let by_embedded = embedded.iter().any(|policy| embedded_allows(policy, want, &key));
                prop_assert_eq!(by_embedded || by_address, expected, "embedded, {:?} of `{}`", want, key);
            }
        }
    }
}

const KEY: &str = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const BY_S3: &str = "s3.eu-west-1.amazonaws.com";

fn encrypted() -> StoreNames {
    StoreNames { kms_key: Some(KEY.parse().unwrap()), ..StoreNames::default() }
}

fn uses_key(document: &Value, action: &'static str, key: &str, via: Option<&str>) -> bool {
    let context = via.map(|via| ("kms:ViaService", via.to_owned())).into_iter().collect();
    iam::allows(document, &Question { action, resource: key.to_owned(), context })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// A key of the bucket's changes nothing about what is reached, and is used by S3 for the session alone: to
    /// read, and where the session writes, to write.
    #[test]
    fn a_bucket_s_key_is_used_through_s3_alone(case in cases_in(encrypted())) {
        case.packed.sessions.iter().for_each(|policy| assert_accepted_by_sts(&policy.document));
        let documents: Vec<Value> =
            case.packed.sessions.iter().map(|policy| serde_json::from_str(&policy.document).unwrap()).collect();
        let addresses = addresses(&case);
        for key in case.keys() {
            for want in Want::ALL {
                let by_address = want == Want::Read && addresses.contains(key.as_str());
                let by_iam = documents.iter().any(|document| iam_allows(document, want, &key));
                prop_assert_eq!(by_iam || by_address, case.allows(want, &key), "{:?} of `{}`", want, key);
            }
        }
        for (policy, document) in case.packed.sessions.iter().zip(&documents) {
            let writes = !policy.write.is_empty();
            prop_assert!(uses_key(document, "kms:Decrypt", KEY, Some(BY_S3)));
            prop_assert_eq!(uses_key(document, "kms:GenerateDataKey", KEY, Some(BY_S3)), writes);
            for action in ["kms:Decrypt", "kms:GenerateDataKey"] {
                for via in [
                    None,
                    Some("ec2.eu-west-1.amazonaws.com"),
                    Some("s3.eu-west-2.amazonaws.com"),
                    Some("s3.eu-west-1"),
                    Some("s3-object-lambda.eu-west-1.amazonaws.com"),
                ] {
                    prop_assert!(!uses_key(document, action, KEY, via), "{} via {:?}", action, via);
                }
                let other = KEY.replace("1234abcd", "4321abcd");
                prop_assert!(!uses_key(document, action, &other, Some(BY_S3)), "another key");
            }
            for action in ["kms:Encrypt", "kms:ReEncryptFrom", "kms:CreateGrant", "kms:DescribeKey", "kms:Sign"] {
                prop_assert!(!uses_key(document, action, KEY, Some(BY_S3)), "{}", action);
            }
        }
    }
}

/// The cases are no good unless they hold what they are for.
#[test]
fn the_cases_are_of_all_kinds() {
    use proptest::{strategy::ValueTree, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let cases: Vec<Case> = (0..60).map(|_| cases().new_tree(&mut runner).unwrap().current()).collect();
    assert!(cases.iter().any(|case| case.packed.sessions.len() == 1));
    assert!(cases.iter().any(|case| (2..8).contains(&case.packed.sessions.len())));
    assert!(cases.iter().any(|case| !case.packed.left.is_empty()));
    assert!(cases.iter().any(|case| !case.hidden.is_empty()));
    for want in Want::ALL {
        let answers =
            cases.iter().flat_map(|case| case.keys().into_iter().map(|key| case.allows(want, &key)));
        let (allowed, denied): (Vec<bool>, Vec<bool>) = answers.partition(|allowed| *allowed);
        let is_never = matches!(want, Want::Delete | Want::ListUploads);
        assert_eq!(allowed.is_empty(), is_never, "{want:?}");
        assert!(denied.len() > 1_000, "{want:?}");
    }
}
