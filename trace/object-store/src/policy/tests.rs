use proptest::prelude::*;
use serde_json::json;
use trace_contracts::{ObjectKey, S3Prefix};

use super::*;

/// What the dispatcher mints for an attempt: read, write, and list with a condition.
fn session(read: &[&str], write: &[&str], list: &[&str]) -> Policy {
    let objects = |prefixes: &[&str]| -> Vec<String> {
        prefixes.iter().map(|prefix| format!("{ARN}trace/{prefix}*")).collect()
    };
    let listed: Vec<String> = list.iter().map(|prefix| format!("{prefix}*")).collect();
    let policy = json!({
        "Version": VERSION,
        "Statement": [
            { "Effect": "Allow", "Action": "s3:GetObject", "Resource": objects(read) },
            { "Effect": "Allow", "Action": ["s3:PutObject", "s3:AbortMultipartUpload"], "Resource": objects(write) },
            { "Effect": "Allow", "Action": "s3:ListBucket", "Resource": format!("{ARN}trace"),
              "Condition": { "StringLike": { "s3:prefix": listed } } },
        ]
    });
    Policy::parse(&policy.to_string()).unwrap()
}

fn object<'a>(action: &'a str, resource: &'a str) -> Question<'a> {
    Question { action, resource, prefix: None, delimiter: None }
}

fn list<'a>(prefix: Option<&'a str>) -> Question<'a> {
    Question { action: "s3:ListBucket", resource: "trace", prefix, delimiter: None }
}

#[test]
fn a_session_reaches_its_prefixes_and_nothing_beside_them() {
    let policy = session(&["data/o1/r1/t1/"], &["data/o1/r1/t2/a3/out/"], &["data/o1/r1/t2/a3/"]);
    let cases = [
        (object("s3:GetObject", "trace/data/o1/r1/t1/x"), true),
        (object("s3:GetObject", "trace/data/o1/r1/t1/x/y"), true),
        (object("s3:GetObject", "trace/data/o1/r1/t10/x"), false),
        (object("s3:GetObject", "trace/data/o1/r1/t1"), false),
        (object("s3:GetObject", "trace/DATA/o1/r1/t1/x"), false),
        (object("s3:GetObject", "other/data/o1/r1/t1/x"), false),
        (object("s3:GetObject", "trace/data/o1/r1/t2/a3/out/x"), false),
        (object("s3:PutObject", "trace/data/o1/r1/t2/a3/out/x"), true),
        (object("s3:putobject", "trace/data/o1/r1/t2/a3/out/x"), true),
        (object("s3:PutObject", "trace/data/o1/r1/t2/a33/out/x"), false),
        (object("s3:PutObjectAcl", "trace/data/o1/r1/t2/a3/out/x"), false),
        (object("s3:DeleteObject", "trace/data/o1/r1/t2/a3/out/x"), false),
        (object("s3:ListBucket", "trace"), false),
        (list(Some("data/o1/r1/t2/a3/")), true),
        (list(Some("data/o1/r1/t2/a3/out/")), true),
        (list(Some("data/o1/r1/t2/a3")), false),
        (list(Some("data/o1/r1/t2/")), false),
        (list(Some("")), false),
        (list(None), false),
        (object("s3:ListAllMyBuckets", ""), false),
    ];
    for (question, expected) in cases {
        assert_eq!(policy.decide(&question).is_ok(), expected, "{question:?}");
    }
}

#[test]
fn deny_wins_whatever_the_order() {
    let allow = json!({ "Effect": "Allow", "Action": "s3:*", "Resource": format!("{ARN}trace/*") });
    let deny = json!({ "Effect": "Deny", "Action": "s3:Get*", "Resource": format!("{ARN}trace/secret/*") });
    for statements in [json!([allow, deny]), json!([deny, allow])] {
        let policy =
            Policy::parse(&json!({ "Version": VERSION, "Statement": statements }).to_string()).unwrap();
        assert_eq!(policy.decide(&object("s3:GetObject", "trace/open/x")), Ok(()));
        assert_eq!(policy.decide(&object("s3:GetObject", "trace/secret/x")), Err(Denied::Explicitly));
        assert_eq!(policy.decide(&object("s3:PutObject", "trace/secret/x")), Ok(()));
        assert_eq!(policy.decide(&object("s3:GetObject", "other/x")), Err(Denied::ByDefault));
    }
}

#[test]
fn every_operator_and_every_key_of_a_condition_must_hold() {
    let policy = json!({
        "Version": VERSION,
        "Statement": { "Effect": "Allow", "Action": "s3:ListBucket", "Resource": format!("{ARN}trace"),
            "Condition": {
                "StringLike": { "s3:prefix": ["a/*", "b/*"] },
                "StringEquals": { "s3:delimiter": "/" },
            } }
    });
    let policy = Policy::parse(&policy.to_string()).unwrap();
    let ask = |prefix, delimiter| {
        policy.decide(&Question { action: "s3:ListBucket", resource: "trace", prefix, delimiter }).is_ok()
    };
    assert!(ask(Some("a/x"), Some("/")));
    assert!(ask(Some("b/"), Some("/")));
    assert!(!ask(Some("c/"), Some("/")));
    assert!(!ask(Some("a/x"), None));
    assert!(!ask(Some("a/x"), Some("|")));
    assert!(!ask(None, Some("/")));
}

#[test]
fn what_is_not_understood_is_no_policy() {
    let good = json!({ "Effect": "Allow", "Action": "s3:GetObject", "Resource": format!("{ARN}trace/a/*") });
    assert!(Policy::parse(&json!({ "Version": VERSION, "Statement": good }).to_string()).is_ok());
    let with = |key: &str, value: serde_json::Value| {
        let mut statement = good.clone();
        statement[key] = value;
        json!({ "Version": VERSION, "Statement": [statement] }).to_string()
    };
    let duplicate = format!(
        r#"{{"Version":"{VERSION}","Statement":{{"Effect":"Deny","Effect":"Allow","Action":"s3:*","Resource":"{ARN}a/*"}}}}"#
    );
    let bad = [
        String::new(),
        "{}".to_owned(),
        "[]".to_owned(),
        json!({ "Statement": good }).to_string(),
        json!({ "Version": "2008-10-17", "Statement": good }).to_string(),
        json!({ "Version": VERSION, "Statement": [] }).to_string(),
        json!({ "Version": VERSION, "Statement": good, "Extra": 1 }).to_string(),
        with("Effect", json!("allow")),
        with("NotAction", json!("s3:PutObject")),
        with("NotResource", json!("*")),
        with("Principal", json!("*")),
        with("Action", json!([])),
        with("Action", json!("*")),
        with("Action", json!("iam:PassRole")),
        with("Action", json!("s3:")),
        with("Resource", json!([])),
        with("Resource", json!("*")),
        with("Resource", json!(ARN)),
        with("Resource", json!("arn:aws:sqs:::q")),
        with("Resource", json!(format!("{ARN}trace/${{aws:username}}/*"))),
        with("Condition", json!({ "StringNotLike": { "s3:prefix": "a/*" } })),
        with("Condition", json!({ "StringLike": { "aws:SourceIp": "a" } })),
        with("Condition", json!({ "StringLike": { "s3:prefix": [] } })),
        with("Condition", json!({ "StringLike": { "s3:prefix": "${s3:prefix}" } })),
        duplicate,
    ];
    for json in bad {
        assert!(Policy::parse(&json).is_err(), "{json} must be refused");
    }
}

#[test]
fn a_policy_is_as_long_as_sts_takes() {
    let long = format!("{{\"Version\":\"{VERSION}\",\"Id\":\"{}\"}}", "ä".repeat(MAX_CHARS));
    assert!(matches!(Policy::parse(&long), Err(Error::TooLong(_))));
}

proptest! {
    /// The escaped prefix of a grant allows exactly the keys that the prefix contains.
    #[test]
    fn allowed_is_contained(
        prefix in "[a-b*?$]{1,3}(/[a-b*?${}]{1,3}){0,2}",
        key in "[a-b*?$]{1,4}(/[a-b*?$]{1,4}){0,3}",
        under in any::<bool>(),
    ) {
        let Ok(prefix) = format!("s3://trace/{prefix}/").parse::<S3Prefix>() else { return Ok(()) };
        let key = if under { format!("{}{key}", prefix.key_prefix()) } else { key };
        let Ok(key) = key.parse::<ObjectKey>() else { return Ok(()) };
        let policy = session(&[&prefix.iam_escaped()], &["none/"], &["none/"]);
        let resource = format!("trace/{key}");
        let allowed = policy.decide(&object("s3:GetObject", &resource)).is_ok();
        prop_assert_eq!(allowed, prefix.contains("trace", &key));
    }

    /// A listing is allowed for exactly the prefixes at or below the granted one.
    #[test]
    fn listing_is_contained(granted in "[a-b*?]{1,3}/", asked in "[a-b*?]{0,4}/?[a-b]{0,2}") {
        let Ok(prefix) = format!("s3://trace/{granted}").parse::<S3Prefix>() else { return Ok(()) };
        let policy = session(&["none/"], &["none/"], &[&prefix.iam_escaped()]);
        prop_assert_eq!(policy.decide(&list(Some(&asked))).is_ok(), asked.starts_with(&granted));
    }
}
