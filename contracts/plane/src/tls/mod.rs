//! TLS 1.2 and 1.3 by rustls, on our listeners and towards our services.
//!
//! | what | where |
//! |---|---|
//! | a certificate and its key, read from files | [`pair`] |
//! | the pair that new connections are shown, which changes with its files | [`shown`] |
//! | whose certificates are believed | [`trust`] |

mod pair;
mod shown;
mod trust;

use std::sync::Arc;

use tokio_rustls::rustls::{
    ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    server::ResolvesServerCert,
    version::{TLS12, TLS13},
};

pub use pair::{Error, Files};
pub use shown::Tls;
pub use trust::{Connector, Dialler, Trust, TrustError};

/// Named at each use, because a process that holds two of them has no default one.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// What every listener of ours speaks: HTTP/1.1 over TLS 1.2 or 1.3.
fn server_config(certificates: Arc<dyn ResolvesServerCert>) -> Arc<ServerConfig> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13, &TLS12])
        // Unwrap safety: it fails when the provider has no cipher suite of a version, and this one has.
        .expect("the provider has cipher suites of both versions")
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}
