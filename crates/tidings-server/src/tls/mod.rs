//! TLS: the certificate that is shown, which may be replaced at any time, and the stream under it.

mod client;
mod expiry;
mod stream;

use std::{
    fmt, fs,
    path::Path,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use rustls::{
    InconsistentKeys, RootCertStore, ServerConfig, ServerConnection,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, TrustAnchor, pem, pem::PemObject as _},
};
use tokio::net::TcpStream;

pub use client::{ConnectError, believing, connect};
pub use stream::TlsStream;

/// A certificate chain with its key, fit to be shown.
pub struct Certificate {
    config: Arc<ServerConfig>,
    expires: Option<Duration>,
}

/// The certificate of a running server.
#[derive(Debug)]
pub struct Certificates(RwLock<Certificate>);

/// One of the two files that a certificate is read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PemFile {
    /// The certificate and those that vouch for it.
    Certificate,
    /// The private key.
    Key,
}

/// Why a certificate cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("{path} cannot be read: {reason}")]
    Unreadable {
        /// Which file.
        file: PemFile,
        /// Its path.
        path: String,
        /// Why.
        reason: String,
    },
    /// A file is damaged.
    #[error("{path} is no PEM file: {reason}")]
    NotPem {
        /// Which file.
        file: PemFile,
        /// Its path.
        path: String,
        /// Why.
        reason: String,
    },
    /// There is none in the file.
    #[error("{path} has no certificate in it; it should begin with -----BEGIN CERTIFICATE-----")]
    NoCertificate {
        /// The file's path.
        path: String,
    },
    /// There is none in the file.
    #[error("{path} has no private key in it; it should have a line -----BEGIN PRIVATE KEY-----")]
    NoKey {
        /// The file's path.
        path: String,
    },
    /// Nobody is here to type it.
    #[error(
        "the key in {path} is protected by a passphrase; write it without: openssl pkey -in FILE -out FILE"
    )]
    Passphrase {
        /// The file's path.
        path: String,
    },
    /// They belong to different certificates.
    #[error(
        "the key in {path} is not that of the certificate; the first certificate of its file is the server's own"
    )]
    OtherKey {
        /// The key's path.
        path: String,
    },
    /// It is damaged, or of a kind that is not supported.
    #[error("{path} cannot be used: {reason}")]
    Unusable {
        /// The certificate's path.
        path: String,
        /// Why.
        reason: String,
    },
}

impl CertificateError {
    /// The file to correct.
    #[must_use]
    pub fn file(&self) -> PemFile {
        match self {
            CertificateError::Unreadable { file, .. } | CertificateError::NotPem { file, .. } => *file,
            CertificateError::NoCertificate { .. } | CertificateError::Unusable { .. } => {
                PemFile::Certificate
            }
            CertificateError::NoKey { .. }
            | CertificateError::Passphrase { .. }
            | CertificateError::OtherKey { .. } => PemFile::Key,
        }
    }
}

/// The cryptography that is used, on both sides of a connection.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

impl Certificate {
    /// Reads the certificate and the key of a server.
    ///
    /// # Errors
    /// [`CertificateError`] says what is wrong with which file.
    ///
    /// # Panics
    /// Never: the cryptography that is used has all that TLS needs.
    pub fn read(cert: &Path, key: &Path) -> Result<Self, CertificateError> {
        let chain = read_chain(cert)?;
        let expires = chain.first().and_then(|first| expiry::expiry(first));
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("the provider has all that TLS 1.2 and 1.3 need")
            .with_no_client_auth()
            .with_single_cert(chain, read_key(key)?)
            .map_err(|error| match error {
                rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                    CertificateError::OtherKey { path: text(key) }
                }
                other => CertificateError::Unusable { path: text(cert), reason: other.to_string() },
            })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Certificate { config: Arc::new(config), expires })
    }

    /// How long after 1970 began it ends to be valid, if it says so.
    #[must_use]
    pub fn expires(&self) -> Option<Duration> {
        self.expires
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("expires", &self.expires).finish_non_exhaustive()
    }
}

impl Certificates {
    /// This one is shown until it is replaced.
    #[must_use]
    pub fn new(certificate: Certificate) -> Arc<Self> {
        Arc::new(Certificates(RwLock::new(certificate)))
    }

    /// Shows another to those who connect from now on. Sessions that begun with the one of before are not resumed.
    pub fn replace(&self, certificate: Certificate) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = certificate;
    }

    /// When the certificate that is shown ends to be valid: see [`Certificate::expires`].
    #[must_use]
    pub fn expires(&self) -> Option<Duration> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).expires
    }

    /// The server's side of a connection that begins.
    pub(crate) fn accept(&self, tcp: TcpStream) -> Result<Arc<TlsStream>, rustls::Error> {
        let config = self.0.read().unwrap_or_else(PoisonError::into_inner).config.clone();
        Ok(TlsStream::new(tcp, ServerConnection::new(config)?))
    }
}

/// Reads a file's certificates: at least one.
pub(crate) fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let pem = read(PemFile::Certificate, path)?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| not_pem(PemFile::Certificate, path, &error))?;
    if chain.is_empty() { Err(CertificateError::NoCertificate { path: text(path) }) } else { Ok(chain) }
}

/// Reads the certificates of authorities: at least one.
pub(crate) fn read_authorities(path: &Path) -> Result<Vec<TrustAnchor<'static>>, CertificateError> {
    let mut store = RootCertStore::empty();
    for certificate in read_chain(path)? {
        store
            .add(certificate)
            .map_err(|error| CertificateError::Unusable { path: text(path), reason: error.to_string() })?;
    }
    Ok(store.roots)
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, CertificateError> {
    let pem = read(PemFile::Key, path)?;
    PrivateKeyDer::from_pem_slice(&pem).map_err(|error| match error {
        _ if has_passphrase(&pem) => CertificateError::Passphrase { path: text(path) },
        pem::Error::NoItemsFound => CertificateError::NoKey { path: text(path) },
        // What is wrong could tell of the key.
        _ => CertificateError::NotPem {
            file: PemFile::Key,
            path: text(path),
            reason: "a part is damaged".into(),
        },
    })
}

fn has_passphrase(pem: &[u8]) -> bool {
    let text = String::from_utf8_lossy(pem);
    // The second is how OpenSSL writes the formats that are older than PKCS #8.
    ["-----BEGIN ENCRYPTED PRIVATE KEY-----", "Proc-Type: 4,ENCRYPTED"].iter().any(|mark| text.contains(mark))
}

fn read(file: PemFile, path: &Path) -> Result<Vec<u8>, CertificateError> {
    let unreadable = |reason| CertificateError::Unreadable { file, path: text(path), reason };
    // What is no file, as a pipe, may have to be waited for without end.
    match fs::metadata(path) {
        Ok(found) if !found.is_file() => Err(unreadable("it is no file".to_owned())),
        Ok(_) => fs::read(path).map_err(|error| unreadable(error.to_string())),
        Err(error) => Err(unreadable(error.to_string())),
    }
}

fn not_pem(file: PemFile, path: &Path, error: &pem::Error) -> CertificateError {
    CertificateError::NotPem { file, path: text(path), reason: error.to_string() }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests;
