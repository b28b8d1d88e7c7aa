//! The variables that people bring with them from other servers and from the libraries: what they mean here.

use std::{borrow::Cow, collections::BTreeMap, net::IpAddr, path::PathBuf, time::Duration};

use serde_json::Value;
use tidings_protocol::{
    App,
    app::AppSecret,
    auth::request::percent_decode,
    limit::Limit,
    webhook::{Batching, Webhook, Webhooks},
};
use tidings_store::{
    AppSettings,
    settings::{LIMITS, SWITCHES, Setting},
};

use super::{
    Environment, MistakeKind, NoteKind, Place, SoketiWebhooks, WarningKind, finding::Report, read_webhooks,
    rules,
};

/// What a variable says.
#[derive(Clone, Copy, Debug)]
enum Meaning {
    Id,
    Key,
    Secret,
    /// `http://KEY:SECRET@HOST/apps/ID`
    AppUrl,
    Switch(&'static str),
    /// Reverb's three choices of who may send client events.
    ClientEventsFrom,
    Limit(&'static str),
    /// A limit in units of 1024 bytes.
    KilobytesLimit(&'static str),
    Host,
    Port,
    MetricsPort,
    ActivityTimeout,
    /// A time in milliseconds.
    DrainWindow,
    TlsCert,
    TlsKey,
    /// How soketi has all webhooks sent.
    Batching,
    /// soketi's list, in JSON.
    Webhooks,
    /// Nothing, and why.
    Nothing(&'static str),
}

const FOR_CLIENTS: &str = "it says where clients connect, not where the server listens";
/// What is said of a key that is under a passphrase.
pub const NO_PASSPHRASE: &str =
    "the key is read without a passphrase; write it so: openssl pkey -in FILE -out FILE";
pub(super) const SOKETI_SSL_CERT: &str = "SOKETI_SSL_CERT";
pub(super) const SOKETI_SSL_KEY: &str = "SOKETI_SSL_KEY";
/// What is said of a path prefix.
pub const NO_PREFIX: &str = "there is no path prefix here; clients and backends connect without one";
/// What is said of what joins several nodes.
pub const NO_ADAPTER: &str = "several nodes do not share their channels here; run one";

/// In the order in which they are read and reported.
const ALIASES: &[(&str, Meaning)] = &[
    ("PUSHER_APP_ID", Meaning::Id),
    ("PUSHER_APP_KEY", Meaning::Key),
    ("PUSHER_APP_SECRET", Meaning::Secret),
    ("PUSHER_URL", Meaning::AppUrl),
    ("PUSHER_APP_CLUSTER", Meaning::Nothing("there are no clusters of Pusher's here")),
    ("PUSHER_HOST", Meaning::Nothing(FOR_CLIENTS)),
    ("PUSHER_PORT", Meaning::Nothing(FOR_CLIENTS)),
    ("PUSHER_SCHEME", Meaning::Nothing(FOR_CLIENTS)),
    ("REVERB_APP_ID", Meaning::Id),
    ("REVERB_APP_KEY", Meaning::Key),
    ("REVERB_APP_SECRET", Meaning::Secret),
    ("REVERB_SERVER_HOST", Meaning::Host),
    ("REVERB_SERVER_PORT", Meaning::Port),
    ("REVERB_SERVER_PATH", Meaning::Nothing(NO_PREFIX)),
    ("REVERB_HOST", Meaning::Nothing(FOR_CLIENTS)),
    ("REVERB_PORT", Meaning::Nothing(FOR_CLIENTS)),
    ("REVERB_SCHEME", Meaning::Nothing(FOR_CLIENTS)),
    ("REVERB_APP_MAX_CONNECTIONS", Meaning::Limit("connections")),
    ("REVERB_APP_MAX_MESSAGE_SIZE", Meaning::Limit("event_bytes")),
    ("REVERB_APP_ACTIVITY_TIMEOUT", Meaning::ActivityTimeout),
    ("REVERB_APP_PING_INTERVAL", Meaning::Nothing("pings follow from activity_timeout")),
    ("REVERB_APP_ACCEPT_CLIENT_EVENTS_FROM", Meaning::ClientEventsFrom),
    ("SOKETI_DEFAULT_APP_ID", Meaning::Id),
    ("SOKETI_DEFAULT_APP_KEY", Meaning::Key),
    ("SOKETI_DEFAULT_APP_SECRET", Meaning::Secret),
    ("SOKETI_DEFAULT_APP_ENABLED", Meaning::Switch("enabled")),
    ("SOKETI_DEFAULT_APP_ENABLE_CLIENT_MESSAGES", Meaning::Switch("client_events")),
    ("SOKETI_DEFAULT_APP_USER_AUTHENTICATION", Meaning::Switch("authorized_connections")),
    ("SOKETI_DEFAULT_APP_MAX_CONNS", Meaning::Limit("connections")),
    ("SOKETI_DEFAULT_APP_MAX_BACKEND_EVENTS_PER_SEC", Meaning::Limit("backend_events_per_second")),
    ("SOKETI_DEFAULT_APP_MAX_CLIENT_EVENTS_PER_SEC", Meaning::Limit("client_events_per_second")),
    ("SOKETI_DEFAULT_APP_MAX_READ_REQ_PER_SEC", Meaning::Limit("reads_per_second")),
    // What follows is sent so.
    ("SOKETI_WEBHOOKS_BATCHING", Meaning::Batching),
    ("SOKETI_WEBHOOKS_BATCHING_DURATION", Meaning::Nothing("what waits goes at once")),
    ("SOKETI_DEFAULT_APP_WEBHOOKS", Meaning::Webhooks),
    ("SOKETI_EVENT_MAX_SIZE_IN_KB", Meaning::KilobytesLimit("event_bytes")),
    ("SOKETI_EVENT_MAX_CHANNELS_AT_ONCE", Meaning::Limit("channels_per_event")),
    ("SOKETI_EVENT_MAX_BATCH_SIZE", Meaning::Limit("events_per_batch")),
    ("SOKETI_PRESENCE_MAX_MEMBERS", Meaning::Limit("presence_members")),
    ("SOKETI_PRESENCE_MAX_MEMBER_SIZE", Meaning::KilobytesLimit("presence_member_bytes")),
    ("SOKETI_HOST", Meaning::Host),
    ("SOKETI_PORT", Meaning::Port),
    ("SOKETI_PATH_PREFIX", Meaning::Nothing(NO_PREFIX)),
    ("SOKETI_ADAPTER_DRIVER", Meaning::Nothing(NO_ADAPTER)),
    ("SOKETI_METRICS_SERVER_PORT", Meaning::MetricsPort),
    ("SOKETI_SHUTDOWN_GRACE_PERIOD", Meaning::DrainWindow),
    ("SOKETI_DEBUG", Meaning::Nothing("TIDINGS_LOG=debug has more logged")),
    (
        "SOKETI_METRICS_ENABLED",
        Meaning::Nothing("metrics are always served; TIDINGS_METRICS_SOKETI_NAMES adds soketi's names"),
    ),
    (SOKETI_SSL_CERT, Meaning::TlsCert),
    (SOKETI_SSL_KEY, Meaning::TlsKey),
    ("SOKETI_SSL_PASS", Meaning::Nothing(NO_PASSPHRASE)),
    ("SOCKUDO_DEFAULT_APP_ID", Meaning::Id),
    ("SOCKUDO_DEFAULT_APP_KEY", Meaning::Key),
    ("SOCKUDO_DEFAULT_APP_SECRET", Meaning::Secret),
    ("SOCKUDO_DEFAULT_APP_ENABLED", Meaning::Switch("enabled")),
    ("SOCKUDO_DEFAULT_APP_MAX_CONNECTIONS", Meaning::Limit("connections")),
    ("SOCKUDO_DEFAULT_APP_ENABLE_CLIENT_MESSAGES", Meaning::Switch("client_events")),
    ("SOCKUDO_DEFAULT_APP_ENABLE_WATCHLIST_EVENTS", Meaning::Switch("watchlist_events")),
    ("PORT", Meaning::Port),
    ("REDIS_URL", Meaning::Nothing(NO_ADAPTER)),
];

/// Those of other servers that are not named above are told to mean nothing, rather than passed over.
const FOREIGN: [&str; 3] = ["REVERB_", "SOKETI_", "SOCKUDO_"];

/// What they say all together.
#[derive(Default)]
pub(super) struct Aliases {
    pub(super) host: Said<IpAddr>,
    pub(super) port: Said<u16>,
    pub(super) metrics_port: Said<u16>,
    pub(super) activity_timeout: Said<Duration>,
    pub(super) drain_window: Said<Duration>,
    pub(super) tls_cert: Said<PathBuf>,
    pub(super) tls_key: Said<PathBuf>,
    batching: Batching,
    webhooks: Vec<Webhook>,
    id: Said<String>,
    key: Said<String>,
    secret: Said<AppSecret>,
    switches: BTreeMap<&'static str, Said<bool>>,
    limits: BTreeMap<&'static str, Said<Limit>>,
    /// A mistake has been reported: what is missing may only have been written wrongly.
    is_wrong: bool,
}

/// One thing, and which variable says it.
pub(super) struct Said<T>(Option<(T, &'static str)>);

/// An app as the variables describe it, and which of them name it.
pub struct AliasedApp {
    /// Its id.
    pub id: String,
    pub(super) id_name: &'static str,
    /// Its key.
    pub key: String,
    pub(super) key_name: &'static str,
    /// Its secret.
    pub secret: AppSecret,
    /// Its limits, and what it allows.
    pub settings: AppSettings,
    /// Who is told of its events.
    pub webhooks: Vec<Webhook>,
}

impl AliasedApp {
    pub(super) fn to_app(&self) -> App {
        let webhooks = Webhooks::new(self.webhooks.clone());
        App { webhooks, ..self.settings.to_app(self.id.clone(), self.key.clone(), self.secret.clone()) }
    }
}

impl<T> Default for Said<T> {
    fn default() -> Self {
        Said(None)
    }
}

impl<T> Said<T> {
    pub(super) fn value(self) -> Option<T> {
        self.0.map(|(value, _)| value)
    }

    pub(super) fn told(self) -> Option<(T, &'static str)> {
        self.0
    }
}

impl<T: PartialEq> Said<T> {
    /// Takes it, if nobody has said something else.
    fn say(&mut self, value: T, name: &'static str, report: &mut Report) {
        match &self.0 {
            Some((said, by)) if *said != value => {
                report.mistake(place(name), MistakeKind::Contradicts { other: by });
            }
            Some(_) => {}
            None => self.0 = Some((value, name)),
        }
    }
}

fn place(name: &str) -> Place {
    Place::Variable(name.to_owned())
}

/// Reads them.
pub(super) fn read(environment: &Environment, report: &mut Report) -> Aliases {
    let mut aliases = Aliases::default();
    for (name, meaning) in ALIASES {
        let Some(text) = environment.value(name).and_then(|text| unquoted(name, text)) else { continue };
        if let Err(kind) = aliases.take(name, *meaning, &text, report) {
            aliases.is_wrong = true;
            report.mistake(place(name), kind);
        }
    }
    let known = |name: &str| ALIASES.iter().any(|(alias, _)| *alias == name);
    let foreign = |name: &&str| FOREIGN.iter().any(|prefix| name.starts_with(prefix)) && !known(name);
    for name in environment.names().filter(foreign) {
        report.note(place(name), NoteKind::Nothing("it has no meaning here"));
    }
    aliases
}

/// The text of a variable, if there is one: soketi reads its own as JSON where they are, so they may be in quotes.
fn unquoted<'t>(name: &str, text: &'t str) -> Option<Cow<'t, str>> {
    let json = if name.starts_with("SOKETI_") { serde_json::from_str(text).ok() } else { None };
    match json {
        Some(Value::String(inner)) => (!inner.is_empty()).then_some(Cow::Owned(inner)),
        _ => Some(Cow::Borrowed(text)),
    }
}

impl Aliases {
    fn take(
        &mut self,
        name: &'static str,
        meaning: Meaning,
        text: &str,
        report: &mut Report,
    ) -> Result<(), MistakeKind> {
        let what = match meaning {
            Meaning::Id => {
                self.id.say(rules::parse_id(text)?, name, report);
                "the id of the first app"
            }
            Meaning::Key => {
                self.key.say(rules::parse_key(text)?, name, report);
                "the key of the first app"
            }
            Meaning::Secret => {
                self.secret.say(rules::parse_secret(text)?, name, report);
                "the secret of the first app"
            }
            Meaning::AppUrl => {
                let (id, key, secret) = parse_url(text).ok_or_else(|| MistakeKind::Value {
                    expected: "http://KEY:SECRET@HOST/apps/ID",
                    // It may hold a secret.
                    found: "another text".to_owned(),
                })?;
                self.id.say(rules::parse_id(&id)?, name, report);
                self.key.say(rules::parse_key(&key)?, name, report);
                self.secret.say(rules::parse_secret(&secret)?, name, report);
                "the first app; the server does not listen at its host"
            }
            Meaning::Switch(switch) => {
                self.switches.entry(switch).or_default().say(parse_boolean(text)?, name, report);
                switch
            }
            Meaning::ClientEventsFrom => {
                let on = ["all", "members"].contains(&text);
                self.switches.entry("client_events").or_default().say(on, name, report);
                "client_events, of those who are subscribed"
            }
            Meaning::Limit(limit) => {
                self.limits.entry(limit).or_default().say(parse_limit(text, 1)?, name, report);
                limit
            }
            Meaning::KilobytesLimit(limit) => {
                self.limits.entry(limit).or_default().say(parse_limit(text, 1024)?, name, report);
                limit
            }
            Meaning::Host => {
                self.host.say(rules::parse_host(text)?, name, report);
                "the address to listen on"
            }
            Meaning::Port | Meaning::MetricsPort if text.contains("://") => {
                report.warning(place(name), WarningKind::KubernetesPort);
                return Ok(());
            }
            Meaning::Port => {
                self.port.say(rules::parse_port(text)?, name, report);
                "the port to listen on"
            }
            Meaning::MetricsPort => {
                self.metrics_port.say(rules::parse_port(text)?, name, report);
                "the port of the metrics"
            }
            Meaning::ActivityTimeout => {
                self.activity_timeout.say(rules::parse_activity_timeout(text)?, name, report);
                "activity_timeout"
            }
            Meaning::DrainWindow => {
                let ms: u64 = text.parse().map_err(|_| MistakeKind::value(MILLISECONDS, text))?;
                self.drain_window.say(rules::drain(ms.div_ceil(1000))?, name, report);
                "drain_window"
            }
            Meaning::TlsCert => {
                self.tls_cert.say(text.into(), name, report);
                "the certificate of TLS"
            }
            Meaning::TlsKey => {
                self.tls_key.say(text.into(), name, report);
                "the key of TLS"
            }
            Meaning::Batching => {
                if parse_boolean(text)? {
                    self.batching = Batching::Several;
                }
                "batch, of the webhooks that follow"
            }
            Meaning::Webhooks => {
                let SoketiWebhooks { webhooks, left_out } = read_webhooks(&text.into(), self.batching)?;
                self.webhooks = webhooks;
                report.note(place(name), NoteKind::Taken("the webhooks of the first app"));
                for part in left_out {
                    report.note(place(name), NoteKind::Part(part));
                }
                return Ok(());
            }
            Meaning::Nothing(why) => {
                report.note(place(name), NoteKind::Nothing(why));
                return Ok(());
            }
        };
        report.note(place(name), NoteKind::Taken(what));
        Ok(())
    }

    /// The app that they describe, if they do.
    pub(super) fn app(&mut self, report: &mut Report) -> Option<AliasedApp> {
        let (id, key, secret) = (self.id.0.take(), self.key.0.take(), self.secret.0.take());
        let names = [id.as_ref().map(name), key.as_ref().map(name), secret.as_ref().map(name)];
        let (Some((id, id_name)), Some((key, key_name)), Some((secret, secret_name))) = (id, key, secret)
        else {
            if let Some(name) = names.into_iter().flatten().next()
                && !self.is_wrong
            {
                report.mistake(place(name), MistakeKind::VariablesMissing(missing(name, names)));
            }
            return None;
        };
        if let Some(doubt) = WarningKind::of_id(&id) {
            report.warning(place(id_name), doubt);
        }
        if let Some(doubt) = WarningKind::of_secret(&secret) {
            report.warning(place(secret_name), doubt);
        }
        let mut settings = AppSettings::default();
        apply(&SWITCHES, std::mem::take(&mut self.switches), &mut settings);
        apply(&LIMITS, std::mem::take(&mut self.limits), &mut settings);
        let webhooks = std::mem::take(&mut self.webhooks);
        Some(AliasedApp { id, id_name, key, key_name, secret, settings, webhooks })
    }
}

fn name<T>((_, name): &(T, &'static str)) -> &'static str {
    name
}

/// The variables beside `name` that would say what id, key or secret nobody has named.
fn missing(name: &str, named: [Option<&'static str>; 3]) -> Vec<&'static str> {
    let family = name.rsplit_once('_').map_or("", |(family, _)| family);
    let ends = ["ID", "KEY", "SECRET"].into_iter().zip(named).filter(|(_, named)| named.is_none());
    let alias = |end: &str| {
        let wanted = format!("{family}_{end}");
        ALIASES.iter().map(|(alias, _)| *alias).find(|alias| *alias == wanted)
    };
    ends.filter_map(|(end, _)| alias(end)).collect()
}

fn apply<T>(known: &'static [Setting<T>], said: BTreeMap<&'static str, Said<T>>, settings: &mut AppSettings) {
    for (name, said) in said {
        let setting = known.iter().find(|setting| setting.name == name).expect("aliases name settings");
        if let Some(value) = said.value() {
            setting.set(settings, value);
        }
    }
}

const MILLISECONDS: &str = "a whole number of milliseconds";

/// Reads a switch as other servers write it.
///
/// # Errors
/// [`MistakeKind::Value`] if it is none.
pub fn parse_boolean(text: &str) -> Result<bool, MistakeKind> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err(MistakeKind::value("true or false", text)),
    }
}

/// Reads a limit in units of so many; -1 is none, as it is in soketi.
///
/// # Errors
/// [`MistakeKind::Value`] if it is none.
pub fn parse_limit(text: &str, unit: u32) -> Result<Limit, MistakeKind> {
    if text == "-1" {
        return Ok(Limit::NONE);
    }
    let wrong = || MistakeKind::value("a whole number, or -1 for no limit", text);
    let number: u32 = text.parse().map_err(|_| wrong())?;
    number.checked_mul(unit).map(Limit::new).ok_or_else(wrong)
}

/// The id, key and secret in `http://KEY:SECRET@HOST/apps/ID`; a `/` or a query at its end says nothing.
fn parse_url(text: &str) -> Option<(String, String, String)> {
    let (_, rest) = text.split_once("://")?;
    let (credentials, rest) = rest.split_once('@')?;
    let (key, secret) = credentials.split_once(':')?;
    let (_, path) = rest.split_once('/')?;
    let path = path.split(['?', '#']).next()?;
    let id = path.strip_prefix("apps/")?.trim_end_matches('/');
    Some((
        percent_decode(id).into_owned(),
        percent_decode(key).into_owned(),
        percent_decode(secret).into_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_aliases_name_are_there() {
        for (name, meaning) in ALIASES {
            match meaning {
                Meaning::Switch(switch) => {
                    assert!(SWITCHES.iter().any(|known| known.name == *switch), "{name}");
                }
                Meaning::Limit(limit) | Meaning::KilobytesLimit(limit) => {
                    assert!(LIMITS.iter().any(|known| known.name == *limit), "{name}");
                }
                _ => {}
            }
        }
    }

    #[test]
    fn urls_of_the_libraries() {
        let of = |text: &str| parse_url(text).map(|(id, key, secret)| format!("{id} {key} {secret}"));
        for end in ["", "/", "?cluster=eu", "/?cluster=eu/west"] {
            let url = format!("http://key:s%2Fcret@api.example:6001/apps/12{end}");
            assert_eq!(of(&url).as_deref(), Some("12 key s/cret"), "{url}");
        }
        for wrong in
            ["", "http://api.example/apps/12", "http://key@api.example/apps/1", "http://key:s@api.example"]
        {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn limits_in_units() {
        assert_eq!(parse_limit("-1", 1), Ok(Limit::NONE));
        assert_eq!(parse_limit("10", 1024), Ok(Limit::new(10 * 1024)));
        assert!(parse_limit("4294967295", 1024).is_err());
        assert!(parse_limit("many", 1).is_err());
    }
}
