//! One way to call a service of the platform.

use std::{
    io::Read,
    thread,
    time::{Duration, SystemTime},
};

use ureq::{Agent, Body, http};

use crate::{Error, Plane, Result, Secret};

/// What an answer may have; a query's own limits are lower.
const MAX_ANSWER_BYTES: u64 = 1024 * 1024 * 1024;
/// A refusal is short.
const MAX_PROBLEM_BYTES: u64 = 64 * 1024;
/// Without a deadline no call takes longer.
const MAX_WAIT: Duration = Duration::from_secs(600);
/// Tries when a service is busy or away, the first one included.
const TRIES: u32 = 6;
/// Waited before the second try; doubled for each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// Calls services until the attempt's deadline.
pub struct Http {
    agent: Agent,
    deadline: Option<SystemTime>,
}

/// One request. All of the SDK's may be repeated without harm.
pub struct Request<'a> {
    pub plane: Plane,
    pub method: http::Method,
    pub url: String,
    pub token: Option<&'a Secret>,
    pub content_type: &'static str,
    pub body: &'a [u8],
}

/// A success.
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Http {
    pub fn new(deadline: Option<SystemTime>) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .user_agent(concat!("trace-udf/", env!("CARGO_PKG_VERSION")))
            .build();
        Self { agent: config.new_agent(), deadline }
    }

    /// Asks and reads the whole answer, again while the service is busy and time is left.
    pub fn ask(&self, request: &Request<'_>) -> Result<Answer> {
        let plane = request.plane;
        let (mut pause, mut tries) = (FIRST_PAUSE, 0);
        loop {
            tries += 1;
            let mut answer = self.send(request)?;
            let status = answer.status().as_u16();
            let busy = matches!(status, 429 | 503);
            let limit = if status < 300 { MAX_ANSWER_BYTES } else { MAX_PROBLEM_BYTES };
            let mut body = Vec::new();
            answer
                .body_mut()
                .with_config()
                .limit(limit)
                .reader()
                .read_to_end(&mut body)
                .map_err(|error| Error::Unreachable { plane, detail: error.to_string() })?;
            if status < 300 {
                return Ok(Answer { status, body });
            }
            if !busy || tries == TRIES || self.time_left()? <= pause {
                return Err(Error::from_answer(plane, status, &body));
            }
            rest(pause);
            pause *= 2;
        }
    }

    fn send(&self, request: &Request<'_>) -> Result<http::Response<Body>> {
        let mut builder = http::Request::builder().method(request.method.clone()).uri(&request.url);
        if let Some(token) = request.token {
            builder = builder.header("authorization", format!("Bearer {}", token.expose()));
        }
        if !request.body.is_empty() {
            builder = builder.header("content-type", request.content_type);
        }
        let unreachable = |detail| Error::Unreachable { plane: request.plane, detail };
        let ready = builder.body(request.body).map_err(|error| unreachable(error.to_string()))?;
        let ready = self.agent.configure_request(ready).timeout_global(Some(self.time_left()?)).build();
        self.agent.run(ready).map_err(|error| match error {
            ureq::Error::Timeout(_) if self.time_left().is_err() => Error::DeadlinePassed,
            error => unreachable(format!("{}: {error}", request.url)),
        })
    }

    fn time_left(&self) -> Result<Duration> {
        let Some(deadline) = self.deadline else { return Ok(MAX_WAIT) };
        match deadline.duration_since(SystemTime::now()) {
            Ok(left) if !left.is_zero() => Ok(left.min(MAX_WAIT)),
            _ => Err(Error::DeadlinePassed),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a busy service asks for time itself")]
fn rest(pause: Duration) {
    thread::sleep(pause);
}
