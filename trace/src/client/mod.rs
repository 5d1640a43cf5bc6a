//! `/v1` of the platform, typed.

mod blobs;
mod error;
mod query;
mod routes;
mod webhooks;

use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response, StatusCode, header::AUTHORIZATION};
use serde::{Serialize, de::DeserializeOwned};
use trace_contracts::{Problem, Secret};
use trace_plane::Trust;
use url::Url;

pub use self::{
    blobs::Content,
    error::Error,
    routes::{LogPosition, RunFilter},
};
use crate::connection::{Address, Connection};

/// The longest that a JSON call may take; longer than any wait that one asks for.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// What a JSON answer may hold.
const MAX_ANSWER_BYTES: usize = 256 * 1024 * 1024;
/// What a problem may hold.
const MAX_PROBLEM_BYTES: usize = 1024 * 1024;

/// A client of one platform, as one user.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    address: Address,
    token: Secret<String>,
}

impl Client {
    /// A client for this connection. Nothing is sent yet.
    ///
    /// # Errors
    /// When the system has no TLS roots to trust.
    pub fn new(connection: Connection) -> Result<Self, Error> {
        let http = http_client(&connection.address, &connection.trust)?;
        Ok(Self { http, address: connection.address, token: connection.token })
    }

    async fn get<T: DeserializeOwned>(&self, path: &[&str], query: &[(&str, String)]) -> Result<T, Error> {
        let url = self.address.join(path);
        let request = self.request(Method::GET, &url).query(query);
        answer(&url, send(&url, request).await?).await
    }

    async fn post<B: Serialize, T: DeserializeOwned>(&self, path: &[&str], body: &B) -> Result<T, Error> {
        let url = self.address.join(path);
        let request = self.request(Method::POST, &url).json(body);
        answer(&url, send(&url, request).await?).await
    }

    fn request(&self, method: Method, url: &Url) -> RequestBuilder {
        self.http
            .request(method, url.clone())
            .timeout(CALL_TIMEOUT)
            .header(AUTHORIZATION, format!("Bearer {}", self.token.expose()))
    }
}

/// Reads a public document of the platform, such as its JWKS, without showing a token.
///
/// # Errors
/// When it can't be had.
pub async fn public_document(address: &Address, trust: &Trust, path: &[&str]) -> Result<String, Error> {
    let url = address.join(path);
    let request = http_client(address, trust)?.get(url.clone()).timeout(CONNECT_TIMEOUT);
    let body = body(&url, send(&url, request).await?, MAX_PROBLEM_BYTES).await?;
    String::from_utf8(body).map_err(|error| Error::Unexpected { url, reason: error.to_string() })
}

/// Redirects are not followed: a token is for the address that the user named. What is on this
/// machine is not asked for through a proxy.
fn http_client(address: &Address, trust: &Trust) -> Result<reqwest::Client, Error> {
    let builder = reqwest::Client::builder()
        .user_agent(concat!("trace/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT);
    let builder = if address.is_loopback() { builder.no_proxy() } else { builder };
    let built = trust.added_to(builder).and_then(reqwest::ClientBuilder::build);
    built.map_err(|error| Error::transport(&address.join(&[]), &error))
}

/// Sends a request; an answer that is not a success becomes an error.
async fn send(url: &Url, request: RequestBuilder) -> Result<Response, Error> {
    let response = request.send().await.map_err(|error| Error::transport(url, &error))?;
    if response.status().is_success() { Ok(response) } else { Err(refusal(url, response).await) }
}

async fn refusal(url: &Url, response: Response) -> Error {
    let status = response.status();
    let problem = match body(url, response, MAX_PROBLEM_BYTES).await {
        Ok(unverified) => serde_json::from_slice::<Problem>(&unverified),
        Err(error) => return error,
    };
    match problem {
        Ok(problem) => Error::Refused(problem),
        Err(_) => Error::Unexpected { url: url.clone(), reason: format!("status {}", describe(status)) },
    }
}

fn describe(status: StatusCode) -> String {
    match status.canonical_reason() {
        Some(reason) => format!("{} {reason}", status.as_u16()),
        None => status.as_u16().to_string(),
    }
}

async fn answer<T: DeserializeOwned>(url: &Url, response: Response) -> Result<T, Error> {
    let body = body(url, response, MAX_ANSWER_BYTES).await?;
    serde_json::from_slice(&body)
        .map_err(|error| Error::Unexpected { url: url.clone(), reason: error.to_string() })
}

/// The whole body, up to `limit` bytes.
async fn body(url: &Url, mut response: Response, limit: usize) -> Result<Vec<u8>, Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| Error::transport(url, &error))? {
        if body.len() + chunk.len() > limit {
            return Err(Error::TooLarge { url: url.clone(), limit });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
