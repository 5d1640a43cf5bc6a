//! Telling somebody outside, by a webhook that the DAG declares for the job.

use serde::{Deserialize, Serialize};
use ureq::http::Method;

use crate::{Context, Error, Result, tokens::parse};

/// The longest body of a delivery, in bytes of JSON.
const MAX_BODY_BYTES: usize = 64 * 1024;

#[derive(Deserialize)]
struct Reply {
    delivery: String,
}

impl Context {
    /// Has `body` told to a webhook: `deliver: [{ on: task_message, to: NAME, job: JOB }]` in the DAG declares it.
    /// The same `key` is the same delivery, in every attempt at the task, so that it is told once however often the
    /// task is tried; the receiver sees the key beside the body. Answers the delivery's id, such as `dl17`.
    ///
    /// It is told even if this attempt fails afterwards. In a local test it goes to the log.
    ///
    /// # Errors
    /// [`Error::Denied`] when the DAG does not declare it, [`Error::Delivery`] when it has more than 64 KiB as JSON.
    pub fn deliver(&self, to: &str, key: &str, body: &impl Serialize) -> Result<String> {
        let body = serde_json::to_value(body).map_err(|error| Error::Delivery(error.to_string()))?;
        let length = body.to_string().len();
        if length > MAX_BODY_BYTES {
            return Err(Error::Delivery(format!(
                "{length} bytes of JSON: tell at most {MAX_BODY_BYTES}, such as where the data is"
            )));
        }
        let Some(tokens) = &self.tokens else {
            self.log(format_args!("deliver to {to} ({key}): {body}"));
            return Ok("dl1".to_owned());
        };
        let request = serde_json::json!({ "to": to, "key": key, "body": body }).to_string();
        let answer = tokens.ask(&self.http, Method::POST, "deliveries", request.as_bytes())?;
        parse::<Reply>(&answer.body).map(|reply| reply.delivery)
    }
}
