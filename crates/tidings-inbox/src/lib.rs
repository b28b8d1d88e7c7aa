//! Notifications over REST: the doors that let them in, the outlets that show them.
//!
//! [`Inbox::answer`] is the way in for every request; `http` finds its door. One file for each wire format: `fusion` is
//! the CRM's front end, `onsite` its senders, `own` pages and `admin` operators in our own words. [`announce`] tells open
//! pages what has been committed.

mod admin;
pub mod announce;
mod brands;
mod content;
mod fusion;
mod http;
mod onsite;
mod own;
mod params;
mod problem;
mod sid;
mod template;
mod wire;

use std::{sync::Arc, time::Duration};

use rustls::ClientConfig;
use tidings_store::{SharedStore, StoreError, time::Timestamp};

pub use admin::webhook_json;
pub use announce::Announce;
pub use brands::{Brands, DEFAULT_REGION, Reading, hash, merge, new_key};
pub use content::{ContentError, Fields};
pub use http::{AuthFailure, BodyError, is_path};
pub use sid::is_web_address;
pub use template::Template;

/// So many notifications of one call are stored in one commit, so that others come in between.
const COMMIT_MAX: usize = 200;

/// The inbox: holds the parts.
pub struct Inbox {
    store: SharedStore,
    brands: Arc<Brands>,
    server: Arc<dyn Announce>,
    sids: sid::Checker,
    outside: Outside,
}

/// Where the inbox has time and chance from.
#[derive(Clone)]
pub struct Outside {
    /// The time.
    pub now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// Bytes that nobody can guess.
    pub random: fn() -> [u8; 32],
}

/// The way by which a request came to the server: an extension of the request. Without it, it is a plain one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entrance {
    /// In the open; TLS is spoken at another port, if at all.
    Plain {
        /// That port.
        tls_port: Option<u16>,
    },
    /// Under TLS; the other port is in the open, if there is one.
    Tls {
        /// That port.
        plain_port: Option<u16>,
    },
}

impl Inbox {
    /// An inbox over this store, for these brands. What `tls` believes of operators is believed.
    #[must_use]
    pub fn new(
        store: SharedStore,
        brands: Arc<Brands>,
        server: Arc<dyn Announce>,
        tls: ClientConfig,
        outside: Outside,
    ) -> Self {
        Inbox { store, brands, server, sids: sid::Checker::new(tls), outside }
    }

    /// Does what is due: buries what has expired, sends the next chunk of a broadcast. True if there is more.
    ///
    /// # Errors
    /// If it could not be stored; what was due stays so.
    pub async fn tick(&self) -> Result<bool, StoreError> {
        let now = self.now();
        // One that fails does not keep the other back.
        let swept = self.store.sweep(now).await;
        let sent = self.store.advance_broadcast(now, template::teller()).await;
        Ok(swept? || sent?)
    }

    /// Takes over the brands and keys that the store holds now, beside those that are configured.
    ///
    /// # Errors
    /// If the store cannot be read; what was in operation stays so.
    pub async fn reload(&self) -> Result<(), StoreError> {
        let reading = self.brands.begin_reading();
        self.brands.take(reading, self.store.brands_and_keys().await?);
        Ok(())
    }

    /// Returns when open pages have been told all that is committed, so that the next process tells none of it again.
    pub async fn settle(&self) {
        const LOOK: Duration = Duration::from_millis(10);
        loop {
            match self.store.is_all_told().await {
                Ok(true) => return,
                Ok(false) => tokio::time::sleep(LOOK).await,
                Err(error) => {
                    tracing::error!(%error, "it is not known whether all pages have been told");
                    return;
                }
            }
        }
    }

    fn now(&self) -> Timestamp {
        (self.outside.now)()
    }
}

impl std::fmt::Debug for Inbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inbox").finish_non_exhaustive()
    }
}
