//! `/v1/webhooks`, one function a route.

use trace_contracts::{
    Name,
    wire::webhook::{
        DeliveryInfo, DeliveryState, RedriveReply, RedriveRequest, RotateRequest, WebhookInfo,
        WebhookKeyReply, WebhookRequest,
    },
};

use super::{Client, Error, answer, send};

impl Client {
    /// `GET /v1/webhooks`.
    ///
    /// # Errors
    /// When the platform refuses or does not answer, as with every call.
    pub async fn webhooks(&self) -> Result<Vec<WebhookInfo>, Error> {
        self.get(&["v1", "webhooks"], &[]).await
    }

    /// `POST /v1/webhooks`.
    ///
    /// # Errors
    /// When the platform refuses or does not answer.
    pub async fn add_webhook(&self, webhook: &WebhookRequest) -> Result<WebhookKeyReply, Error> {
        self.post(&["v1", "webhooks"], webhook).await
    }

    /// `POST /v1/webhooks/{name}/rotate`.
    ///
    /// # Errors
    /// When the platform refuses or does not answer.
    pub async fn rotate_webhook(
        &self,
        name: &Name,
        request: &RotateRequest,
    ) -> Result<WebhookKeyReply, Error> {
        self.post(&["v1", "webhooks", name, "rotate"], request).await
    }

    /// `POST /v1/webhooks/{name}/enable`.
    ///
    /// # Errors
    /// When the platform refuses or does not answer.
    pub async fn enable_webhook(&self, name: &Name) -> Result<WebhookInfo, Error> {
        self.post(&["v1", "webhooks", name, "enable"], &serde_json::json!({})).await
    }

    /// `DELETE /v1/webhooks/{name}`.
    ///
    /// # Errors
    /// When the platform refuses or does not answer.
    pub async fn remove_webhook(&self, name: &Name) -> Result<WebhookInfo, Error> {
        let url = self.address.join(&["v1", "webhooks", name]);
        answer(&url, send(&url, self.request(reqwest::Method::DELETE, &url)).await?).await
    }

    /// `GET /v1/webhooks/{name}/deliveries`.
    ///
    /// # Errors
    /// When the platform refuses or does not answer.
    pub async fn deliveries(
        &self,
        name: &Name,
        state: Option<DeliveryState>,
        limit: u32,
    ) -> Result<Vec<DeliveryInfo>, Error> {
        let mut query = vec![("limit", limit.to_string())];
        query.extend(state.map(|state| ("state", state.to_string())));
        self.get(&["v1", "webhooks", name, "deliveries"], &query).await
    }

    /// `POST /v1/webhooks/{name}/redrive`.
    ///
    /// # Errors
    /// When the platform refuses or does not answer.
    pub async fn redrive(&self, name: &Name, request: &RedriveRequest) -> Result<RedriveReply, Error> {
        self.post(&["v1", "webhooks", name, "redrive"], request).await
    }
}
