//! Attempts in environments of Lambda: the launcher against the Invoke API, and the runner against the Runtime API, as
//! the test plays them. What the code does to its environment harms its own attempt.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};
use trace_contracts::{LaunchNonce, LaunchTicket, wire::launch::RedeemRequest};
use trace_localstack::{Answer, Image, LONG, Lambda, Tenancy, Worker, Writable, until};
use trace_worker_wrapper::config::LauncherSettings;

use crate::scene::{End, Scene};

/// Code that speaks to the Runtime API in its runner's name. Its address is no secret.
const RUNTIME_API: &str = include_str!("runtime_api.py");

fn settings(lambda: &Lambda) -> LauncherSettings {
    LauncherSettings::Lambda(Box::new(lambda.config().unwrap()))
}

async fn lambda(scene: &Scene, tenancy: Tenancy, timeout: Duration) -> Lambda {
    Lambda::start(Image::here().unwrap(), scene.reachable(), tenancy, timeout).await.unwrap()
}

/// Runs code to its end, as one task for each partition.
async fn ends(scene: &Scene, lambda: &Lambda, main: &str, partitions: &[&str]) -> BTreeMap<String, End> {
    let job = scene.job(main, partitions, 60_000).await;
    let _worker = Worker::start(&scene.platform, &scene.store, settings(lambda)).unwrap();
    scene.run("d", job).await
}

fn failed(end: &End) -> (&str, &str) {
    let End::Failed { reason, detail } = end else { panic!("{end:?}") };
    (reason, detail)
}

async fn all_ended(lambda: &Lambda) {
    until("every runner has ended", async || {
        for seen in lambda.seen() {
            if lambda.runner(&seen.tenant).await.is_some_and(|(_, is_running)| is_running) {
                return Ok(None);
            }
        }
        Ok(Some(()))
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_has_an_environment_of_its_own_whose_runner_ends_with_it() {
    let scene = Scene::start().await;
    let lambda = lambda(&scene, Tenancy::PerTenant, LONG).await;
    let ends = ends(&scene, &lambda, "print('hello')", &["p0", "p1"]).await;
    assert!(ends.values().all(|end| *end == End::Succeeded(Default::default())), "{ends:?}");
    all_ended(&lambda).await;
    let seen = lambda.seen();
    assert_eq!(seen.len(), 2, "one invocation an attempt");
    assert_ne!(seen[0].tenant, seen[1].tenant);
    for invocation in &seen {
        assert_eq!(invocation.answer, Some(Answer::Ended));
        assert_eq!(invocation.event.as_object().unwrap().keys().collect::<Vec<_>>(), ["ticket"]);
        assert_eq!(lambda.runner(&invocation.tenant).await, Some((1, false)), "it asked for one invocation");
        // What was in the request is worth nothing afterwards.
        let url = format!("http://{}/v1/task/launch", scene.platform.addresses.tasks);
        let call = scene.platform.http.post(url).bearer_auth(invocation.event["ticket"].as_str().unwrap());
        let answer = call.json(&RedeemRequest { nonce: LaunchNonce::random() }).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 401);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_environment_that_has_served_runs_nothing_again() {
    let scene = Scene::start().await;
    let lambda = lambda(&scene, Tenancy::PerTenant, LONG).await;
    let left = "open('/tmp/left', 'w').write('of the first')";
    let first = ends(&scene, &lambda, left, &["p0"]).await;
    assert_eq!(first["p0"], End::Succeeded(Default::default()));
    all_ended(&lambda).await;
    // As if Lambda had started the runner anew where something has run, with what that has left in `/tmp`.
    let tenant = lambda.seen()[0].tenant.clone();
    let event = json!({ "ticket": LaunchTicket::random().expose() });
    let Answer::Failed { kind, message } = lambda.invoke(&tenant, event).await.unwrap() else {
        panic!("it ran")
    };
    assert_eq!(kind, "Trace.Used", "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_is_not_isolated_by_tenant_runs_nothing() {
    let scene = Scene::start().await;
    let lambda = lambda(&scene, Tenancy::None, LONG).await;
    let job = scene.job("print('hello')", &["p0"], 60_000).await;
    let _worker = Worker::start(&scene.platform, &scene.store, settings(&lambda)).unwrap();
    scene.platform.run("d", vec![job]).await.unwrap();
    let answer = until("an invocation is answered", async || {
        Ok(lambda.seen().first().and_then(|seen| seen.answer.clone()))
    });
    let Answer::Failed { kind, message } = answer.await.unwrap() else { panic!("it ran") };
    assert!(kind == "Trace.NotIsolated" && message.contains("PER_TENANT"), "{message}");
    let redeemed = scene.platform.count("select count(*) from launches where nonce_sha256 is not null");
    assert_eq!(redeemed.await.unwrap(), 0, "its ticket was not shown to anybody");
}

#[tokio::test(flavor = "multi_thread")]
async fn code_finds_no_keys_of_the_function_s_role_and_no_other_attempt() {
    let scene = Scene::start().await;
    let lambda = lambda(&scene, Tenancy::PerTenant, LONG).await;
    let ends = ends(&scene, &lambda, &format!("DO = 'look'\n{RUNTIME_API}"), &["p0"]).await;
    let End::Succeeded(files) = &ends["p0"] else { panic!("{ends:?}") };
    let found: Value = serde_json::from_slice(&files["found.json"]).unwrap();
    assert_eq!(found["keys"], json!([]), "in the environments of all processes that it can read");
    assert_eq!(
        found["memory"], "PermissionError",
        "its runner is the same user, and has hidden what it holds"
    );
    assert!(found["processes"].as_u64().unwrap() >= 2, "there were some: {found}");
    // That is what can't be kept from it, and all that it is: its own invocation.
    assert_eq!(found["event"], lambda.seen()[0].event);
}

#[tokio::test(flavor = "multi_thread")]
async fn code_that_answers_for_its_runner_is_given_no_other_invocation() {
    let scene = Scene::start().await;
    let lambda = lambda(&scene, Tenancy::PerTenant, LONG).await;
    let ends = ends(&scene, &lambda, &format!("DO = 'take over'\n{RUNTIME_API}"), &["p0", "p1", "p2"]).await;
    let (reason, _) = failed(&ends["p0"]);
    assert_eq!(reason, "exit", "its runner had no word: {ends:?}");
    for other in ["p1", "p2"] {
        assert_eq!(ends[other], End::Succeeded(Default::default()), "{ends:?}");
    }
    let log = scene.log_of_any().await.unwrap();
    assert!(!log.iter().any(|line| line.contains("was given another")), "{log:?}");
    all_ended(&lambda).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn code_that_steals_its_own_ticket_loses_its_own_attempt() {
    let scene = Scene::start().await;
    let lambda = lambda(&scene, Tenancy::PerTenant, LONG).await;
    let main = format!("DO = 'steal'\n{RUNTIME_API}");
    let job = scene.job(&main, &["p0"], 60_000).await;
    let _worker = Worker::start(&scene.platform, &scene.store, settings(&lambda)).unwrap();
    scene.platform.run("d", vec![job]).await.unwrap();
    let outcome = until("its attempt ends", async || {
        let ended =
            sqlx::query_scalar::<_, String>("select outcome from attempts order by attempt_id limit 1");
        Ok(ended.fetch_optional(&scene.platform.app.db).await?)
    });
    assert_eq!(outcome.await.unwrap(), "ticket_stolen");
}

#[tokio::test(flavor = "multi_thread")]
async fn code_that_ends_its_runner_has_failed() {
    let scene = Scene::start().await;
    let lambda = lambda(&scene, Tenancy::PerTenant, LONG).await;
    let main = "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\nsignal.pause()";
    let ends = ends(&scene, &lambda, main, &["p0"]).await;
    assert_eq!(failed(&ends["p0"]).0, "signal", "{ends:?}");
    let Some(Answer::Failed { kind, .. }) = lambda.seen()[0].answer.clone() else { panic!("it was well") };
    assert_eq!(kind, "Runtime.ExitError");
}

#[tokio::test(flavor = "multi_thread")]
async fn code_ends_before_its_invocation_does() {
    let scene = Scene::start().await;
    // The worker believes that the function has longer.
    let lambda = lambda(&scene, Tenancy::PerTenant, Duration::from_secs(20)).await;
    let main = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nsignal.pause()";
    let ends = ends(&scene, &lambda, main, &["p0"]).await;
    assert_eq!(failed(&ends["p0"]).0, "timeout", "{ends:?}");
    assert_eq!(lambda.seen()[0].answer, Some(Answer::Ended), "the runner has reported, and answered");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_that_is_not_what_its_hash_says_is_not_run() {
    let scene = Scene::start().await;
    let lambda = lambda(&scene, Tenancy::PerTenant, LONG).await;
    let job = scene.job("print('hello')", &["p0"], 60_000).await;
    scene.replace_bundle(&job, "print('another')").await;
    let _worker = Worker::start(&scene.platform, &scene.store, settings(&lambda)).unwrap();
    let ends = scene.run("d", job).await;
    assert_eq!(failed(&ends["p0"]).0, "bundle", "{ends:?}");
    assert!(scene.log_of("d").await.is_empty(), "nothing of it was run");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_attempt_s_runner_ends_by_itself() {
    let scene = Scene::start().await;
    let lambda = lambda(&scene, Tenancy::PerTenant, LONG).await;
    let job = scene.job("import signal\nprint('waiting')\nsignal.pause()", &["p0"], 60_000).await;
    let _worker = Worker::start(&scene.platform, &scene.store, settings(&lambda)).unwrap();
    let run = scene.platform.run("d", vec![job]).await.unwrap();
    until("it waits", async || Ok(scene.log_of_any().await?.contains(&"waiting".to_owned()).then_some(())))
        .await
        .unwrap();
    let url = format!("http://{}/v1/runs/{run}/cancel", scene.platform.addresses.users);
    let cancel = scene.platform.http.post(url).bearer_auth(scene.platform.admin());
    cancel.send().await.unwrap().error_for_status().unwrap();
    all_ended(&lambda).await;
    let Some(Answer::Failed { kind, .. }) = lambda.seen()[0].answer.clone() else { panic!("it was well") };
    assert_eq!(kind, "Trace.Attempt");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_without_a_runtime_api_ends() {
    let scene = Scene::start().await;
    let folder = tempfile::tempdir().unwrap();
    // A port that nobody listens at, inside a network where nothing else is either.
    let mut variables = vec![("AWS_LAMBDA_RUNTIME_API".to_owned(), "127.0.0.1:9001".to_owned())];
    for name in ["FUNCTION_NAME", "FUNCTION_VERSION"] {
        variables.push((format!("AWS_LAMBDA_{name}"), "x".to_owned()));
    }
    variables.push(("AWS_LAMBDA_FUNCTION_MEMORY_SIZE".to_owned(), "512".to_owned()));
    let tasks = scene.platform.addresses.tasks;
    for name in ["TRACE_TASK_API", "TRACE_QUERY", "TRACE_OBJECT_STORE"] {
        variables.push((name.to_owned(), format!("http://{tasks}/")));
    }
    let image = Image::here().unwrap();
    let started = image.start(Writable::Temporary(folder.path()), &variables, &[tasks]).await;
    let status = tokio::time::timeout(LONG, started.unwrap().ended()).await.unwrap().unwrap();
    assert_eq!(status, Some(1));
}
