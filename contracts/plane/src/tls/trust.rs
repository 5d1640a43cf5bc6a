//! Whose certificates are believed.

use std::{fmt, fs::File, io, path::Path, path::PathBuf, sync::Arc, time::Duration};

use reqwest::ClientBuilder;
use rustls_platform_verifier::Verifier;
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig,
        pki_types::{CertificateDer, ServerName},
        version::{TLS12, TLS13},
    },
};
use url::Url;

use super::pair;

/// The authorities that a service believes beside those that its system does. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Trust(Arc<[CertificateDer<'static>]>);

/// Why authorities can't be believed.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The file holds none.
    #[error("`ca_file`: {0}")]
    File(#[from] pair::Error),
    /// One of them is no authority's certificate.
    #[error("`ca_file`, {path}, holds a certificate that can't be used: {reason}", path = .path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// An address that TLS can't be spoken with.
    #[error("`{0}` names no host that a certificate could be for")]
    Host(String),
    /// The system's own authorities can't be read.
    #[error("the system's authorities can't be read: {0}")]
    System(String),
}

impl Trust {
    /// The authorities of a PEM file, beside the system's; the system's alone without one.
    ///
    /// # Errors
    /// When there is no authority in it.
    pub fn read(file: Option<&Path>) -> Result<Self, TrustError> {
        let Some(path) = file else { return Ok(Self::default()) };
        let content = File::open(path).map_err(pair::unreadable(path))?;
        Self::of_pem(&pair::bounded(content, path)?, path)
    }

    /// The authorities of this text, beside the system's. `origin` is where it is from, for whoever has to mend it.
    ///
    /// # Errors
    /// When there is no authority in it.
    pub fn of_pem(pem: &[u8], origin: &Path) -> Result<Self, TrustError> {
        let trust = Self(pair::certificates(pem, origin)?.into());
        // Tried now, so that a file that can't be used stops the start and not the first call.
        let refused = |reason: String| TrustError::Certificate { path: origin.to_owned(), reason };
        trust
            .added_to(reqwest::Client::builder())
            .map_err(|error| refused(error.to_string()))?
            .build()
            .map_err(|error| refused(error.to_string()))?;
        Ok(trust)
    }

    /// A client that believes them, follows no redirect, honours no proxy variable, and never waits for ever.
    ///
    /// # Panics
    /// When TLS can't be initialised, which is a broken build: what [`Self::read`] has read was tried.
    #[must_use]
    pub fn http_client(&self, timeout: Duration) -> reqwest::Client {
        let builder = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(5))
            .timeout(timeout);
        let built = self.added_to(builder).and_then(ClientBuilder::build);
        built.expect("an HTTP client can be built")
    }

    /// A builder whose clients believe them, and speak TLS 1.2 at least.
    ///
    /// # Errors
    /// When one of them is no certificate.
    pub fn added_to(&self, builder: ClientBuilder) -> Result<ClientBuilder, reqwest::Error> {
        let certificates: Result<Vec<_>, _> =
            self.0.iter().map(|certificate| reqwest::Certificate::from_der(certificate)).collect();
        Ok(builder.tls_version_min(reqwest::tls::Version::TLS_1_2).tls_certs_merge(certificates?))
    }

    /// What speaks TLS with the host of an `https` address; nothing where it is none.
    ///
    /// # Errors
    /// When the address names no host, or the system's authorities can't be read.
    pub fn connector(&self, url: &Url) -> Result<Option<Connector>, TrustError> {
        if url.scheme() != "https" {
            return Ok(None);
        }
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        self.dialler()?.to(host).map(Some)
    }

    /// What speaks TLS with any host. The authorities are read once, here.
    ///
    /// # Errors
    /// When the system's authorities can't be read.
    pub fn dialler(&self) -> Result<Dialler, TrustError> {
        let system = |error: tokio_rustls::rustls::Error| TrustError::System(error.to_string());
        let verifier =
            Verifier::new_with_extra_roots(self.0.iter().cloned(), super::provider()).map_err(system)?;
        let mut config = ClientConfig::builder_with_provider(super::provider())
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(system)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Dialler(TlsConnector::from(Arc::new(config))))
    }
}

/// Speaks TLS with hosts that prove who they are. Cheap to clone.
#[derive(Clone)]
pub struct Dialler(TlsConnector);

impl Dialler {
    /// For one host: its name, or its address without brackets.
    ///
    /// # Errors
    /// When no certificate could be for it.
    pub fn to(&self, host: &str) -> Result<Connector, TrustError> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| TrustError::Host(host.to_owned()))?;
        Ok(Connector { connector: self.0.clone(), name })
    }
}

impl fmt::Debug for Dialler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dialler")
    }
}

/// Speaks TLS with one host. Cheap to clone.
#[derive(Clone)]
pub struct Connector {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connector({:?})", self.name)
    }
}

impl Connector {
    /// The handshake with whoever the connection leads to.
    ///
    /// # Errors
    /// When they do not prove to be the host.
    pub async fn connect(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        self.connector.connect(self.name.clone(), stream).await
    }
}
