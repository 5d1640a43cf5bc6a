//! `/v1/schema/dag.json`: the JSON Schema of a DAG's YAML, for editors.

use std::sync::LazyLock;

use axum::{http::header, response::IntoResponse};

static DAG: LazyLock<String> = LazyLock::new(|| crate::dag::schema::schema().to_string());

/// `GET /v1/schema/dag.json`.
pub(super) async fn dag() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/schema+json")], DAG.as_str())
}
