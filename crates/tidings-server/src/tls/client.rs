//! The client's side: whom it believes.

use std::{future::poll_fn, io, path::Path, sync::Arc};

use rustls::{
    CertificateError as Distrust, ClientConfig, ClientConnection, ConfigBuilder, DigitallySignedStruct,
    Error, InvalidMessage, OtherError, RootCertStore, SignatureScheme, WantsVerifier,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime},
};

use tokio::net::TcpStream;

use super::{CertificateError, TlsStream, provider, read_chain};
use crate::Stream;

/// What connects to others, and believes public authorities and these.
///
/// # Panics
/// Never: the cryptography that is used has all that TLS needs.
#[must_use]
pub fn believing(authorities: &[TrustAnchor<'static>]) -> ClientConfig {
    let believed = webpki_roots::TLS_SERVER_ROOTS.iter().chain(authorities).cloned();
    builder().with_root_certificates(believed.collect::<RootCertStore>()).with_no_client_auth()
}

fn builder() -> ConfigBuilder<ClientConfig, WantsVerifier> {
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("the provider has all that TLS 1.2 and 1.3 need")
}

/// Agrees on TLS with a server of this name or address, whose certificate is to come from a public authority, or, with a
/// file, from one of those in it, or be in it itself.
///
/// # Errors
/// [`ConnectError`] if the file is none, or the two do not come to agree.
pub async fn connect(tcp: TcpStream, host: &str, known: Option<&Path>) -> Result<Stream, ConnectError> {
    let stream = TlsStream::new(tcp, session(host, known)?);
    poll_fn(|cx| stream.poll_handshake(cx)).await.map_err(ConnectError::of_handshake)?;
    Ok(Stream::Tls(stream))
}

fn session(host: &str, known: Option<&Path>) -> Result<ClientConnection, ConnectError> {
    let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())
        .map_err(|_| ConnectError::Tls(Error::General("no name of a server".to_owned())))?;
    let config = match known {
        None => believing(&[]),
        Some(file) => {
            let verifier = Known::read(file)?;
            builder().dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()
        }
    };
    let mut session = ClientConnection::new(Arc::new(config), name).map_err(ConnectError::Tls)?;
    // A whole body may wait for the handshake.
    session.set_buffer_limit(None);
    Ok(session)
}

/// Why a server was not connected to.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The file with the certificates to believe.
    #[error(transparent)]
    Known(#[from] CertificateError),
    /// What it answered is no TLS.
    #[error("it does not speak TLS")]
    Plain,
    /// It shows a certificate that is its own authority, and not among those that are believed.
    #[error("its certificate is its own authority, and not a known one")]
    OwnAuthority,
    /// The handshake.
    #[error(transparent)]
    Handshake(io::Error),
    /// The name, or what is to be believed.
    #[error(transparent)]
    Tls(Error),
}

impl ConnectError {
    fn of_handshake(error: io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
            Some(Error::InvalidMessage(InvalidMessage::InvalidContentType)) => ConnectError::Plain,
            // The error inside is of a crate that is no dependency of ours.
            Some(Error::InvalidCertificate(Distrust::Other(OtherError(inner))))
                if inner.to_string() == "CaUsedAsEndEntity" =>
            {
                ConnectError::OwnAuthority
            }
            _ => ConnectError::Handshake(error),
        }
    }
}

/// Believes the certificates of a file, and whom they vouch for. A server that shows one of them itself may have any name:
/// its owner reaches it by its address.
#[derive(Debug)]
struct Known {
    certificates: Vec<CertificateDer<'static>>,
    vouched_for: Arc<WebPkiServerVerifier>,
}

impl Known {
    fn read(file: &Path) -> Result<Arc<Self>, ConnectError> {
        let certificates = read_chain(file)?;
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates.iter().cloned());
        let vouched_for = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
            .build()
            .map_err(|error| ConnectError::Tls(Error::General(error.to_string())))?;
        Ok(Arc::new(Known { certificates, vouched_for }))
    }
}

impl ServerCertVerifier for Known {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.certificates.iter().any(|known| known == end_entity) {
            return Ok(ServerCertVerified::assertion());
        }
        self.vouched_for.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.vouched_for.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.vouched_for.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.vouched_for.supported_verify_schemes()
    }
}
