//! How webhooks are sent, and whose certificates are believed then.

use tidings_courier::Settings;

use super::{ConfigErrors, MistakeKind, tls::Told};
use crate::tls;

/// How webhooks are sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutboundConfig {
    /// All but the authorities, which stand in a file.
    pub(super) settings: Settings,
    pub(super) ca: Option<Told>,
}

impl OutboundConfig {
    /// What it says, with the authorities of the file that it names.
    ///
    /// # Errors
    /// [`ConfigErrors`] with what is wrong with that file, at the place that names it.
    pub fn read(&self) -> Result<Settings, ConfigErrors> {
        let mut settings = self.settings.clone();
        if let Some(ca) = &self.ca {
            let read = tls::read_authorities(&ca.path);
            settings.authorities = read.map_err(|error| ca.mistake(MistakeKind::Certificate(error)))?;
        }
        Ok(settings)
    }
}
