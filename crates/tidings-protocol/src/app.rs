//! An app: the credentials and rules under which clients and backends meet.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::{limit::Limit, origin::AllowedOrigins, webhook::Webhooks};

/// An app as the server knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct App {
    /// Its id, which the HTTP API's paths name. Digits: the Python library insists.
    pub id: String,
    /// Its public key, which clients connect with and signatures name.
    pub key: String,
    /// Its secret, which signs.
    pub secret: AppSecret,
    /// Whether it may be used at all.
    pub enabled: bool,
    /// What its clients may do.
    pub features: Features,
    /// The pages that may connect.
    pub allowed_origins: AllowedOrigins,
    /// How much of everything.
    pub limits: Limits,
    /// Where its backend is told of what happens in its channels.
    pub webhooks: Webhooks,
}

/// What an app switches on and off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "five independent switches, named as in the configuration")]
pub struct Features {
    /// Clients may send `client-` events.
    pub client_events: bool,
    /// Clients may sign in.
    pub user_authentication: bool,
    /// Signed-in users are told who of their watchlist comes and goes.
    pub watchlist_events: bool,
    /// Subscribers are told how many they are.
    pub subscription_count: bool,
    /// A connection that has neither signed in nor joined a private or presence channel is closed after a while.
    pub authorized_connections: bool,
}

impl Default for Features {
    fn default() -> Self {
        Features {
            client_events: true,
            user_authentication: true,
            watchlist_events: false,
            subscription_count: false,
            authorized_connections: false,
        }
    }
}

/// How much an app may have of everything. The defaults are Pusher's; what depends on the plan there has no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time.
    pub connections: Limit,
    /// Events published over HTTP per second, each channel and each item of a batch counted.
    pub backend_events_per_second: Limit,
    /// Client events per second and connection.
    pub client_events_per_second: Limit,
    /// GET requests per second.
    pub reads_per_second: Limit,
    /// Bytes of one event's data.
    pub event_bytes: Limit,
    /// Channels of one trigger.
    pub channels_per_event: Limit,
    /// Events of one batch.
    pub events_per_batch: Limit,
    /// Members of a presence channel.
    pub presence_members: Limit,
    /// Bytes of a member's `user_info`.
    pub presence_member_bytes: Limit,
    /// Channels that one connection subscribes to at a time.
    pub channels_per_connection: Limit,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections: Limit::NONE,
            backend_events_per_second: Limit::NONE,
            client_events_per_second: Limit::new(10),
            reads_per_second: Limit::NONE,
            event_bytes: Limit::new(10 * 1024),
            channels_per_event: Limit::new(100),
            events_per_batch: Limit::new(10),
            presence_members: Limit::new(100),
            presence_member_bytes: Limit::new(1024),
            channels_per_connection: Limit::NONE,
        }
    }
}

/// An app's secret. It never prints itself.
///
/// While it is being rotated it knows the one that it replaces, with which may still be signed.
#[derive(Clone)]
pub struct AppSecret {
    text: String,
    /// The keyed hash, made once: half of the work of a short signature is in the key.
    keyed: Hmac<Sha256>,
    previous: Option<Box<AppSecret>>,
}

impl AppSecret {
    /// The secret of this text; its bytes are the key as they stand.
    ///
    /// # Panics
    /// Never: HMAC takes keys of any length.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        let keyed = Hmac::new_from_slice(text.as_bytes()).expect("HMAC takes keys of any length");
        AppSecret { text, keyed, previous: None }
    }

    /// This secret, while signatures with `previous` are good as well.
    #[must_use]
    pub fn replacing(self, previous: AppSecret) -> Self {
        AppSecret { previous: Some(Box::new(previous.alone())), ..self }
    }

    /// This secret, when it has replaced the one before.
    #[must_use]
    pub fn alone(self) -> Self {
        AppSecret { previous: None, ..self }
    }

    /// The one that it replaces.
    #[must_use]
    pub fn previous(&self) -> Option<&AppSecret> {
        self.previous.as_deref()
    }

    /// The secret itself: for the one who owns it, and for nobody's log.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// The signature of the parts one after the other: 64 lower-case hex digits.
    #[must_use]
    pub fn sign(&self, parts: &[&[u8]]) -> String {
        data_encoding::HEXLOWER.encode(&self.mac(parts).finalize().into_bytes())
    }

    /// Whether `signature` is what [`sign`](Self::sign) gives, of this secret or the one that it replaces, compared in
    /// constant time.
    #[must_use]
    pub fn verifies(&self, parts: &[&[u8]], signature: &str) -> bool {
        let mut digest = [0; 32];
        let well_formed = signature.len() == 64
            && data_encoding::HEXLOWER.decode_mut(signature.as_bytes(), &mut digest).is_ok();
        let verifies = |secret: &AppSecret| secret.mac(parts).verify_slice(&digest).is_ok();
        well_formed && (verifies(self) || self.previous().is_some_and(verifies))
    }

    fn mac(&self, parts: &[&[u8]]) -> Hmac<Sha256> {
        let mut mac = self.keyed.clone();
        for part in parts {
            mac.update(part);
        }
        mac
    }
}

impl PartialEq for AppSecret {
    /// For tests and for noticing a changed configuration; signatures are compared by [`AppSecret::verifies`].
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.previous == other.previous
    }
}

impl fmt::Debug for AppSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("...")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_secret_signs_while_one_replaces_the_other() {
        let [first, second, third] = ["first", "second", "third"].map(AppSecret::new);
        let by = |secret: &AppSecret| secret.sign(&[b"text"]);
        let takes = |secret: &AppSecret| {
            [&first, &second, &third].map(|signer| secret.verifies(&[b"text"], &by(signer)))
        };
        assert_eq!(takes(&second), [false, true, false]);
        let rotating = second.clone().replacing(first.clone());
        assert_eq!(takes(&rotating), [true, true, false]);
        assert_eq!(by(&rotating), by(&second));
        assert_eq!(takes(&third.clone().replacing(rotating.clone())), [false, true, true]);
        assert_eq!(rotating.alone(), second);
    }
}
