//! What the launcher asks of ECS, and what it does when something goes wrong there.

use trace_contracts::{LaunchNonce, Secret, wire::launch::RedeemRequest};
use trace_localstack::{Worker, until};
use trace_worker_wrapper::config::LauncherSettings;

use crate::scene::{End, Scene};

fn settings(scene: &Scene) -> LauncherSettings {
    LauncherSettings::Ecs(Box::new(scene.moto.config().unwrap()))
}

/// Waits until there are so many tasks in moto, and all of them have stopped.
async fn all_stopped(scene: &Scene, count: usize) {
    until("all tasks have stopped", async || {
        let tasks = scene.moto.tasks().await?;
        let stopped = tasks.iter().filter(|task| task.last_status() == Some("STOPPED")).count();
        Ok((tasks.len() == count && stopped == count).then_some(()))
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_is_a_task_of_its_own_that_is_given_a_ticket_and_nothing_else() {
    let scene = Scene::start().await;
    let job = scene.job("print('hello')", &["p0", "p1"], 60_000).await;
    let _worker = Worker::start(&scene.platform, &scene.store, settings(&scene)).unwrap();
    let ends = scene.run("d", job).await;
    assert!(ends.values().all(|end| *end == End::Succeeded(Default::default())), "{ends:?}");
    let seen = scene.agent.seen();
    assert_eq!(seen.len(), 2, "one task an attempt");
    for variables in seen.values() {
        let names: Vec<&str> = variables.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["TRACE_LAUNCH_TICKET"]);
    }
    let tasks = scene.moto.tasks().await.unwrap();
    for task in &tasks {
        let overrides = task.overrides().unwrap();
        assert_eq!(overrides.task_role_arn(), None);
        let attempt = task.started_by().unwrap().strip_prefix("trace/a").unwrap();
        assert!(attempt.parse::<i64>().is_ok());
        assert_eq!((overrides.cpu(), overrides.memory()), (Some("1024"), Some("2048")));
    }
    all_stopped(&scene, 2).await;
    // What was in the request is worth nothing afterwards.
    for variables in seen.values() {
        let url = format!("http://{}/v1/task/launch", scene.platform.addresses.tasks);
        let ticket = Secret::new(variables[0].1.clone());
        let call = scene.platform.http.post(url).bearer_auth(ticket.expose());
        let answer = call.json(&RedeemRequest { nonce: LaunchNonce::random() }).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 401);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_attempt_is_stopped_in_ecs() {
    let scene = Scene::start().await;
    let job = scene.job("import signal\nprint('waiting')\nsignal.pause()", &["p0"], 600_000).await;
    let _worker = Worker::start(&scene.platform, &scene.store, settings(&scene)).unwrap();
    let run = scene.platform.run("d", vec![job]).await.unwrap();
    until("it waits", async || Ok(scene.log_of_any().await?.contains(&"waiting".to_owned()).then_some(())))
        .await
        .unwrap();
    let url = format!("http://{}/v1/runs/{run}/cancel", scene.platform.addresses.users);
    let cancel = scene.platform.http.post(url).bearer_auth(scene.platform.admin());
    cancel.send().await.unwrap().error_for_status().unwrap();
    all_stopped(&scene, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_ticket_ends_the_attempt_and_the_task_runs_again() {
    let scene = Scene::start().await;
    let job = scene.job("import signal\nprint('waiting')\nsignal.pause()", &["p0"], 600_000).await;
    let _worker = Worker::start(&scene.platform, &scene.store, settings(&scene)).unwrap();
    scene.platform.run("d", vec![job]).await.unwrap();
    until("it waits", async || Ok(scene.log_of_any().await?.contains(&"waiting".to_owned()).then_some(())))
        .await
        .unwrap();
    // Somebody has described the task, and read its ticket.
    let stolen = scene.agent.seen().into_values().next().unwrap()[0].1.clone();
    let url = format!("http://{}/v1/task/launch", scene.platform.addresses.tasks);
    let call = scene.platform.http.post(url).bearer_auth(stolen);
    let answer = call.json(&RedeemRequest { nonce: LaunchNonce::random() }).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 401);
    until("it runs again", async || Ok((scene.agent.seen().len() == 2).then_some(()))).await.unwrap();
    let outcome: String =
        sqlx::query_scalar("select outcome from attempts").fetch_one(&scene.platform.app.db).await.unwrap();
    assert_eq!(outcome, "ticket_stolen");
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_of_attempts_that_are_over_are_swept() {
    let scene = Scene::start().await;
    // Nobody's: the number of an attempt that has no lease. And somebody else's, which is left alone.
    for started_by in ["trace/a999999", "other/a999999", "trace/nonsense"] {
        let run = scene.moto.client.run_task().cluster(&scene.moto.cluster).task_definition("trace-udf");
        let vpc = aws_sdk_ecs::types::AwsVpcConfiguration::builder()
            .set_subnets(Some(scene.moto.config().unwrap().subnets))
            .set_security_groups(Some(Vec::new()))
            .build()
            .unwrap();
        let network = aws_sdk_ecs::types::NetworkConfiguration::builder().awsvpc_configuration(vpc).build();
        let run = run.launch_type(aws_sdk_ecs::types::LaunchType::Fargate).network_configuration(network);
        run.started_by(started_by).send().await.unwrap();
    }
    let _worker = Worker::start(&scene.platform, &scene.store, settings(&scene)).unwrap();
    let stopped = until("the stray task is stopped", async || {
        let tasks = scene.moto.tasks().await?;
        let stopped: Vec<String> = tasks
            .iter()
            .filter(|task| task.last_status() == Some("STOPPED"))
            .map(|task| task.started_by().unwrap_or_default().to_owned())
            .collect();
        Ok((!stopped.is_empty()).then_some(stopped))
    })
    .await
    .unwrap();
    assert_eq!(stopped, ["trace/a999999"]);
}
