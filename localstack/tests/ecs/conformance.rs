//! One UDF file, unchanged, in the process sandbox, in a container of its own and in Lambda: it sees the same, its
//! ends are told in the same words, and the same is left of it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use trace_dispatcher::dag::spec::JobSpec;
use trace_localstack::{Image, LONG, Lambda, Tenancy, Worker};
use trace_worker_wrapper::config::LauncherSettings;

use crate::scene::{End, Scene};

const UDF: &str = include_str!("observe.py");
const QUESTIONS: [&str; 7] = ["observe", "status", "raises", "signal", "timeout", "link", "orphan"];

/// What differs from one attempt to the next, wherever it runs.
const OF_THE_ATTEMPT: [&str; 5] =
    ["TRACE_TASK_CAPABILITY_TOKEN", "TRACE_RUN", "TRACE_TASK", "TRACE_ATTEMPT", "TRACE_DEADLINE_MS"];

/// What is not as elsewhere in Lambda, whose only writable folder is `/tmp`.
const OF_LAMBDA: [(&str, &str); 1] = [("temporary", r#"["trace"]"#)];
/// Where the links of its image lead that stand in the place of volumes.
const LINKED: (&str, &str) = ("/tmp/trace/task/bundle", "/task/bundle");

#[tokio::test(flavor = "multi_thread")]
async fn one_udf_runs_unchanged_in_the_process_sandbox_in_a_container_and_in_lambda() {
    let scene = Scene::start().await;
    let (tenancy, image) = (Tenancy::PerTenant, Image::here().unwrap());
    let lambda = Lambda::start(image, scene.reachable(), tenancy, LONG).await.unwrap();
    let job = scene.job(UDF, &QUESTIONS, 4_000).await;
    let mut process = run(&scene, &job, LauncherSettings::Process, "process").await;
    let ecs = LauncherSettings::Ecs(Box::new(scene.moto.config().unwrap()));
    let mut container = run(&scene, &job, ecs, "container").await;
    let settings = LauncherSettings::Lambda(Box::new(lambda.config().unwrap()));
    let mut function = run(&scene, &job, settings, "function").await;

    let seen = take(&mut process);
    same(&seen, &take(&mut container), &[]);
    let there = Value::Object(take(&mut function)).to_string();
    assert!(there.contains(LINKED.0), "the links are there: {there}");
    same(&seen, &serde_json::from_str(&there.replace(LINKED.0, LINKED.1)).unwrap(), &OF_LAMBDA);
    assert_eq!(process, container);
    assert_eq!(process, function);
    let log = scene.log_of("process").await;
    assert_eq!(log, scene.log_of("container").await);
    let there = scene.log_of("function").await.into_iter().map(|line| line.replace(LINKED.0, LINKED.1));
    assert_eq!(log, there.collect::<Vec<_>>());
    assert!(matches!(&container["orphan"], End::Succeeded(files) if files.keys().eq(["early"])));
}

/// Runs the job with this launcher, as a DAG that is always called the same, so that no variable differs; and has
/// another name afterwards.
async fn run(
    scene: &Scene,
    job: &JobSpec,
    launcher: LauncherSettings,
    afterwards: &str,
) -> BTreeMap<String, End> {
    let _worker = Worker::start(&scene.platform, &scene.store, launcher).unwrap();
    let ends = scene.run("flights", job.clone()).await;
    assert_eq!(ends.len(), QUESTIONS.len());
    sqlx::query("update dags set name = $1 where name = 'flights'")
        .bind(afterwards)
        .execute(&scene.platform.app.db)
        .await
        .unwrap();
    ends
}

/// Both have seen the same, but for these.
fn same(seen: &Map<String, Value>, there: &Map<String, Value>, but: &[(&str, &str)]) {
    let keys: BTreeSet<&String> = seen.keys().chain(there.keys()).collect();
    let differ: Vec<_> = keys
        .into_iter()
        .map(|key| (key.as_str(), seen.get(key), there.get(key)))
        .filter(|(_, seen, there)| seen != there)
        .collect();
    let found = differ.iter().map(|(key, _, there)| (*key, there.map(Value::to_string).unwrap_or_default()));
    let expected = but.iter().map(|(key, value)| (*key, (*value).to_owned()));
    assert!(found.eq(expected), "seen in the sandbox, and there: {differ:#?}");
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
