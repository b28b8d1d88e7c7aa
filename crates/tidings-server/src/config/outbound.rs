//! How webhooks are sent, and whose certificates are believed of whom the server asks and tells.

use rustls::pki_types::TrustAnchor;
use tidings_courier::Settings;

use super::{ConfigErrors, MistakeKind, tls::Told};
use crate::tls;

/// What leaves the house.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutboundConfig {
    /// How webhooks are sent.
    pub settings: Settings,
    pub(super) ca: Option<Told>,
}

impl OutboundConfig {
    /// The authorities that are believed besides public ones: of webhooks' receivers and login checks.
    ///
    /// # Errors
    /// [`ConfigErrors`] with what is wrong with their file, at the place that names it.
    pub fn authorities(&self) -> Result<Vec<TrustAnchor<'static>>, ConfigErrors> {
        let Some(ca) = &self.ca else { return Ok(Vec::new()) };
        tls::read_authorities(&ca.path).map_err(|error| ca.mistake(MistakeKind::Certificate(error)))
    }
}
