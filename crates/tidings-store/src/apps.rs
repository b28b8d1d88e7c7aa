//! Apps as they are kept.

use std::time::Duration;

use tidings_protocol::{App, app::AppSecret};

use crate::AppSettings;

/// An app as the store keeps it.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredApp {
    /// Its id, one of a kind.
    pub id: String,
    /// Its key, one of a kind.
    pub key: String,
    /// Its secret, and that which it replaces, in clear: signatures are made with it.
    pub secret: AppSecret,
    /// Everything else.
    pub settings: AppSettings,
    /// When it was made, since 1970; kept to the millisecond.
    pub created_at: Duration,
}

impl StoredApp {
    /// The app as the server uses it.
    #[must_use]
    pub fn to_app(&self) -> App {
        self.settings.to_app(self.id.clone(), self.key.clone(), self.secret.clone())
    }
}
