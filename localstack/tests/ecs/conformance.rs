//! One UDF file, unchanged, in the process sandbox and in a container of its own: it sees the same, its ends are
//! told in the same words, and the same is left of it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use trace_localstack::Worker;
use trace_worker_wrapper::config::LauncherSettings;

use crate::scene::{End, Scene};

const UDF: &str = include_str!("observe.py");
const QUESTIONS: [&str; 7] = ["observe", "status", "raises", "signal", "timeout", "link", "orphan"];

/// What differs from one attempt to the next, wherever it runs.
const OF_THE_ATTEMPT: [&str; 5] =
    ["TRACE_TASK_CAPABILITY_TOKEN", "TRACE_RUN", "TRACE_TASK", "TRACE_ATTEMPT", "TRACE_DEADLINE_MS"];

#[tokio::test(flavor = "multi_thread")]
async fn one_udf_runs_unchanged_in_the_process_sandbox_and_in_a_container_of_its_own() {
    let scene = Scene::start().await;
    let job = scene.job(UDF, &QUESTIONS, 4_000).await;
    // The same name, so that no variable differs.
    let process = Worker::start(&scene.platform, &scene.store, LauncherSettings::Process).unwrap();
    let in_process = scene.run("flights", job.clone()).await;
    drop(process);
    sqlx::query("update dags set name = 'before' where name = 'flights'")
        .execute(&scene.platform.app.db)
        .await
        .unwrap();

    let settings = LauncherSettings::Ecs(Box::new(scene.moto.config().unwrap()));
    let _ecs = Worker::start(&scene.platform, &scene.store, settings).unwrap();
    let in_container = scene.run("flights", job).await;

    let (mut process, mut container) = (normal(in_process), normal(in_container));
    let (seen, there) = (take(&mut process), take(&mut container));
    let keys: BTreeSet<&String> = seen.keys().chain(there.keys()).collect();
    let differ: Vec<_> = keys
        .into_iter()
        .map(|key| (key, seen.get(key), there.get(key)))
        .filter(|(_, seen, there)| seen != there)
        .collect();
    assert!(differ.is_empty(), "seen in the sandbox, and in the container: {differ:#?}");
    assert_eq!(process, container);
    assert_eq!(scene.log_of("before").await, scene.log_of("flights").await);
    assert!(matches!(&container["orphan"], End::Succeeded(files) if files.keys().eq(["early"])));
}

/// What the UDF has written down of what it saw.
fn take(ends: &mut BTreeMap<String, End>) -> Map<String, Value> {
    let Some(End::Succeeded(files)) = ends.get_mut("observe") else { panic!("{ends:?}") };
    let observed = files.remove("observed.json").expect("it was written");
    assert_eq!(files.len(), 1, "the other file is there");
    let Value::Object(mut seen) = serde_json::from_slice(&observed).unwrap() else { panic!("no object") };
    let variables = seen.get_mut("variables").and_then(Value::as_object_mut).unwrap();
    for name in OF_THE_ATTEMPT {
        assert!(variables.remove(name).is_some_and(|value| value.as_str() != Some("")), "{name}");
    }
    seen
}

fn normal(ends: BTreeMap<String, End>) -> BTreeMap<String, End> {
    assert_eq!(ends.len(), QUESTIONS.len());
    ends
}
