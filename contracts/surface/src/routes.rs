//! What a task can reach: a loopback port for each service.

/// One service, as a task sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inside {
    /// The variables that name its address.
    pub variables: &'static [&'static str],
    /// The loopback port.
    pub port: u16,
}

/// The dispatcher's listener for tasks.
pub const DISPATCHER: Inside = Inside { variables: &["TRACE_DISPATCHER_URL"], port: 8001 };
/// The query service.
pub const QUERY: Inside = Inside { variables: &["TRACE_QUERY_URL"], port: 8002 };
/// The object store.
pub const OBJECT_STORE: Inside = Inside { variables: &["AWS_ENDPOINT_URL_S3"], port: 8003 };
/// Whatever the egress gateway lets through; a proxy. Clients differ in which of the four variables they read.
pub const OUTSIDE: Inside =
    Inside { variables: &["HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"], port: 8004 };

impl Inside {
    /// What the variables say.
    #[must_use]
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}
