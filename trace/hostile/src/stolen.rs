//! Attacks with keys that somebody got hold of: a task prints what it has, in a form that no mask of logs
//! knows, and whoever reads the log goes on with it, from outside.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use reqwest::{Client as Http, Proxy, RequestBuilder, header::HeaderValue};
use serde::Deserialize;
use serde_json::json;
use tokio::time::interval;
use trace::client::{Client, LogPosition};
use trace_contracts::{
    AttemptId, Problem, RunId,
    wire::user::{DeployRequest, RunState, TaskInfo, TriggerRequest},
};

use crate::{
    listeners::Listeners,
    reaching, round,
    scene::Scene,
    vector::{Seen, Story},
};

/// All that is waited for comes within this time.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// How a line with a piece begins; the last one has a full stop.
const LEAKED: &str = "leaked ";

/// What a task had.
#[derive(Deserialize)]
struct Keys {
    dispatcher: String,
    query: String,
    /// A presigned address of an object of its own, without the host.
    address: String,
    host: String,
    /// For the gateway; where the task is granted a destination.
    egress: Option<String>,
}

/// What such a task is granted.
const DESTINATION: &str = "out.example.com";

/// How the attempt ends before its keys are used.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// It does not.
    Lives,
    /// Its run is cancelled.
    Cancelled,
    /// It has succeeded.
    Completed,
    /// It has failed, and another attempt at the task runs.
    Superseded,
}

/// Where they are used.
#[derive(Clone, Copy)]
enum At {
    Dispatcher,
    Queries,
    Objects,
    Gateway,
    Users,
    UsersQueries,
    Workers,
}

macro_rules! stories {
    ($($name:ident $end:ident $at:ident;)*) => {$(
        #[doc = concat!("Keys of an attempt, used where `At::", stringify!($at), "` is, after `End::", stringify!($end), "`.")]
        pub fn $name(scene: Scene<'_>) -> Story<'_> {
            Box::pin(used(scene, stringify!($name), End::$end, At::$at))
        }
    )*};
}

stories! {
    cancelled_at_dispatcher Cancelled Dispatcher;
    cancelled_at_queries Cancelled Queries;
    cancelled_at_objects Cancelled Objects;
    completed_at_dispatcher Completed Dispatcher;
    completed_at_queries Completed Queries;
    completed_at_objects Completed Objects;
    superseded_at_dispatcher Superseded Dispatcher;
    superseded_at_queries Superseded Queries;
    superseded_at_objects Superseded Objects;
    cancelled_at_gateway Cancelled Gateway;
    completed_at_gateway Completed Gateway;
    superseded_at_gateway Superseded Gateway;
    capability_at_users Lives Users;
    query_token_at_users_queries Lives UsersQueries;
    capability_at_workers Lives Workers;
}

/// A user's token where workers and planes are answered.
pub fn user_token_at_workers(scene: Scene<'_>) -> Story<'_> {
    Box::pin(async move {
        let listeners = Listeners::of(&scene).await?;
        let token = scene.platform.token("main")?;
        let request =
            http()?.post(format!("{}/internal/liveness", listeners.workers)).bearer_auth(token.expose());
        seen(request.json(&json!({ "attempts": [], "wait_ms": 0 }))).await
    })
}

/// A user says in headers who they are, as a proxy would.
pub fn forwarded_identity(scene: Scene<'_>) -> Story<'_> {
    Box::pin(async move {
        let listeners = Listeners::of(&scene).await?;
        let request = http()?.get(format!("{}/v1/runs", listeners.users));
        let request = match scene.planted {
            true => request.bearer_auth(scene.platform.token("main")?.expose()),
            false => ["x-forwarded-user", "x-amzn-oidc-identity", "x-auth-request-user", "x-remote-user"]
                .into_iter()
                .fold(request, |request, name| request.header(name, "main-admin")),
        };
        seen(request).await
    })
}

async fn used(scene: Scene<'_>, name: &str, end: End, at: At) -> anyhow::Result<Seen> {
    let client = scene.platform.client("main")?;
    let run = start(&scene, &client, name, end, at).await?;
    let listeners = Listeners::of(&scene).await?;
    let keys = leaked(&client, run, end).await?;
    let used = use_them(&scene, &listeners, &keys, at).await;
    if matches!(end, End::Lives | End::Superseded) {
        client.cancel(run).await?;
    }
    used
}

/// Starts a task that prints what it has.
async fn start(scene: &Scene<'_>, client: &Client, name: &str, end: End, at: At) -> anyhow::Result<RunId> {
    let then = match end {
        End::Lives | End::Cancelled => "stay",
        End::Completed => "succeed",
        End::Superseded => "fail",
    };
    let blob = round::upload(client, round::then(scene, &["hold", then])?).await?;
    let yaml = format!(
        "name: {name}\njobs:\n  - name: holder\n    udf: {{ language: python, path: holder }}\n    \
         timeout: 60s\n    retries: {{ max: 1, backoff: 1s }}\n{}",
        granted(scene, at).await?
    );
    let blobs = BTreeMap::from([("holder".to_owned(), blob)]);
    client.deploy(&DeployRequest { yaml, blobs }).await?;
    Ok(client.trigger(&name.parse()?, &TriggerRequest::default()).await?.run)
}

/// What the job declares to reach, as in the DAG file, allowed by an admin.
async fn granted(scene: &Scene<'_>, at: At) -> anyhow::Result<String> {
    let At::Gateway = at else { return Ok(String::new()) };
    let to = destination(scene);
    reaching::allow(scene, &to).await?;
    Ok(format!("    egress: [\"{to}\"]\n"))
}

fn destination(scene: &Scene<'_>) -> String {
    format!("{DESTINATION}:{}", scene.world.internet().port())
}

/// What the first attempt has printed, once that has ended as it should.
async fn leaked(client: &Client, run: RunId, end: End) -> anyhow::Result<Keys> {
    let (task, keys) = until("the keys", async || {
        let Some(task) = client.tasks(run).await?.into_iter().next() else { return Ok(None) };
        let Some(first) = task.attempts.first().map(|attempt| attempt.attempt) else { return Ok(None) };
        Ok(printed(client, &task, first).await?.map(|keys| (task, keys)))
    })
    .await?;
    match end {
        End::Lives => {}
        End::Cancelled => drop(client.cancel(run).await?),
        End::Completed => {
            until("the end", async || Ok((client.run(run).await?.state != RunState::Running).then_some(())))
                .await?;
        }
        End::Superseded => {
            until("another attempt", async || {
                let task = client.task(task.task).await?;
                let Some(second) = task.attempts.get(1).map(|attempt| attempt.attempt) else {
                    return Ok(None);
                };
                Ok(printed(client, &task, second).await?.map(drop))
            })
            .await?;
        }
    }
    Ok(keys)
}

async fn until<T>(what: &str, look: impl AsyncFn() -> anyhow::Result<Option<T>>) -> anyhow::Result<T> {
    let since = Instant::now();
    let mut looks = interval(LOOK);
    while since.elapsed() < PATIENCE {
        looks.tick().await;
        if let Some(found) = look().await? {
            return Ok(found);
        }
    }
    bail!("{what} did not come within {PATIENCE:?}")
}

async fn printed(client: &Client, task: &TaskInfo, attempt: AttemptId) -> anyhow::Result<Option<Keys>> {
    let page =
        client.logs(task.task, LogPosition { attempt: Some(attempt), after: None, wait_ms: 0 }).await?;
    let mut text = String::new();
    for piece in page.lines.iter().filter_map(|line| line.text.strip_prefix(LEAKED)) {
        if piece == "." {
            let json = hex::decode(&text).context("the pieces are in hex")?;
            return Ok(Some(serde_json::from_slice(&json)?));
        }
        text += piece;
    }
    Ok(None)
}

async fn use_them(scene: &Scene<'_>, listeners: &Listeners, keys: &Keys, at: At) -> anyhow::Result<Seen> {
    let http = http()?;
    let user = scene.platform.token("main")?;
    // Where a user's token is right, it is the planted one.
    let or_users = |token: &str| if scene.planted { user.expose().clone() } else { token.to_owned() };
    let sql = json!({ "sql": "SELECT 1" });
    let request = match at {
        At::Dispatcher => {
            http.get(format!("{}/v1/task/context", listeners.tasks)).bearer_auth(&keys.dispatcher)
        }
        At::Queries => {
            http.post(format!("{}/v1/task/query", listeners.queries)).bearer_auth(&keys.query).json(&sql)
        }
        At::Objects => http.get(format!("{}{}", listeners.objects, keys.address)).header("host", &keys.host),
        At::Gateway => {
            let token = keys.egress.as_deref().context("a task with a grant has a token for the gateway")?;
            let shown = HeaderValue::from_str(&format!("Bearer {token}"))?;
            let proxy = Proxy::http(&listeners.gateway)?.custom_http_auth(shown);
            let http = Http::builder().proxy(proxy).timeout(PATIENCE).build()?;
            http.get(format!("http://{}/", destination(scene)))
        }
        At::Users => http.get(format!("{}/v1/runs", listeners.users)).bearer_auth(or_users(&keys.dispatcher)),
        At::UsersQueries => {
            http.post(format!("{}/v1/query", listeners.users)).bearer_auth(or_users(&keys.query)).json(&sql)
        }
        At::Workers => http
            .post(format!("{}/internal/liveness", listeners.workers))
            .bearer_auth(&keys.dispatcher)
            .json(&json!({ "attempts": [], "wait_ms": 0 })),
    };
    seen(request).await
}

fn http() -> reqwest::Result<Http> {
    Http::builder().no_proxy().timeout(PATIENCE).build()
}

/// What a request came to: problem details by their code, the object store's refusals by theirs.
async fn seen(request: RequestBuilder) -> anyhow::Result<Seen> {
    let answer = request.send().await?;
    let status = answer.status();
    let text = answer.text().await?;
    let told: String = text.chars().take(200).collect();
    if status.is_success() {
        return Ok(Seen::got(told));
    }
    if let Ok(problem) = serde_json::from_str::<Problem>(&text) {
        let code = serde_json::to_value(problem.code)?;
        return Ok(Seen::refused(
            format!("http {} {}", problem.status, code.as_str().unwrap_or("?")),
            problem.detail,
        ));
    }
    let code =
        text.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>")).map(|(code, _)| code);
    let code = code.with_context(|| format!("an answer {status} of nobody: {told}"))?;
    Ok(Seen::refused(format!("s3 {} {code}", status.as_u16()), told))
}
