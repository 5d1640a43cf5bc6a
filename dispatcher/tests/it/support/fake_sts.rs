//! An STS that answers what it is told to, and remembers what it was asked.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};

use super::s3::access_key;

/// Beside the parameters: the access key that signed the request.
pub const SIGNED_BY: &str = "signed by";

/// The parameters of one request.
pub type Asked = BTreeMap<String, String>;

/// A status, a code and a message.
type Refusal = (u16, &'static str, &'static str);

#[derive(Clone, Default)]
pub struct FakeSts {
    asked: Arc<Mutex<Vec<Asked>>>,
    refusals: Arc<Mutex<VecDeque<Refusal>>>,
}

impl FakeSts {
    /// Starts one; answers where it listens.
    pub async fn start() -> (Self, String) {
        let fake = Self::default();
        let router = Router::new().route("/", post(answer)).with_state(fake.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        (fake, format!("http://{address}"))
    }

    /// Refuses so many of the next requests with this status, code and message.
    pub fn refuse(&self, times: usize, status: u16, code: &'static str, message: &'static str) {
        self.refusals.lock().unwrap().extend(std::iter::repeat_n((status, code, message), times));
    }

    /// What it was asked since the last call.
    pub fn take(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

async fn answer(State(fake): State<FakeSts>, headers: HeaderMap, body: Bytes) -> Response {
    let mut asked: Asked = url::form_urlencoded::parse(&body).into_owned().collect();
    asked.extend(access_key(&headers).map(|key| (SIGNED_BY.to_owned(), key)));
    let seconds: i64 = asked["DurationSeconds"].parse().unwrap();
    fake.asked.lock().unwrap().push(asked);
    let refusal = fake.refusals.lock().unwrap().pop_front();
    let namespace = "https://sts.amazonaws.com/doc/2011-06-15/";
    if let Some((status, code, message)) = refusal {
        let body = format!(
            r#"<ErrorResponse xmlns="{namespace}"><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error><RequestId>r</RequestId></ErrorResponse>"#
        );
        return (StatusCode::from_u16(status).unwrap(), body).into_response();
    }
    let end = (chrono::Utc::now() + chrono::TimeDelta::seconds(seconds)).format("%Y-%m-%dT%H:%M:%SZ");
    format!(
        r#"<AssumeRoleResponse xmlns="{namespace}"><AssumeRoleResult><Credentials>
        <AccessKeyId>ASIAFAKE</AccessKeyId><SecretAccessKey>hush-secret</SecretAccessKey>
        <SessionToken>hush-token</SessionToken><Expiration>{end}</Expiration></Credentials>
        <PackedPolicySize>20</PackedPolicySize></AssumeRoleResult></AssumeRoleResponse>"#
    )
    .into_response()
}
