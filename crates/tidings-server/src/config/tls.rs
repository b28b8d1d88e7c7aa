//! Where TLS is spoken, and with which certificate.

use std::path::{Path, PathBuf};

use super::{ConfigErrors, Finding, MistakeKind, Place};
use crate::tls::{Certificate, PemFile};

/// Where TLS is spoken, and with which certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsConfig {
    /// The port beside the plain one, 0 for any that is free; without it the server's own port speaks TLS alone.
    pub port: Option<u16>,
    pub(super) cert: Told,
    pub(super) key: Told,
}

/// A path, and where it was told: another place makes no other.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) path: PathBuf,
    pub(super) place: Place,
}

impl PartialEq for Told {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

impl Eq for Told {}

impl Told {
    /// What is wrong with the file, at the place that names it.
    pub(super) fn mistake(&self, kind: MistakeKind) -> ConfigErrors {
        ConfigErrors { mistakes: vec![Finding { place: self.place.clone(), kind }], warnings: Vec::new() }
    }
}

impl TlsConfig {
    /// The file of the certificate.
    #[must_use]
    pub fn cert(&self) -> &Path {
        &self.cert.path
    }

    /// The file of its key.
    #[must_use]
    pub fn key(&self) -> &Path {
        &self.key.path
    }

    /// Reads the certificate and its key.
    ///
    /// # Errors
    /// [`ConfigErrors`] with what is wrong with them, at the place that names the file.
    pub fn read(&self) -> Result<Certificate, ConfigErrors> {
        Certificate::read(self.cert(), self.key()).map_err(|error| {
            let told = match error.file() {
                PemFile::Certificate => &self.cert,
                PemFile::Key => &self.key,
            };
            told.mistake(MistakeKind::Certificate(error))
        })
    }
}
