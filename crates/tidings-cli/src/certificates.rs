//! The certificate of a running server, read again when its files change.

use std::{sync::Arc, time::Duration};

use super::watch::Stamp;
use tidings_server::{
    Clock,
    config::{ConfigErrors, TlsConfig},
    tls::{Certificate, Certificates},
};

/// So long before a certificate ends it is warned of.
const ENDS_SOON: Duration = Duration::from_hours(24 * 14);

/// Looks after the files of a certificate.
pub(super) struct CertificateWatch {
    config: TlsConfig,
    certificates: Arc<Certificates>,
    seen: [Option<Stamp>; 2],
    /// They were others the time before: somebody may be writing them.
    is_fresh: bool,
}

impl CertificateWatch {
    /// Takes what `config` names.
    pub(super) fn start(config: TlsConfig) -> Result<Self, ConfigErrors> {
        let seen = stamps(&config);
        let certificate = config.read()?;
        tell("certificate in use", &certificate);
        let certificates = Certificates::new(certificate);
        Ok(CertificateWatch { config, certificates, seen, is_fresh: false })
    }

    pub(super) fn certificates(&self) -> &Arc<Certificates> {
        &self.certificates
    }

    /// The port beside the plain one, if there is to be one.
    pub(super) fn port(&self) -> Option<u16> {
        self.config.port
    }

    /// Reads the files again if they have changed, and have been left alone since the last look.
    pub(super) fn look(&mut self) {
        let stamps = stamps(&self.config);
        let changed = stamps != self.seen;
        self.seen = stamps;
        if std::mem::replace(&mut self.is_fresh, changed) && !changed {
            self.reload();
        }
    }

    /// Reads the files again. With a mistake in them nothing changes.
    pub(super) fn reload(&mut self) {
        self.seen = stamps(&self.config);
        self.is_fresh = false;
        match self.config.read() {
            Ok(certificate) => {
                tell("certificate taken anew, for those who connect from now on", &certificate);
                self.certificates.replace(certificate);
            }
            Err(errors) => {
                for mistake in errors.mistakes {
                    tracing::error!(place = %mistake.place, "{}", mistake.kind);
                }
                tracing::error!(
                    "the certificate was not taken, that of before is shown; it is read again when a file changes"
                );
            }
        }
    }
}

fn stamps(config: &TlsConfig) -> [Option<Stamp>; 2] {
    [config.cert(), config.key()].map(Stamp::of)
}

/// Says until when it is valid.
fn tell(what: &str, certificate: &Certificate) {
    let Some(expires) = certificate.expires() else { return tracing::info!("{what}") };
    let left = expires.saturating_sub(Clock::system().unix());
    let days = left.as_secs() / (24 * 60 * 60);
    if left.is_zero() {
        tracing::warn!("{what}; clients refuse it: it is not valid any more");
    } else if left < ENDS_SOON {
        tracing::warn!(days, "{what}; it is not valid for much longer");
    } else {
        tracing::info!(days, "{what}");
    }
}
