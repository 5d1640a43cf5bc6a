//! What the runner asks of the dispatcher.

use std::time::Duration;

use reqwest::{RequestBuilder, Response, StatusCode};
use serde::{Serialize, de::DeserializeOwned};
use trace_contracts::{
    LaunchNonce, LaunchTicket, Problem, S3Prefix, Secret,
    wire::{
        launch::{Event, RedeemReply, RedeemRequest, ReportRequest},
        task::{ContextReply, CredentialsReply, SessionCredentials},
    },
};
use trace_plane::{Trust, backoff::Retrying, client::read_capped};
use url::Url;

/// The dispatcher answers within this time.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long the runner asks again while the dispatcher is away.
const AWAY: Duration = Duration::from_secs(60);
/// No answer is longer.
const MAX_REPLY_BYTES: usize = 16 * 1024 * 1024;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The ticket, or the attempt behind it, is worth nothing any more.
    #[error("the dispatcher does not know this launch ticket, or its attempt is over")]
    Over,
    /// It refused for another reason.
    #[error("the dispatcher refused with {0}: {1}")]
    Refused(StatusCode, String),
    /// There is no answer.
    #[error("the dispatcher can't be reached: {0}")]
    Unreachable(#[from] reqwest::Error),
    /// The answer is none to the question.
    #[error("the dispatcher answered what is not understood here: {0}")]
    Unreadable(String),
}

impl Error {
    fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Refused(status, _) => status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS,
            Self::Over | Self::Unreadable(_) => false,
        }
    }
}

/// The dispatcher, for the runner of one attempt.
#[derive(Debug)]
pub struct Api {
    base: Url,
    http: reqwest::Client,
    ticket: LaunchTicket,
    nonce: LaunchNonce,
}

/// Where the outputs go, and with which keys.
#[derive(Debug)]
pub struct OutputAccess {
    /// The attempt's output prefix.
    pub output: S3Prefix,
    /// The region to sign for.
    pub region: String,
    /// Keys that write there.
    pub session: SessionCredentials,
}

impl Api {
    /// The dispatcher whose task routes lie at `base`, shown this ticket with a nonce of our own if it is believed.
    #[must_use]
    pub fn new(base: Url, ticket: LaunchTicket, trust: &Trust) -> Self {
        Self { base, http: trust.http_client(TIMEOUT), ticket, nonce: LaunchNonce::random() }
    }

    /// The attempt's order, with a fresh capability; again as often as it is needed.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn redeem(&self) -> Result<RedeemReply, Error> {
        let body = RedeemRequest { nonce: self.nonce.clone() };
        read(self.patiently(|| self.post("v1/task/launch", self.ticket.expose(), &body)).await?).await
    }

    /// Reports events. An empty report asks whether the attempt still lives.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn report(&self, first_seq: u64, events: Vec<Event>) -> Result<(), Error> {
        let body = ReportRequest { nonce: self.nonce.clone(), first_seq, events };
        let route = "v1/task/launch/report";
        self.patiently(|| self.post(route, self.ticket.expose(), &body)).await.map(drop)
    }

    /// Where the outputs go, and keys for it that are new.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn output_access(&self) -> Result<OutputAccess, Error> {
        // The capability of the launch may have expired: what lasts as long as the attempt is the ticket.
        let token = self.redeem().await?.capability_token;
        let context = self.patiently(|| self.get("v1/task/context", &token)).await?;
        let context: ContextReply = read(context).await?;
        let given = self.patiently(|| self.post("v1/task/credentials", token.expose(), &())).await?;
        let given: CredentialsReply = read(given).await?;
        let writes =
            |session: &SessionCredentials| session.write.iter().any(|prefix| prefix.covers(&context.output));
        let session = given.sessions.into_iter().find(writes);
        let none = || Error::Unreadable(format!("no session writes to {}", context.output));
        Ok(OutputAccess { session: session.ok_or_else(none)?, output: context.output, region: given.region })
    }

    async fn patiently(
        &self,
        request: impl Fn() -> Result<RequestBuilder, Error>,
    ) -> Result<Response, Error> {
        let mut retrying = Retrying::new(AWAY);
        loop {
            match checked(request()?).await {
                Err(error) if error.is_passing() && retrying.again().await => {}
                other => return other,
            }
        }
    }

    fn post(&self, route: &str, bearer: &str, body: &impl Serialize) -> Result<RequestBuilder, Error> {
        Ok(self.http.post(self.url(route)?).bearer_auth(bearer).json(body))
    }

    fn get(&self, route: &str, token: &Secret<String>) -> Result<RequestBuilder, Error> {
        Ok(self.http.get(self.url(route)?).bearer_auth(token.expose()))
    }

    fn url(&self, route: &str) -> Result<Url, Error> {
        self.base.join(route).map_err(|error| Error::Unreadable(error.to_string()))
    }
}

async fn checked(request: RequestBuilder) -> Result<Response, Error> {
    let response = request.send().await?;
    match response.status() {
        status if status.is_success() => Ok(response),
        StatusCode::UNAUTHORIZED => Err(Error::Over),
        status => {
            let body = read_capped(response, MAX_REPLY_BYTES).await?.unwrap_or_default();
            let problem = serde_json::from_slice(&body).map(|problem: Problem| problem.detail);
            Err(Error::Refused(status, problem.unwrap_or_default()))
        }
    }
}

async fn read<T: DeserializeOwned>(response: Response) -> Result<T, Error> {
    let too_long = || Error::Unreadable("it is too long".to_owned());
    let body = read_capped(response, MAX_REPLY_BYTES).await?.ok_or_else(too_long)?;
    serde_json::from_slice(&body).map_err(|error| Error::Unreadable(error.to_string()))
}
