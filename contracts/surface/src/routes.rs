//! What a task can reach: a loopback port for each service, which is forwarded to it byte for byte.

/// One service, as a task sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inside {
    /// The variable that names its address.
    pub variable: &'static str,
    /// The loopback port.
    pub port: u16,
}

/// The dispatcher's listener for tasks.
pub const DISPATCHER: Inside = Inside { variable: "TRACE_DISPATCHER_URL", port: 8001 };
/// The query service.
pub const QUERY: Inside = Inside { variable: "TRACE_QUERY_URL", port: 8002 };
/// The object store.
pub const OBJECT_STORE: Inside = Inside { variable: "AWS_ENDPOINT_URL_S3", port: 8003 };

impl Inside {
    /// What the variable says.
    #[must_use]
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}
