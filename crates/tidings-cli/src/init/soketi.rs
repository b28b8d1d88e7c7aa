//! The JSON file of soketi.

use std::{fmt::Display, path::PathBuf, time::Duration};

use serde_json::{Map, Value};
use tidings_protocol::{limit::Limit, webhook::Batching};
use tidings_store::AppSettings;

use super::{Draft, DraftApp};
use tidings_server::config::{
    MistakeKind, NO_ADAPTER, NO_PASSPHRASE, NO_PREFIX, SoketiWebhooks, nearest, parse_boolean, parse_host,
    parse_id, parse_key, parse_limit, parse_port, parse_secret, read_webhooks,
};

const APPS: &str = "appManager.array.apps";
/// The keys of the file that say something here, or need not be said here.
const KNOWN: [&str; 10] = [
    "appManager",
    "debug",
    "eventLimits",
    "host",
    "metrics",
    "port",
    "presence",
    "shutdownGracePeriod",
    "ssl",
    "webhooks",
];
/// What is among them and is not taken.
const NOT_TAKEN: [(&str, &str); 3] = [
    ("debug", "TIDINGS_LOG=debug has more logged"),
    ("metrics.prometheus.prefix", "soketi's names are told with its own prefix"),
    ("webhooks.batching.duration", "nothing waits for a batch to fill"),
];
/// soketi's other keys, and why they are not taken.
const OTHERS: [(&str, &str); 14] = [
    ("adapter", NO_ADAPTER),
    ("cache", NO_MEANING),
    ("channelLimits", NO_MEANING),
    ("cluster", NO_ADAPTER),
    ("cors", NO_MEANING),
    ("database", "apps and webhooks are kept in the data directory, and in no other database"),
    ("databasePooling", NO_MEANING),
    ("httpApi", NO_MEANING),
    ("instance", NO_MEANING),
    ("mode", NO_MEANING),
    ("pathPrefix", NO_PREFIX),
    ("queue", "webhooks wait in the data directory, and in no other queue"),
    ("rateLimiter", NO_MEANING),
    ("userAuthenticationTimeout", NO_MEANING),
];
const NO_MEANING: &str = "it has no meaning here";
/// soketi's own defaults, in its units of 1024 bytes.
const EVENT_KILOBYTES: u32 = 100;
const MEMBER_KILOBYTES: u32 = 2;

/// Makes a draft of it. Where soketi's default is more generous, or more careful, it is kept: nothing is to break.
///
/// # Errors
/// Every mistake, as a line.
pub(super) fn read(text: &str) -> Result<Draft, Vec<String>> {
    let file: Map<String, Value> =
        serde_json::from_str(text).map_err(|error| vec![format!("it is no JSON: {error}")])?;
    let mut reader = Reader { mistakes: Vec::new(), notes: Vec::new() };
    let draft = reader.draft(&file);
    if reader.mistakes.is_empty() { Ok(draft) } else { Err(reader.mistakes) }
}

struct Reader {
    mistakes: Vec<String>,
    notes: Vec<String>,
}

impl Reader {
    fn draft(&mut self, file: &Map<String, Value>) -> Draft {
        let mut draft = Draft::default();
        draft.server.host = self.value(file, "", "host", parse_host);
        draft.server.port = self.value(file, "", "port", parse_port);
        draft.server.drain_window = self.value(file, "", "shutdownGracePeriod", milliseconds);
        draft.server.metrics_port = self.value(file, "", "metrics.port", parse_port);
        // Who has had them told has boards for them.
        draft.server.soketi_names =
            self.value(file, "", "metrics.enabled", parse_boolean).filter(|told| *told);
        draft.tls = self.tls(file);
        let settings = self.common_settings(file);
        let batching = match self.value(file, "", "webhooks.batching.enabled", parse_boolean) {
            Some(true) => Batching::Several,
            Some(false) | None => Batching::Single,
        };
        match at(file, APPS).and_then(Value::as_array) {
            Some(apps) if !apps.is_empty() => {
                let apps = apps.iter().enumerate();
                draft.apps =
                    apps.filter_map(|(index, app)| self.app(index, app, &settings, batching)).collect();
            }
            _ => self.mistakes.push(format!("it has no apps in {APPS}; apps of a database are not taken")),
        }
        let not_taken = NOT_TAKEN.iter().filter(|(key, _)| at(file, key).is_some());
        self.notes.extend(not_taken.map(|(key, why)| format!("{key}: {why}")));
        // An empty text is soketi's default.
        let said = file.iter().filter(|(_, value)| **value != "").map(|(key, _)| key);
        self.notes.extend(said.filter_map(|key| Some(format!("{key}: {}", not_taken_because(key)?))));
        draft.notes = std::mem::take(&mut self.notes);
        draft
    }

    fn tls(&mut self, file: &Map<String, Value>) -> Option<(PathBuf, PathBuf)> {
        let mut path = |key| {
            let path = |text: &str| Ok(PathBuf::from(text));
            self.value(file, "", key, path).filter(|path| !path.as_os_str().is_empty())
        };
        let [cert, key, passphrase, ca] =
            ["ssl.certPath", "ssl.keyPath", "ssl.passphrase", "ssl.caPath"].map(&mut path);
        if passphrase.is_some() {
            self.notes.push(format!("ssl.passphrase: {NO_PASSPHRASE}"));
        }
        if ca.is_some() {
            self.notes.push("ssl.caPath: certificates of clients are not asked for".to_owned());
        }
        match (cert, key) {
            (Some(cert), Some(key)) => return Some((cert, key)),
            (None, None) => {}
            (Some(_), None) => self.wrong("", "ssl.keyPath", "it is missing"),
            (None, Some(_)) => self.wrong("", "ssl.certPath", "it is missing"),
        }
        None
    }

    /// What soketi says once for all apps.
    fn common_settings(&mut self, file: &Map<String, Value>) -> AppSettings {
        let mut settings = AppSettings::default();
        settings.features.client_events = false;
        let limits = &mut settings.limits;
        limits.client_events_per_second = Limit::NONE;
        let kilobytes = |text: &str| parse_limit(text, 1024);
        let count = |text: &str| parse_limit(text, 1);
        limits.event_bytes = self
            .value(file, "", "eventLimits.maxPayloadInKb", kilobytes)
            .unwrap_or(Limit::new(EVENT_KILOBYTES * 1024));
        limits.presence_member_bytes = self
            .value(file, "", "presence.maxMemberSizeInKb", kilobytes)
            .unwrap_or(Limit::new(MEMBER_KILOBYTES * 1024));
        for (limit, key) in [
            (&mut limits.channels_per_event, "eventLimits.maxChannelsAtOnce"),
            (&mut limits.events_per_batch, "eventLimits.maxBatchSize"),
            (&mut limits.presence_members, "presence.maxMembersPerChannel"),
        ] {
            *limit = self.value(file, "", key, count).unwrap_or(*limit);
        }
        settings
    }

    fn app(
        &mut self,
        index: usize,
        app: &Value,
        settings: &AppSettings,
        batching: Batching,
    ) -> Option<DraftApp> {
        let place = format!("{APPS}[{index}].");
        let Some(app) = app.as_object() else {
            self.mistakes.push(format!("{APPS}[{index}]: it is no app"));
            return None;
        };
        let id = self.needed(app, &place, "id", parse_id);
        let key = self.needed(app, &place, "key", parse_key);
        let secret = self.needed(app, &place, "secret", parse_secret);
        let mut settings = settings.clone();
        let limits = &mut settings.limits;
        for (limit, key) in [
            (&mut limits.connections, "maxConnections"),
            (&mut limits.backend_events_per_second, "maxBackendEventsPerSecond"),
            (&mut limits.client_events_per_second, "maxClientEventsPerSecond"),
            (&mut limits.reads_per_second, "maxReadRequestsPerSecond"),
        ] {
            *limit = self.value(app, &place, key, |text| parse_limit(text, 1)).unwrap_or(*limit);
        }
        let features = &mut settings.features;
        for (switch, key) in [
            (&mut settings.enabled, "enabled"),
            (&mut features.client_events, "enableClientMessages"),
            (&mut features.authorized_connections, "enableUserAuthentication"),
        ] {
            *switch = self.value(app, &place, key, parse_boolean).unwrap_or(*switch);
        }
        let webhooks = match app.get("webhooks").filter(|list| !list.is_null()) {
            Some(list) => {
                read_webhooks(list, batching).map_err(|kind| self.wrong(&place, "webhooks", kind)).ok()?
            }
            None => SoketiWebhooks::default(),
        };
        let (id, key, secret) = (id?, key?, secret?);
        let SoketiWebhooks { webhooks, left_out } = webhooks;
        self.notes.extend(left_out.into_iter().map(|part| format!("app {id}: {part}")));
        Some(DraftApp { id, key, secret, settings, webhooks })
    }

    fn needed<T>(
        &mut self,
        object: &Map<String, Value>,
        place: &str,
        key: &str,
        read: impl FnOnce(&str) -> Result<T, MistakeKind>,
    ) -> Option<T> {
        if at(object, key).is_none() {
            self.wrong(place, key, "it is missing");
        }
        self.value(object, place, key, read)
    }

    /// What is written under a key. soketi takes numbers and switches as texts, too.
    fn value<T>(
        &mut self,
        object: &Map<String, Value>,
        place: &str,
        key: &str,
        read: impl FnOnce(&str) -> Result<T, MistakeKind>,
    ) -> Option<T> {
        let text = match at(object, key)? {
            Value::String(text) => text.clone(),
            Value::Null => return None,
            other => other.to_string(),
        };
        read(&text).map_err(|kind| self.wrong(place, key, kind)).ok()
    }

    fn wrong(&mut self, place: &str, key: &str, what: impl Display) {
        self.mistakes.push(format!("{place}{key}: {what}"));
    }
}

/// Why nothing is made of a key of the file, if so.
fn not_taken_because(key: &str) -> Option<String> {
    let first = key.split('.').next().unwrap_or("");
    if KNOWN.contains(&first) {
        return None;
    }
    let why = OTHERS.iter().find(|(other, _)| *other == first).map(|(_, why)| (*why).to_owned());
    Some(why.unwrap_or_else(|| MistakeKind::UnknownKey { nearest: nearest(first, &KNOWN) }.to_string()))
}

/// What is under a path of keys, of which soketi takes any part as one key with dots.
fn at<'v>(object: &'v Map<String, Value>, path: &str) -> Option<&'v Value> {
    let below = || {
        path.match_indices('.')
            .find_map(|(dot, _)| at(object.get(&path[..dot])?.as_object()?, &path[dot + 1..]))
    };
    object.get(path).or_else(below)
}

fn milliseconds(text: &str) -> Result<Duration, MistakeKind> {
    let wrong =
        || MistakeKind::Value { expected: "milliseconds, of an hour at most", found: format!("{text:?}") };
    let seconds = text.parse::<u64>().map_err(|_| wrong())?.div_ceil(1000);
    if seconds <= 3600 { Ok(Duration::from_secs(seconds)) } else { Err(wrong()) }
}
