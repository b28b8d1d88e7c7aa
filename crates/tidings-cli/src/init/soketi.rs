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
/// The keys of the file that say something here.
const TAKEN: [&str; 16] = [
    APPS,
    "eventLimits.maxBatchSize",
    "eventLimits.maxChannelsAtOnce",
    "eventLimits.maxPayloadInKb",
    "host",
    "metrics.enabled",
    "metrics.port",
    "port",
    "presence.maxMemberSizeInKb",
    "presence.maxMembersPerChannel",
    "shutdownGracePeriod",
    "ssl.caPath",
    "ssl.certPath",
    "ssl.keyPath",
    "ssl.passphrase",
    "webhooks.batching.enabled",
];
/// soketi's other keys, with all that is below them, and why they are not taken.
const NOT_TAKEN: [(&str, &str); 26] = [
    ("adapter", NO_ADAPTER),
    ("appManager.cache", NO_MEANING),
    ("appManager.driver", "the apps in appManager.array.apps are taken, those of a database are not"),
    ("appManager.dynamodb", NO_DATABASE),
    ("appManager.mysql", NO_DATABASE),
    ("appManager.postgres", NO_DATABASE),
    ("cache", NO_MEANING),
    ("channelLimits.cacheTtl", NO_MEANING),
    ("channelLimits.maxNameLength", NAME_LENGTH),
    ("cluster", NO_ADAPTER),
    ("cors", NO_MEANING),
    ("database", NO_DATABASE),
    ("databasePooling", NO_MEANING),
    ("debug", "TIDINGS_LOG=debug has more logged"),
    ("eventLimits.maxNameLength", NAME_LENGTH),
    ("httpApi", NO_MEANING),
    ("instance", NO_MEANING),
    ("metrics.driver", NO_MEANING),
    ("metrics.host", "metrics are served on this machine only; [metrics] host names another address"),
    ("metrics.prometheus.prefix", "soketi's names are told with its own prefix"),
    ("mode", NO_MEANING),
    ("pathPrefix", NO_PREFIX),
    ("queue", "webhooks wait in the data directory, and in no other queue"),
    ("rateLimiter", NO_MEANING),
    ("userAuthenticationTimeout", NO_MEANING),
    ("webhooks.batching.duration", "nothing waits for a batch to fill"),
];
/// The keys of an app, each as soketi spells it: where there are several, the last one counts.
const APP_KEYS: [&[&str]; 18] = [
    &["id", "AppId"],
    &["key", "AppKey"],
    &["secret", "AppSecret"],
    &["enabled", "Enabled"],
    &["webhooks", "Webhooks"],
    &["enableClientMessages", "EnableClientMessages", "enable_client_messages"],
    &["enableUserAuthentication", "EnableUserAuthentication", "enable_user_authentication"],
    &["maxConnections", "MaxConnections", "max_connections"],
    &["maxBackendEventsPerSecond", "MaxBackendEventsPerSecond", "max_backend_events_per_sec"],
    &["maxClientEventsPerSecond", "MaxClientEventsPerSecond", "max_client_events_per_sec"],
    &["maxReadRequestsPerSecond", "MaxReadRequestsPerSecond", "max_read_req_per_sec"],
    &["maxPresenceMembersPerChannel", "MaxPresenceMembersPerChannel", "max_presence_members_per_channel"],
    &["maxPresenceMemberSizeInKb", "MaxPresenceMemberSizeInKb", "max_presence_member_size_in_kb"],
    &["maxEventChannelsAtOnce", "MaxEventChannelsAtOnce", "max_event_channels_at_once"],
    &["maxEventPayloadInKb", "MaxEventPayloadInKb", "max_event_payload_in_kb"],
    &["maxEventBatchSize", "MaxEventBatchSize", "max_event_batch_size"],
    &["maxEventNameLength", "MaxEventNameLength", "max_event_name_length"],
    &["maxChannelNameLength", "MaxChannelNameLength", "max_channel_name_length"],
];
/// Those of them that are not taken.
const NAME_LENGTHS: [&str; 2] = ["maxEventNameLength", "maxChannelNameLength"];
const NO_MEANING: &str = "it has no meaning here";
const NO_DATABASE: &str = "apps and webhooks are kept in the data directory, and in no other database";
const NAME_LENGTH: &str = "names have at most 200 characters here";
/// soketi's own defaults, in its units of 1024 bytes.
const EVENT_KILOBYTES: u32 = 100;
const MEMBER_KILOBYTES: u32 = 2;

/// Makes a draft of it. Where soketi's default is more generous, or more careful, it is kept: nothing is to break.
///
/// # Errors
/// Every mistake, as a line.
pub(super) fn read(text: &str) -> Result<Draft, Vec<String>> {
    if text.starts_with('/') {
        return Err(vec!["it begins with a comment, and JSON has none; take it out".to_owned()]);
    }
    let file: Value = serde_json::from_str(text).map_err(|error| vec![format!("it is no JSON: {error}")])?;
    let Value::Object(file) = file else {
        return Err(vec![format!("it must be an object with the key {APPS}")]);
    };
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
        self.note_not_taken(file, "");
        draft.notes = std::mem::take(&mut self.notes);
        draft
    }

    /// Notes what under these keys says nothing here.
    fn note_not_taken(&mut self, object: &Map<String, Value>, place: &str) {
        // An empty text is soketi's default.
        for (key, value) in object.iter().filter(|(_, value)| **value != "" && !value.is_null()) {
            let path = format!("{place}{key}");
            match (meaning(&path), value) {
                (Meaning::Taken, _) => {}
                // Where apps are by default.
                (Meaning::NotTaken(_), Value::String(driver)) if driver == "array" => {}
                (Meaning::NotTaken(why), _) => self.notes.push(format!("{path}: {why}")),
                (Meaning::Group, Value::Object(below)) => self.note_not_taken(below, &format!("{path}.")),
                (Meaning::Group, _) => self.notes.push(format!("{path}: {NO_MEANING}")),
                (Meaning::Unknown, _) => {
                    let nearest = nearest(&path, &known_beside(&path));
                    self.notes.push(format!("{path}: {}", MistakeKind::UnknownKey { nearest }));
                }
            }
        }
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
        for (limit, key, unit) in [
            (&mut limits.connections, "maxConnections", 1),
            (&mut limits.backend_events_per_second, "maxBackendEventsPerSecond", 1),
            (&mut limits.client_events_per_second, "maxClientEventsPerSecond", 1),
            (&mut limits.reads_per_second, "maxReadRequestsPerSecond", 1),
            (&mut limits.event_bytes, "maxEventPayloadInKb", 1024),
            (&mut limits.channels_per_event, "maxEventChannelsAtOnce", 1),
            (&mut limits.events_per_batch, "maxEventBatchSize", 1),
            (&mut limits.presence_members, "maxPresenceMembersPerChannel", 1),
            (&mut limits.presence_member_bytes, "maxPresenceMemberSizeInKb", 1024),
        ] {
            let read = |text: &str| parse_limit(text, unit);
            *limit = self.value(app, &place, spelled(app, key), read).unwrap_or(*limit);
        }
        let features = &mut settings.features;
        for (switch, key) in [
            (&mut settings.enabled, "enabled"),
            (&mut features.client_events, "enableClientMessages"),
            (&mut features.authorized_connections, "enableUserAuthentication"),
        ] {
            *switch = self.value(app, &place, spelled(app, key), parse_boolean).unwrap_or(*switch);
        }
        let webhooks = spelled(app, "webhooks");
        let webhooks = match app.get(webhooks).filter(|list| !list.is_null()) {
            Some(list) => {
                read_webhooks(list, batching).map_err(|kind| self.wrong(&place, webhooks, kind)).ok()?
            }
            None => SoketiWebhooks::default(),
        };
        let (id, key, secret) = (id?, key?, secret?);
        let SoketiWebhooks { webhooks, left_out } = webhooks;
        let notes = left_out.into_iter().chain(app.keys().filter_map(|key| not_taken_of_app(key)));
        self.notes.extend(notes.map(|part| format!("app {id}: {part}")));
        Some(DraftApp { id, key, secret, settings, webhooks })
    }

    fn needed<T>(
        &mut self,
        app: &Map<String, Value>,
        place: &str,
        key: &'static str,
        read: impl FnOnce(&str) -> Result<T, MistakeKind>,
    ) -> Option<T> {
        let key = spelled(app, key);
        if app.get(key).is_none_or(Value::is_null) {
            self.wrong(place, key, "it is missing");
        }
        self.value(app, place, key, read)
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

/// What a key of the file says here.
enum Meaning {
    Taken,
    NotTaken(&'static str),
    /// What is below it counts.
    Group,
    Unknown,
}

fn meaning(path: &str) -> Meaning {
    let below = |known: &str, of: &str| known.strip_prefix(of).is_some_and(|rest| rest.starts_with('.'));
    if TAKEN.contains(&path) {
        return Meaning::Taken;
    }
    let not_taken = NOT_TAKEN.iter().find(|(known, _)| path == *known || below(path, known));
    match not_taken {
        Some((_, why)) => Meaning::NotTaken(why),
        None if known().any(|known| below(known, path)) => Meaning::Group,
        None => Meaning::Unknown,
    }
}

fn known() -> impl Iterator<Item = &'static str> {
    TAKEN.into_iter().chain(NOT_TAKEN.map(|(key, _)| key))
}

/// The keys that a path of so many parts may mean.
fn known_beside(path: &str) -> Vec<&'static str> {
    let dots = path.matches('.').count();
    known().map(|known| known.match_indices('.').nth(dots).map_or(known, |(dot, _)| &known[..dot])).collect()
}

/// A key of an app as it is spelled there.
fn spelled(app: &Map<String, Value>, key: &'static str) -> &'static str {
    let spellings = APP_KEYS.into_iter().find(|spellings| spellings[0] == key);
    let written = spellings.and_then(|all| all.iter().rev().find(|spelling| app.contains_key(**spelling)));
    written.copied().unwrap_or(key)
}

/// A key of an app of which nothing is made, and why.
fn not_taken_of_app(key: &str) -> Option<String> {
    let Some(spellings) = APP_KEYS.iter().find(|spellings| spellings.contains(&key)) else {
        let nearest = nearest(key, &APP_KEYS.map(|spellings| spellings[0]));
        return Some(format!("{key}: {}", MistakeKind::UnknownKey { nearest }));
    };
    NAME_LENGTHS.contains(&spellings[0]).then(|| format!("{key}: {NAME_LENGTH}"))
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
