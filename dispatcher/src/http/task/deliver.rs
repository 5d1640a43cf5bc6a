//! `POST /v1/task/deliveries`.

use axum::{Json, extract::State, http::StatusCode};
use trace_contracts::{
    ErrorCode,
    wire::delivery::{TaskDeliveryReply, TaskDeliveryRequest},
};
use trace_plane::{Body, Refusal, Reply};

use super::LiveTask;
use crate::{
    App, db,
    db::notify::Channel,
    webhooks::message::{self, Teller, Told},
};

/// Has something told to a webhook that the DAG declares for the job.
pub(super) async fn deliver(
    State(app): State<App>,
    live: LiveTask,
    Body(request): Body<TaskDeliveryRequest>,
) -> Reply<(StatusCode, Json<TaskDeliveryReply>)> {
    let mut tx = app.db.begin().await.map_err(db::Error::from)?;
    let run = app.core.facts.one(&mut tx, live.lease.run()).await?;
    let teller = Teller { run: &run, task: live.lease.task, attempt: live.lease.attempt };
    let told = message::tell(&mut tx, teller, &request).await?;
    let (status, delivery) = match told {
        Told::Before(delivery) => (StatusCode::OK, delivery),
        Told::Now(delivery) => {
            db::notify::send(&mut tx, Channel::Deliveries).await?;
            (StatusCode::ACCEPTED, delivery)
        }
    };
    tx.commit().await.map_err(db::Error::from)?;
    Ok((status, Json(TaskDeliveryReply { delivery })))
}

impl From<message::Error> for Refusal {
    fn from(error: message::Error) -> Self {
        use message::Error as E;
        let code = match error {
            E::Db(error) => return error.into(),
            E::Undeclared { .. } => ErrorCode::Forbidden,
            E::TooLarge => ErrorCode::PayloadTooLarge,
            E::NoWebhook(_) => ErrorCode::NotFound,
            E::KeyTaken => ErrorCode::Conflict,
            E::TooMany => ErrorCode::LimitExceeded,
            E::Over => ErrorCode::Revoked,
        };
        Self::new(code, error.to_string())
    }
}
