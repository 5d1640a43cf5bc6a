//! The object store as the dispatcher itself reaches it: with its own keys, or as the machine that it runs on.

use aws_sdk_s3::{
    Client,
    config::{BehaviorVersion, Region, retry::RetryConfig, timeout::TimeoutConfig},
};
use std::time::Duration;

use crate::config::ObjectStore;

/// One bucket, and a client that may reach all of it; cheap to clone.
#[derive(Debug, Clone)]
pub struct Objects {
    client: Client,
    bucket: String,
}

impl Objects {
    /// A client of the configured store. Nothing is sent yet.
    #[must_use]
    pub fn new(config: &ObjectStore) -> Self {
        let region = Region::new(config.region.clone());
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(5))
            .read_timeout(Duration::from_secs(30))
            .build();
        let mut builder = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .credentials_provider(trace_aws::identity(config.keys.as_ref(), region.clone()))
            .region(region)
            .timeout_config(timeouts)
            .retry_config(RetryConfig::standard().with_max_attempts(3))
            .force_path_style(true);
        if let Some(endpoint) = &config.endpoint {
            builder = builder.endpoint_url(endpoint.as_str().trim_end_matches('/'));
        }
        Self { client: Client::from_conf(builder.build()), bucket: config.bucket.clone() }
    }

    /// The client.
    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// The bucket.
    #[must_use]
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The key of a blob.
    #[must_use]
    pub fn blob_key(org: trace_contracts::OrgId, sha256: trace_contracts::Sha256) -> String {
        format!("blobs/{org}/{sha256}")
    }
}
