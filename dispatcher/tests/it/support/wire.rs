//! Calls as a worker, a plane or a task makes them.

use reqwest::{Method, Response, StatusCode};
use serde::{Serialize, de::DeserializeOwned};
use trace_contracts::{
    AttemptId, ClaimId, Problem, Secret,
    wire::{
        launch::{TicketReply, TicketRequest},
        plane::{LivenessReply, LivenessRequest},
        worker::{
            ClaimReply, ClaimRequest, CompleteReply, CompleteRequest, CompleteVerdict, Completion,
            FailureReason, Fence, HeartbeatReply, HeartbeatRequest, HeartbeatVerdict, Lease, Outcome,
        },
    },
};

use super::Platform;

pub fn claiming(max: u32) -> ClaimRequest {
    ClaimRequest { claim_id: ClaimId::random(), max, tasks: None, wait_ms: 0, runtime: None }
}

pub fn fence(lease: &Lease) -> Fence {
    Fence { task: lease.launch.task, attempt: lease.attempt, lease_token: lease.lease_token }
}

pub fn succeeded(lease: &Lease) -> Completion {
    Completion { fence: fence(lease), outcome: Outcome::Succeeded }
}

pub fn failed(lease: &Lease, reason: FailureReason) -> Completion {
    Completion { fence: fence(lease), outcome: Outcome::Failed { reason, detail: "it broke".to_owned() } }
}

/// The body, where the answer is a success.
pub async fn ok<T: DeserializeOwned>(response: Response) -> T {
    let status = response.status();
    let text = response.text().await.unwrap();
    assert!(status.is_success(), "{status}: {text}");
    serde_json::from_str(&text).unwrap()
}

/// The problem, where the answer is a refusal.
pub async fn problem(response: Response) -> Problem {
    assert!(!response.status().is_success(), "{}", response.status());
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    response.json().await.unwrap()
}

impl Platform {
    pub fn internal(&self, method: Method, path: &str, token: &Secret<String>) -> reqwest::RequestBuilder {
        let url = format!("http://{}{path}", self.addresses.workers);
        self.http.request(method, url).bearer_auth(token.expose())
    }

    pub fn task(&self, method: Method, path: &str, token: &Secret<String>) -> reqwest::RequestBuilder {
        let url = format!("http://{}{path}", self.addresses.tasks);
        self.http.request(method, url).bearer_auth(token.expose())
    }

    pub async fn post<B: Serialize>(&self, path: &str, body: &B) -> Response {
        self.internal(Method::POST, path, &self.worker).json(body).send().await.unwrap()
    }

    pub async fn claim_as(&self, request: &ClaimRequest) -> Vec<Lease> {
        ok::<ClaimReply>(self.post("/internal/claim", request).await).await.leases
    }

    pub async fn claim(&self, max: u32) -> Vec<Lease> {
        self.claim_as(&claiming(max)).await
    }

    /// The one task that is ready.
    pub async fn claim_one(&self) -> Lease {
        let mut leases = self.claim(2).await;
        assert_eq!(leases.len(), 1, "exactly one task should be ready");
        leases.remove(0)
    }

    pub async fn heartbeat(&self, leases: Vec<Fence>) -> Vec<HeartbeatVerdict> {
        let reply: HeartbeatReply =
            ok(self.post("/internal/heartbeat", &HeartbeatRequest { leases }).await).await;
        reply.verdicts
    }

    pub async fn complete(&self, completions: Vec<Completion>) -> Vec<CompleteVerdict> {
        let reply: CompleteReply =
            ok(self.post("/internal/complete", &CompleteRequest { completions }).await).await;
        reply.verdicts
    }

    pub async fn complete_one(&self, completion: Completion) -> CompleteVerdict {
        self.complete(vec![completion]).await.remove(0)
    }

    /// A launch ticket for an attempt.
    pub async fn ticket(&self, lease: &Lease) -> TicketReply {
        ok(self.post("/internal/launch/ticket", &TicketRequest { fence: fence(lease) }).await).await
    }

    pub async fn dead_of(&self, attempts: &[AttemptId], wait_ms: u64) -> Vec<AttemptId> {
        let request = LivenessRequest { attempts: attempts.to_vec(), wait_ms, ..LivenessRequest::default() };
        let response = self
            .internal(Method::POST, "/internal/liveness", &self.plane)
            .json(&request)
            .send()
            .await
            .unwrap();
        ok::<LivenessReply>(response).await.dead
    }

    /// Claims and completes until nothing is ready; answers how many tasks succeeded.
    pub async fn work_off(&self) -> usize {
        let mut done = 0;
        loop {
            let leases = self.claim(50).await;
            if leases.is_empty() {
                return done;
            }
            let verdicts = self.complete(leases.iter().map(succeeded).collect()).await;
            assert!(verdicts.iter().all(|verdict| *verdict == CompleteVerdict::Recorded));
            done += leases.len();
        }
    }

    pub async fn status(&self, request: reqwest::RequestBuilder) -> StatusCode {
        request.send().await.unwrap().status()
    }
}
