//! The apps of the vectors as the server takes them.

use tidings_protocol::{
    App,
    app::{AppSecret, Features, Limits},
    auth::request::body_md5,
    limit::Limit,
    origin::AllowedOrigins,
    webhook::Webhooks,
};

use super::format::{AppSettings, Credentials, Hashes};

/// The app of these credentials and settings.
pub(crate) fn app(credentials: &Credentials, settings: &AppSettings) -> App {
    let defaults = Features::default();
    let features = Features {
        client_events: settings.client_events.unwrap_or(defaults.client_events),
        user_authentication: settings.user_authentication.unwrap_or(defaults.user_authentication),
        watchlist_events: settings.watchlist_events.unwrap_or(defaults.watchlist_events),
        subscription_count: settings.subscription_count.unwrap_or(defaults.subscription_count),
        authorized_connections: settings.authorized_connections.unwrap_or(defaults.authorized_connections),
    };
    let origins = settings.allowed_origins.iter().flatten().map(String::as_str);
    let allowed_origins = AllowedOrigins::parse(origins).expect("allowed_origins of a vector are patterns");
    App {
        id: credentials.id.clone(),
        key: credentials.key.clone(),
        secret: AppSecret::new(credentials.secret.as_str()),
        enabled: settings.enabled.unwrap_or(true),
        features,
        allowed_origins,
        limits: limits(settings),
        webhooks: Webhooks::default(),
    }
}

/// The app of the control client, which no vector knows.
pub(crate) fn control() -> App {
    let name = "control".to_owned();
    let credentials = Credentials { id: name.clone(), key: name.clone(), secret: name };
    app(&credentials, &AppSettings::default())
}

fn limits(settings: &AppSettings) -> Limits {
    let mut limits = Limits::default();
    for (name, max) in &settings.limits {
        let limit = match name.as_str() {
            "connections" => &mut limits.connections,
            "backend_events_per_second" => &mut limits.backend_events_per_second,
            "client_events_per_second" => &mut limits.client_events_per_second,
            "reads_per_second" => &mut limits.reads_per_second,
            "event_bytes" => &mut limits.event_bytes,
            "channels_per_event" => &mut limits.channels_per_event,
            "events_per_batch" => &mut limits.events_per_batch,
            "presence_members" => &mut limits.presence_members,
            "presence_member_bytes" => &mut limits.presence_member_bytes,
            "channels_per_connection" => &mut limits.channels_per_connection,
            other => panic!("{other} is no limit"),
        };
        *limit = Limit::new(*max);
    }
    limits
}

/// The hashes that fill in signatures.
pub(crate) struct CratesHashes;

impl Hashes for CratesHashes {
    fn hmac(&self, secret: &str, text: &str) -> String {
        AppSecret::new(secret).sign(&[text.as_bytes()])
    }

    fn md5(&self, text: &str) -> String {
        body_md5(text.as_bytes())
    }
}
