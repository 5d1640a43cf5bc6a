//! The AWS CLI, a client that knows nothing of Trace.

use std::{path::Path, process::Output};

use tokio::process::Command;
use trace_contracts::Sha256;

use super::{BUCKET, REGION, TestStore, signer::Signer};

/// Names the program; `aws` on the PATH without it.
const PROGRAM: &str = "TRACE_TEST_AWS";

/// Runs `aws` with these keys.
async fn run(signer: &Signer, home: &Path, args: &[&str]) -> Output {
    let program = std::env::var_os(PROGRAM).unwrap_or_else(|| "aws".into());
    let mut command = Command::new(&program);
    command
        .args(args)
        .current_dir(home)
        .env("HOME", home)
        .env("AWS_CONFIG_FILE", home.join("none"))
        .env("AWS_SHARED_CREDENTIALS_FILE", home.join("none"))
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_MAX_ATTEMPTS", "1")
        .env("AWS_PAGER", "")
        .env("AWS_REGION", REGION)
        .env("AWS_DEFAULT_REGION", REGION)
        .env("AWS_ENDPOINT_URL_S3", format!("http://{}", signer.address))
        .env("AWS_ACCESS_KEY_ID", &signer.key)
        .env("AWS_SECRET_ACCESS_KEY", &signer.secret)
        .env_remove("AWS_PROFILE")
        .env_remove("AWS_SESSION_TOKEN");
    if let Some(token) = &signer.token {
        command.env("AWS_SESSION_TOKEN", token);
    }
    command.output().await.unwrap_or_else(|error| {
        panic!(
            "{program:?}: {error}. These tests need the AWS CLI: `scripts/setup.sh test` installs it for \
                 `make test`; else `pip install awscli`, and set {PROGRAM} or have `aws` on the PATH"
        )
    })
}

/// Runs `aws`, which must succeed, and gives its output.
async fn aws(signer: &Signer, home: &Path, args: &[&str]) -> String {
    let output = run(signer, home, args).await;
    assert!(output.status.success(), "aws {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs `aws`, which must be refused, and gives what it says.
async fn refused(signer: &Signer, home: &Path, args: &[&str]) -> String {
    let output = run(signer, home, args).await;
    assert!(!output.status.success(), "aws {args:?} must be refused");
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn put_get_list_copy_presign_delete() {
    let test = TestStore::start().await;
    let home = tempfile::tempdir().unwrap();
    let (home, root) = (home.path(), test.root());
    std::fs::write(home.join("in.csv"), "a,b\n1,2\n").unwrap();
    aws(&root, home, &["s3", "cp", "in.csv", "s3://trace/data/in/month=01/a b+c.csv"]).await;
    aws(&root, home, &["s3", "cp", "s3://trace/data/in/month=01/a b+c.csv", "out.csv"]).await;
    assert_eq!(std::fs::read_to_string(home.join("out.csv")).unwrap(), "a,b\n1,2\n");
    aws(&root, home, &["s3", "cp", "s3://trace/data/in/month=01/a b+c.csv", "s3://trace/data/copy.csv"])
        .await;
    assert_eq!(test.get("data/copy.csv").await.unwrap(), b"a,b\n1,2\n");
    let listed = aws(&root, home, &["s3", "ls", "--recursive", "s3://trace/data/"]).await;
    assert!(listed.contains("data/copy.csv") && listed.contains("data/in/month=01/a b+c.csv"), "{listed}");
    let folders = aws(&root, home, &["s3", "ls", "s3://trace/data/"]).await;
    assert!(folders.contains("PRE in/") && !folders.contains("month"), "{folders}");
    assert!(aws(&root, home, &["s3", "ls"]).await.contains(BUCKET));
    let head =
        aws(&root, home, &["s3api", "head-object", "--bucket", BUCKET, "--key", "data/copy.csv"]).await;
    let head: serde_json::Value = serde_json::from_str(&head).unwrap();
    assert_eq!(head["ETag"], format!("\"{}\"", Sha256::of(b"a,b\n1,2\n")));
    assert_eq!(head["ContentType"], "text/csv");
    let url = aws(&root, home, &["s3", "presign", "s3://trace/data/copy.csv"]).await;
    let got = reqwest::get(url.trim()).await.unwrap();
    assert_eq!(got.text().await.unwrap(), "a,b\n1,2\n");
    aws(&root, home, &["s3", "rm", "--recursive", "s3://trace/data/in/"]).await;
    aws(
        &root,
        home,
        &["s3api", "delete-objects", "--bucket", BUCKET, "--delete", "Objects=[{Key=data/copy.csv}]"],
    )
    .await;
    for gone in ["data/in/month=01/a%20b%2Bc.csv", "data/copy.csv"] {
        assert!(test.get(gone).await.is_none(), "{gone}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_objects_travel_in_parts_as_a_session() {
    let test = TestStore::start().await;
    let home = tempfile::tempdir().unwrap();
    let (home, session) = (home.path(), test.signer(&test.session()));
    let bytes: Vec<u8> = (0..20_000_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    std::fs::write(home.join("large"), &bytes).unwrap();
    aws(&session, home, &["s3", "cp", "--no-progress", "large", "s3://trace/data/t1/large"]).await;
    aws(&session, home, &["s3", "cp", "--no-progress", "s3://trace/data/t1/large", "back"]).await;
    assert!(std::fs::read(home.join("back")).unwrap() == bytes);
    let head =
        aws(&session, home, &["s3api", "head-object", "--bucket", BUCKET, "--key", "data/t1/large"]).await;
    assert!(head.contains(&Sha256::of(&bytes).to_string()), "the ETag does not depend on the parts: {head}");
    aws(&session, home, &["s3", "cp", "s3://trace/data/t1/large", "s3://trace/data/t1/twin"]).await;
    assert!(test.get("data/t1/twin").await.unwrap() == bytes);
    assert_eq!(test.denials.take(), Vec::<String>::new());
    assert_eq!(std::fs::read_dir(test.folder.path().join("objects/drafts")).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn listing_by_pages() {
    let test = TestStore::start().await;
    let home = tempfile::tempdir().unwrap();
    let (home, root) = (home.path(), test.root());
    for number in 0..7 {
        test.put(&format!("data/{number}/x"), b"x").await;
    }
    let query = ["--page-size", "2", "--query", "Contents[].Key", "--output", "text"];
    for operation in ["list-objects-v2", "list-objects"] {
        let mut args = vec!["s3api", operation, "--bucket", BUCKET, "--prefix", "data/"];
        args.extend(query);
        let listed = aws(&root, home, &args).await;
        let keys: Vec<_> = listed.split_whitespace().filter(|word| *word != "None").collect();
        let expected: Vec<_> = (0..7).map(|number| format!("data/{number}/x")).collect();
        assert_eq!(keys, expected, "{operation}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_held_to_its_policy() {
    let test = TestStore::start().await;
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    test.put("data/in/a", b"content").await;
    test.put("data/t10/x", b"secret").await;
    let session = test.signer(&test.session());
    aws(&session, home, &["s3", "cp", "s3://trace/data/in/a", "a"]).await;
    aws(&session, home, &["s3", "cp", "a", "s3://trace/data/t1/out/a"]).await;
    assert!(aws(&session, home, &["s3", "ls", "s3://trace/data/t1/"]).await.contains("PRE out/"));
    let url = aws(&session, home, &["s3", "presign", "s3://trace/data/in/a"]).await;
    assert_eq!(reqwest::get(url.trim()).await.unwrap().text().await.unwrap(), "content");
    let url = aws(&session, home, &["s3", "presign", "s3://trace/data/t10/x"]).await;
    assert_eq!(reqwest::get(url.trim()).await.unwrap().status(), 403);
    let denied: [&[&str]; 6] = [
        &["s3", "cp", "s3://trace/data/t10/x", "stolen"],
        &["s3", "cp", "a", "s3://trace/data/t10/x"],
        &["s3", "cp", "s3://trace/data/t10/x", "s3://trace/data/t1/stolen"],
        &["s3", "ls", "s3://trace/data/"],
        &["s3", "ls"],
        &["s3", "rm", "s3://trace/data/t1/out/a"],
    ];
    for args in denied {
        let said = refused(&session, home, args).await;
        assert!(said.contains("403") || said.contains("AccessDenied"), "{args:?}: {said}");
    }
    assert!(test.denials.take().len() > denied.len(), "each denial is told, the presigned one too");
    assert!(!home.join("stolen").exists());

    let mut no_token = session.clone();
    no_token.token = None;
    assert!(
        refused(&no_token, home, &["s3api", "get-object", "--bucket", BUCKET, "--key", "data/in/a", "x"])
            .await
            .contains("InvalidToken")
    );
    let mut wrong_secret = session.clone();
    wrong_secret.secret.push('x');
    assert!(refused(&wrong_secret, home, &["s3", "cp", "s3://trace/data/in/a", "x"]).await.contains("403"));
}
