//! `POST /v1/query`.

use std::time::Duration;

use reqwest::{Method, Response};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use trace_contracts::wire::task::{QueryFormat, QueryRequest, QueryResult};
use url::Url;

use super::{Client, Error, answer, send};

/// Longer than any deadline of the query service.
const QUERY_TIMEOUT: Duration = Duration::from_secs(15 * 60);

impl Client {
    /// Runs a `SELECT` and takes in the whole result.
    ///
    /// # Errors
    /// When the platform refuses or does not answer, or the result is too large to hold.
    pub async fn query(&self, sql: &str) -> Result<QueryResult, Error> {
        let (url, response) = self.run_query(sql, QueryFormat::Json).await?;
        answer(&url, response).await
    }

    /// Runs a `SELECT` and passes the result on, byte for byte, as it arrives.
    ///
    /// # Errors
    /// When the platform refuses or does not answer, or `to` can't be written to.
    pub async fn query_into(
        &self,
        sql: &str,
        format: QueryFormat,
        to: &mut (impl AsyncWrite + Unpin),
    ) -> Result<(), Error> {
        let (url, mut response) = self.run_query(sql, format).await?;
        let unwritable = |source| Error::File { path: "standard output".to_owned(), source };
        while let Some(piece) = response.chunk().await.map_err(|error| Error::transport(&url, &error))? {
            to.write_all(&piece).await.map_err(unwritable)?;
        }
        to.flush().await.map_err(unwritable)
    }

    async fn run_query(&self, sql: &str, format: QueryFormat) -> Result<(Url, Response), Error> {
        let url = self.address.join(&["v1", "query"]);
        let body = QueryRequest { sql: sql.to_owned(), format };
        let request = self.request(Method::POST, &url).timeout(QUERY_TIMEOUT).json(&body);
        let response = send(&url, request).await?;
        Ok((url, response))
    }
}
