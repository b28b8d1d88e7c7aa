//! The TOML file. It is walked as a tree whose every value knows its place, so that all mistakes are found at once.

use std::{
    collections::HashMap,
    fs,
    net::IpAddr,
    ops::Range,
    path::{Path, PathBuf},
    time::Duration,
};

use tidings_courier::{Network, Settings};
use tidings_protocol::{
    App,
    limit::Limit,
    webhook::{Batching, ChannelFilter, Interest, Webhook, WebhookKinds, Webhooks},
};
use tidings_store::{
    AppSettings, Brand, BrandId,
    settings::{ALLOWED_ORIGINS, LIMITS, LIMITS_TABLE, Origins, SWITCHES},
};
use toml::{
    Spanned,
    de::{DeInteger, DeTable, DeValue},
};

use super::{
    BrandConfig, Layer, MistakeKind, OutboundConfig, Place, Snippet, TlsConfig, Warning, WarningKind,
    finding::{Report, nearest},
    rules,
    tls::Told,
};

/// What a file says.
#[derive(Default)]
pub(super) struct FileConfig {
    pub(super) server: Layer,
    pub(super) apps: Vec<App>,
    pub(super) brands: Vec<BrandConfig>,
    /// The brands whose app is not in the file.
    pub(super) astray: Vec<Warning>,
    pub(super) outbound: OutboundConfig,
}

/// Reads a file; what is wrong with it goes into the report.
pub(super) fn read(path: &Path, report: &mut Report) -> FileConfig {
    let unreadable = match fs::read(path).map(String::from_utf8) {
        Ok(Ok(text)) => return parse(path, &text, report),
        Ok(Err(_)) => "it is no UTF-8 text".to_owned(),
        Err(error) => error.to_string(),
    };
    report.mistake(Place::File(path.to_owned()), MistakeKind::Unreadable(unreadable));
    FileConfig::default()
}

/// Reads the text of a file.
pub(super) fn parse(path: &Path, text: &str, report: &mut Report) -> FileConfig {
    Reader { source: Source { path, text }, report, brand_apps: Vec::new(), urls: Vec::new() }.config()
}

/// A table that is being read: what is taken out is known, what is left at the end is not.
struct Section<'s> {
    /// Its key from the root; empty for the root.
    path: String,
    /// Its header.
    span: Range<usize>,
    table: DeTable<'s>,
    known: Vec<&'static str>,
}

/// A value, where it stands and under which key.
struct Item<'s> {
    path: String,
    span: Range<usize>,
    value: DeValue<'s>,
}

struct Reader<'s, 'r> {
    source: Source<'s>,
    report: &'r mut Report,
    /// Which apps brands name, and where.
    brand_apps: Vec<(String, Place)>,
    /// Where webhooks go, and where that stands.
    urls: Vec<(String, Place)>,
}

/// Who has which id or key, to find the second who claims it.
type Taken = HashMap<String, String>;

impl<'s> Reader<'s, '_> {
    fn config(&mut self) -> FileConfig {
        let (root, errors) = DeTable::parse_recoverable(self.source.text);
        for error in errors {
            let place = self.source.place(error.span().unwrap_or(0..0), None);
            self.report.mistake(place, MistakeKind::Syntax(error.message().to_owned()));
        }
        let mut root =
            Section { path: String::new(), span: root.span(), table: root.into_inner(), known: Vec::new() };
        let mut server =
            self.section(&mut root, "server").map(|section| self.server(section)).unwrap_or_default();
        if let Some(mut section) = self.section(&mut root, "metrics") {
            server.metrics_host = self.value(&mut section, "host", host);
            server.metrics_port = self.value(&mut section, "port", port);
            server.soketi_names = self.value(&mut section, "soketi_names", boolean);
            self.finish(&section);
        }
        server.tls = self.section(&mut root, "tls").and_then(|section| self.tls(section));
        let apps = root.take("apps").map(|item| self.apps(item)).unwrap_or_default();
        let brands = root.take("brands").map(|item| self.brands(item)).unwrap_or_default();
        let outbound =
            self.section(&mut root, "outbound").map(|section| self.outbound(section)).unwrap_or_default();
        self.finish(&root);
        for (url, place) in self.urls.drain(..) {
            if let Some(address) = outbound.settings.forbidden_in(&url) {
                self.report.warning(place, WarningKind::OutOfReach(address));
            }
        }
        let is_here = |id: &String| apps.iter().any(|app: &App| app.id == *id);
        let astray = self.brand_apps.drain(..).filter(|(id, _)| !is_here(id));
        let astray = astray.map(|(_, place)| Warning { place, kind: WarningKind::AppElsewhere }).collect();
        FileConfig { server, apps, brands, astray, outbound }
    }

    fn server(&mut self, mut section: Section<'s>) -> Layer {
        let layer = Layer {
            host: self.value(&mut section, "host", host),
            port: self.value(&mut section, "port", port),
            activity_timeout: self.value(&mut section, "activity_timeout", activity_timeout),
            drain_delay: self.value(&mut section, "drain_delay", drain),
            drain_window: self.value(&mut section, "drain_window", drain),
            data_dir: self.value(&mut section, "data_dir", path),
            metrics_host: None,
            metrics_port: None,
            soketi_names: None,
            tls: None,
        };
        self.finish(&section);
        layer
    }

    fn tls(&mut self, mut section: Section<'s>) -> Option<TlsConfig> {
        let cert = self.required_told(&mut section, "cert");
        let key = self.required_told(&mut section, "key");
        let port = self.value(&mut section, "port", port);
        self.finish(&section);
        Some(TlsConfig { port, cert: cert?, key: key? })
    }

    fn told(&mut self, item: &Item<'s>) -> Option<Told> {
        let place = self.source.place(item.span.clone(), Some(item.path.clone()));
        self.read(item, path).map(|path| Told { path, place })
    }

    /// A path that must be there.
    fn required_told(&mut self, section: &mut Section<'s>, name: &'static str) -> Option<Told> {
        let (path, span) = self.required(section, name, path, |_| None)?;
        Some(Told { path, place: self.source.place(span, Some(section.path_of(name))) })
    }

    fn apps(&mut self, item: Item<'s>) -> Vec<App> {
        let (mut ids, mut keys) = (Taken::new(), Taken::new());
        let items = self.items(item, "a list of apps, each begun with [[apps]]");
        let sections: Vec<_> = items.into_iter().filter_map(|item| self.table(item)).collect();
        sections.into_iter().filter_map(|section| self.app(section, &mut ids, &mut keys)).collect()
    }

    fn app(&mut self, mut section: Section<'s>, ids: &mut Taken, keys: &mut Taken) -> Option<App> {
        let id = self.required(&mut section, "id", id, |id| WarningKind::of_id(id));
        let key =
            self.required(&mut section, "key", |value| rules::parse_key(text(value, "a text")?), |_| None);
        let secret = self.required(
            &mut section,
            "secret",
            |value| rules::parse_secret(text(value, "a text")?),
            WarningKind::of_secret,
        );
        let previous =
            self.value(&mut section, "previous_secret", |value| rules::parse_secret(text(value, "a text")?));
        let settings = self.settings(&mut section);
        let webhooks = section.take("webhooks").map(|item| self.webhooks(item)).unwrap_or_default();
        self.finish(&section);
        let (id, id_span) = id?;
        let (key, key_span) = key?;
        self.claim(ids, &section.path, "id", (&id, id_span));
        self.claim(keys, &section.path, "key", (&key, key_span));
        let (secret, _) = secret?;
        let secret = match previous {
            Some(previous) => secret.replacing(previous),
            None => secret,
        };
        Some(App { webhooks, ..settings.to_app(id, key, secret) })
    }

    fn webhooks(&mut self, item: Item<'s>) -> Webhooks {
        let mut webhooks = Vec::new();
        let items = self.items(item, "a list of webhooks, each begun with [[apps.webhooks]]");
        let sections: Vec<_> = items.into_iter().filter_map(|item| self.table(item)).collect();
        for section in sections {
            self.webhook(section, &mut webhooks);
        }
        Webhooks::new(webhooks)
    }

    fn webhook(&mut self, mut section: Section<'s>, webhooks: &mut Vec<Webhook>) {
        let url = self.required(
            &mut section,
            "url",
            |value| rules::parse_webhook_url(text(value, rules::WEBHOOK_URL)?),
            |_| None,
        );
        let kinds = section.take("events").map(|item| self.kinds(item));
        let channels = section.take("channels").map(|item| self.channels(item));
        let headers = self.section(&mut section, "headers").map(|section| self.headers(section));
        let batch = self.value(&mut section, "batch", boolean);
        self.finish(&section);
        let Some((url, span)) = url else { return };
        let place = self.source.place(span, Some(section.path_of("url")));
        self.urls.push((url.clone(), place.clone()));
        let interest = Interest {
            kinds: kinds.unwrap_or_else(WebhookKinds::all),
            channels: channels.unwrap_or_default(),
        };
        let webhook = Webhook {
            url: url.into(),
            interests: vec![interest],
            headers: headers.unwrap_or_default(),
            batching: if batch.unwrap_or(false) { Batching::Several } else { Batching::Single },
        };
        if let Err(error) = webhook.add_to(webhooks) {
            self.report.mistake(place, error.into());
        }
    }

    fn kinds(&mut self, item: Item<'s>) -> WebhookKinds {
        let read = |value: &DeValue<'s>| rules::parse_webhook_kind(text(value, rules::WEBHOOK_KIND)?);
        let items = self.some_items(item, rules::WEBHOOK_KINDS, ("event", "events"));
        items.iter().filter_map(|item| self.read(item, read)).collect()
    }

    fn channels(&mut self, item: Item<'s>) -> ChannelFilter {
        let expected = "a list of patterns of channel names";
        let items = self.some_items(item, expected, ("pattern", "channels"));
        let read = |value: &DeValue<'s>| {
            let text = text(value, "a pattern of channel names")?.to_owned();
            ChannelFilter::parse([text.as_str()])?;
            Ok(text)
        };
        let texts: Vec<String> = items.iter().filter_map(|item| self.read(item, read)).collect();
        ChannelFilter::parse(texts.iter().map(String::as_str)).expect("each of them has been parsed")
    }

    /// Names and values: any key is known.
    fn headers(&mut self, section: Section<'s>) -> Vec<(String, String)> {
        let Section { path, table, .. } = section;
        let mut headers = Vec::new();
        for (name, value) in table {
            let name = name.into_inner();
            let item = Item::new(format!("{path}.{name}"), value);
            headers.extend(self.read(&item, |value| rules::parse_header(&name, text(value, rules::HEADER)?)));
        }
        headers
    }

    fn outbound(&mut self, mut section: Section<'s>) -> OutboundConfig {
        let allow = section.take("allow").map(|item| self.items(item, "a list of networks"));
        let read = |value: &DeValue<'s>| Ok(text(value, "a network")?.parse::<Network>()?);
        let allow = allow.iter().flatten().filter_map(|item| self.read(item, read)).collect();
        let ca = section.take("ca").and_then(|item| self.told(&item));
        let retry_for = self.value(&mut section, "retry_for", |value| {
            rules::seconds(number(value, rules::RETRY_FOR)?, rules::RETRY_FOR_S, rules::RETRY_FOR)
        });
        let timeout = self.value(&mut section, "timeout", |value| {
            rules::seconds(number(value, rules::TIMEOUT)?, rules::TIMEOUT_S, rules::TIMEOUT)
        });
        self.finish(&section);
        let defaults = Settings::default();
        let settings = Settings {
            allow,
            retry_for: retry_for.unwrap_or(defaults.retry_for),
            timeout: timeout.unwrap_or(defaults.timeout),
        };
        OutboundConfig { settings, ca }
    }

    fn brands(&mut self, item: Item<'s>) -> Vec<BrandConfig> {
        let (mut ids, mut names) = (Taken::new(), Taken::new());
        let items = self.items(item, "a list of brands, each begun with [[brands]]");
        let sections: Vec<_> = items.into_iter().filter_map(|item| self.table(item)).collect();
        sections.into_iter().filter_map(|section| self.brand(section, &mut ids, &mut names)).collect()
    }

    fn brand(&mut self, mut section: Section<'s>, ids: &mut Taken, names: &mut Taken) -> Option<BrandConfig> {
        let id = self.required(&mut section, "id", brand_id, |_| None);
        let name = self.required(
            &mut section,
            "name",
            |value| rules::parse_brand_name(text(value, "a text")?),
            |_| None,
        );
        let app_id = self.required(&mut section, "app", self::id, |_| None);
        let region = self.value(&mut section, "region", |value| text(value, "a text").map(str::to_owned));
        let sid_url =
            self.value(&mut section, "sid_url", |value| rules::parse_sid_url(text(value, rules::SID_URL)?));
        let test_sid = self.value(&mut section, "test_sid", boolean);
        let api_keys = section.take("api_keys").map(|item| self.api_keys(item)).unwrap_or_default();
        let allowed_origins =
            section.take(ALLOWED_ORIGINS).map(|item| self.origins(item)).unwrap_or_default();
        self.finish(&section);
        let (id, id_span) = id?;
        let (name, name_span) = name?;
        if let Some((app_id, span)) = &app_id {
            let place = self.source.place(span.clone(), Some(format!("{}.app", section.path)));
            self.brand_apps.push((app_id.clone(), place));
        }
        self.claim(ids, &section.path, "id", (&id.to_string(), id_span));
        self.claim(names, &section.path, "name", (&name, name_span));
        let brand = Brand {
            id,
            name,
            app_id: app_id?.0,
            region: region.unwrap_or_else(|| tidings_inbox::DEFAULT_REGION.to_owned()),
            sid_url,
            test_sid: test_sid.unwrap_or(false),
            allowed_origins,
        };
        Some(BrandConfig { brand, api_keys })
    }

    fn api_keys(&mut self, item: Item<'s>) -> Vec<String> {
        let items = self.items(item, "a list of keys");
        items
            .iter()
            .filter_map(|item| self.read(item, |value| rules::parse_api_key(text(value, rules::API_KEY)?)))
            .collect()
    }

    /// A value that must be there, and its place.
    fn required<T>(
        &mut self,
        section: &mut Section<'s>,
        name: &'static str,
        read: impl FnOnce(&DeValue<'s>) -> Result<T, MistakeKind>,
        doubt: impl FnOnce(&T) -> Option<WarningKind>,
    ) -> Option<(T, Range<usize>)> {
        let Some(item) = section.take(name) else {
            let place = self.source.place(section.span.clone(), Some(section.path.clone()));
            self.report.mistake(place, MistakeKind::Missing(name));
            return None;
        };
        let value = self.read(&item, read)?;
        if let Some(kind) = doubt(&value) {
            self.report.warning(self.source.place(item.span.clone(), Some(item.path)), kind);
        }
        Some((value, item.span))
    }

    fn claim(&mut self, taken: &mut Taken, app: &str, name: &str, (value, span): (&str, Range<usize>)) {
        if let Some(by) = taken.get(value) {
            let place = self.source.place(span, Some(format!("{app}.{name}")));
            self.report.mistake(place, MistakeKind::Taken { by: format!("`{by}`") });
        } else {
            taken.insert(value.to_owned(), app.to_owned());
        }
    }

    fn settings(&mut self, section: &mut Section<'s>) -> AppSettings {
        let mut settings = AppSettings::default();
        for switch in &SWITCHES {
            if let Some(on) = self.value(section, switch.name, boolean) {
                switch.set(&mut settings, on);
            }
        }
        if let Some(item) = section.take(ALLOWED_ORIGINS) {
            settings.allowed_origins = self.origins(item);
        }
        if let Some(mut limits) = self.section(section, LIMITS_TABLE) {
            for limit in &LIMITS {
                if let Some(value) = self.value(&mut limits, limit.name, limit_value) {
                    limit.set(&mut settings, value);
                }
            }
            self.finish(&limits);
        }
        settings
    }

    fn origins(&mut self, item: Item<'s>) -> Origins {
        let items = self.items(item, "a list of origins");
        let read = |value: &DeValue<'s>| {
            let text = text(value, "an origin")?.to_owned();
            Origins::parse(vec![text.clone()])?;
            Ok(text)
        };
        let texts = items.iter().filter_map(|item| self.read(item, read)).collect();
        Origins::parse(texts).expect("each of them has been parsed")
    }

    /// The value under a key.
    fn value<T>(
        &mut self,
        section: &mut Section<'s>,
        name: &'static str,
        read: impl FnOnce(&DeValue<'s>) -> Result<T, MistakeKind>,
    ) -> Option<T> {
        section.take(name).and_then(|item| self.read(&item, read))
    }

    fn read<T>(
        &mut self,
        item: &Item<'s>,
        read: impl FnOnce(&DeValue<'s>) -> Result<T, MistakeKind>,
    ) -> Option<T> {
        read(&item.value).map_err(|kind| self.wrong(item, kind)).ok()
    }

    /// The table under a key.
    fn section(&mut self, section: &mut Section<'s>, name: &'static str) -> Option<Section<'s>> {
        section.take(name).and_then(|item| self.table(item))
    }

    fn table(&mut self, item: Item<'s>) -> Option<Section<'s>> {
        let DeValue::Table(table) = item.value else {
            self.wrong(&item, wrong_type("a table", &item.value));
            return None;
        };
        Some(Section { path: item.path, span: item.span, table, known: Vec::new() })
    }

    fn items(&mut self, item: Item<'s>, expected: &'static str) -> Vec<Item<'s>> {
        let DeValue::Array(array) = item.value else {
            self.wrong(&item, wrong_type(expected, &item.value));
            return Vec::new();
        };
        let item = |(at, value): (usize, Spanned<_>)| Item::new(format!("{}[{at}]", item.path), value);
        array.into_iter().enumerate().map(item).collect()
    }

    /// The items of a list that has at least one `what`, as nothing would be meant by an empty one.
    fn some_items(
        &mut self,
        item: Item<'s>,
        expected: &'static str,
        (what, key): (&'static str, &'static str),
    ) -> Vec<Item<'s>> {
        if matches!(&item.value, DeValue::Array(array) if array.is_empty()) {
            self.wrong(&item, MistakeKind::NoneNamed { what, key });
        }
        self.items(item, expected)
    }

    /// Reports the keys that nobody took.
    fn finish(&mut self, section: &Section<'s>) {
        for (key, _) in &section.table {
            let place = self.source.place(key.span(), Some(section.path_of(key.get_ref())));
            self.report
                .mistake(place, MistakeKind::UnknownKey { nearest: nearest(key.get_ref(), &section.known) });
        }
    }

    fn wrong(&mut self, item: &Item<'s>, kind: MistakeKind) {
        self.report.mistake(self.source.place(item.span.clone(), Some(item.path.clone())), kind);
    }
}

impl<'s> Section<'s> {
    fn take(&mut self, name: &'static str) -> Option<Item<'s>> {
        self.known.push(name);
        self.table.remove(name).map(|value| Item::new(self.path_of(name), value))
    }

    fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }
}

impl<'s> Item<'s> {
    fn new(path: String, value: Spanned<DeValue<'s>>) -> Self {
        Item { path, span: value.span(), value: value.into_inner() }
    }
}

fn host(value: &DeValue<'_>) -> Result<IpAddr, MistakeKind> {
    rules::parse_host(text(value, rules::HOST)?)
}

fn port(value: &DeValue<'_>) -> Result<u16, MistakeKind> {
    number(value, rules::PORT)
}

fn path(value: &DeValue<'_>) -> Result<PathBuf, MistakeKind> {
    text(value, "a path").map(PathBuf::from)
}

fn activity_timeout(value: &DeValue<'_>) -> Result<Duration, MistakeKind> {
    rules::activity_timeout(number(value, rules::ACTIVITY_TIMEOUT)?)
}

fn drain(value: &DeValue<'_>) -> Result<Duration, MistakeKind> {
    rules::drain(number(value, rules::DRAIN)?)
}

fn brand_id(value: &DeValue<'_>) -> Result<BrandId, MistakeKind> {
    let number: u32 = number(value, rules::BRAND_ID)?;
    rules::parse_brand_id(&number.to_string())
}

/// An id; people write `id = 123` as well.
fn id(value: &DeValue<'_>) -> Result<String, MistakeKind> {
    match value {
        DeValue::Integer(number) => rules::parse_id(&number.to_string()),
        _ => rules::parse_id(text(value, "a text of digits")?),
    }
}

fn limit_value(value: &DeValue<'_>) -> Result<Limit, MistakeKind> {
    number(value, "a whole number from 0 (no limit) to 4294967295").map(Limit::new)
}

fn boolean(value: &DeValue<'_>) -> Result<bool, MistakeKind> {
    match value {
        DeValue::Boolean(on) => Ok(*on),
        _ => Err(wrong_type("true or false", value)),
    }
}

fn text<'v>(value: &'v DeValue<'_>, expected: &'static str) -> Result<&'v str, MistakeKind> {
    match value {
        DeValue::String(text) => Ok(text),
        _ => Err(wrong_type(expected, value)),
    }
}

fn number<T: TryFrom<u64>>(value: &DeValue<'_>, expected: &'static str) -> Result<T, MistakeKind> {
    let DeValue::Integer(integer) = value else { return Err(wrong_type(expected, value)) };
    let number =
        u64::from_str_radix(integer.as_str(), integer.radix()).ok().and_then(|n| T::try_from(n).ok());
    number.ok_or_else(|| MistakeKind::Value { expected, found: DeInteger::to_string(integer) })
}

fn wrong_type(expected: &'static str, value: &DeValue<'_>) -> MistakeKind {
    let found = match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    };
    MistakeKind::Value { expected, found: found.to_owned() }
}

/// The file and its text.
struct Source<'s> {
    path: &'s Path,
    text: &'s str,
}

impl Source<'_> {
    fn place(&self, span: Range<usize>, key: Option<String>) -> Place {
        let before = &self.text[..span.start];
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let text = self.text[start..].lines().next().unwrap_or("");
        let column = self.text[start..span.start].chars().count() + 1;
        let end = span.end.min(start + text.len()).max(span.start);
        let width = self.text[span.start..end].chars().count().max(1);
        // The output may end in a log.
        let is_secret = |text: &str| ["secret", "api_key", "headers"].iter().any(|word| text.contains(word));
        let may_tell = is_secret(&text.to_ascii_lowercase()) || key.as_deref().is_some_and(is_secret);
        Place::Line {
            path: self.path.to_owned(),
            line: before.matches('\n').count() + 1,
            column,
            key,
            snippet: (!may_tell).then(|| Snippet { text: text.to_owned(), width }),
        }
    }
}
