//! The program with TLS on its listeners, and its readiness by a file.

use std::{fs, time::Duration};

use tokio::time::{interval, timeout};
use trace_plane::Trust;

use crate::support::{
    authority::Authority,
    postgres,
    program::{self, Lines, Serving, Setting},
};

const STORE: &str = "access_key_id: a, secret_access_key: hush";

#[tokio::test(flavor = "multi_thread")]
async fn all_listeners_speak_tls_and_readiness_is_a_file() {
    let (setting, authority) = (Setting::new(), Authority::new());
    let folder = setting.folder.path();
    let files = authority.pair("localhost").write(folder);
    let ready_file = setting.path("ready");
    let more = format!(
        "transport: {{ tls: {{ certificate: {}, key: {} }} }}\nready_file: {}\n",
        files.certificate.display(),
        files.key.display(),
        ready_file.display()
    );
    let database_url = postgres::fresh_database().await;
    let config = setting.write(&Lines { database_url: &database_url, object_store: STORE, more: &more });
    let ready = ready_file.display().to_string();
    assert!(!program::run(&["ready", &ready]).await.status.success());

    let http = Trust::read(Some(&authority.file(folder))).unwrap().http_client(Duration::from_secs(10));
    let mut serving = Serving::start(&config, &[]);
    serving.until_ready(&http, &format!("https://localhost:{}", setting.users)).await;
    for (port, path) in [
        (setting.users, "v1/dags"),
        (setting.tasks, "v1/task/context"),
        (setting.workers, "internal/blobs/x"),
    ] {
        let answer = http.get(format!("https://localhost:{port}/{path}")).send().await.unwrap();
        assert!(answer.status().is_client_error(), "{port}: {}", answer.status());
        let plain = http.get(format!("http://localhost:{port}/{path}")).send().await;
        assert!(plain.is_err(), "{port} answers without TLS");
    }
    let kept = async {
        let mut again = interval(Duration::from_millis(20));
        while !program::run(&["ready", &ready]).await.status.success() {
            again.tick().await;
        }
    };
    timeout(Duration::from_secs(30), kept).await.expect("the file is there");
    serving.stop().await;
    assert!(!ready_file.exists());
    let said = program::run(&["ready", &ready]).await;
    assert!(
        !said.status.success() && String::from_utf8_lossy(&said.stderr).contains("not ready"),
        "{said:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dispatcher_that_would_be_open_to_others_does_not_start() {
    let setting = Setting::new();
    let database_url = postgres::fresh_database().await;
    let config = setting.write(&Lines { database_url: &database_url, object_store: STORE, more: "" });
    let open = fs::read_to_string(&config).unwrap().replace("users: '127.0.0.1:", "users: '0.0.0.0:");
    fs::write(&config, open).unwrap();
    let said = program::run(&["--config", config.to_str().unwrap()]).await;
    let text = String::from_utf8_lossy(&said.stderr);
    assert!(!said.status.success() && text.contains("set `transport: { tls:"), "{text}");
}
