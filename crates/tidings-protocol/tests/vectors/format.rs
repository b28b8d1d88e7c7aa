//! The files of `protocol-spec/` as values, and the few words in them that a runner fills in (`$socket_id`, `$auth`)
//! or takes for any text (`$text`).
//!
//! Nothing here knows a server or the protocol crate: only serde and `serde_json`, so that the tests of another crate
//! can include this file by `#[path]`. What the formats mean stands in `protocol-spec/README.md`.

use std::{collections::BTreeMap, fs, path::Path};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};

/// Reads a file of `protocol-spec/`. Unknown keys are mistakes.
///
/// # Panics
/// If it is not there or not of its format; the text says where.
pub(crate) fn load<T: DeserializeOwned>(spec: &Path, file: &str) -> T {
    let path = spec.join(file);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The names of the JSON files in a folder of `protocol-spec/`, sorted, as [`load`] takes them.
///
/// # Panics
/// If the folder cannot be read.
pub(crate) fn files_in(spec: &Path, folder: &str) -> Vec<String> {
    let entries = fs::read_dir(spec.join(folder)).unwrap_or_else(|error| panic!("{folder}: {error}"));
    let mut files: Vec<String> = entries
        .map(|entry| entry.expect("a folder's entry").file_name().into_string().expect("a UTF-8 file name"))
        .filter(|name| Path::new(name).extension().is_some_and(|extension| extension == "json"))
        .map(|name| format!("{folder}/{name}"))
        .collect();
    files.sort();
    files
}

/// A file of vectors of one kind.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File<T> {
    pub(crate) about: String,
    pub(crate) source: String,
    pub(crate) vectors: Vec<T>,
}

/// What every vector has.
pub(crate) trait Vector {
    /// Short, and no other of its file has it.
    fn name(&self) -> &str;
    /// Where the rule comes from.
    fn source(&self) -> &str;
    /// Whether only a runner with a whole server can run it.
    fn server_only(&self) -> bool {
        false
    }
}

macro_rules! vectors {
    ($($type:ty),*) => {$(
        impl Vector for $type {
            fn name(&self) -> &str {
                &self.name
            }
            fn source(&self) -> &str {
                &self.source
            }
        }
    )*};
}

vectors!(
    ChannelName,
    TextVector,
    ChannelAuth,
    UserAuth,
    RequestAuth,
    CloseCode,
    Handshake,
    LimitDefault,
    Page,
    ClientFrame,
    ServerFrame
);

/// `app.json`: the credentials of the app under test, and of another on the same server.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Apps {
    pub(crate) about: String,
    pub(crate) app: Credentials,
    pub(crate) other: Credentials,
}

/// An app's id, key and secret.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Credentials {
    pub(crate) id: String,
    pub(crate) key: String,
    pub(crate) secret: String,
}

/// How the app under test differs from the defaults; the keys are those of the configuration's `[[apps]]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AppSettings {
    pub(crate) enabled: Option<bool>,
    pub(crate) client_events: Option<bool>,
    pub(crate) user_authentication: Option<bool>,
    pub(crate) watchlist_events: Option<bool>,
    pub(crate) subscription_count: Option<bool>,
    pub(crate) authorized_connections: Option<bool>,
    pub(crate) allowed_origins: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) limits: BTreeMap<String, u32>,
}

/// A text, written out or described.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(crate) enum Text {
    /// As it stands.
    Plain(String),
    /// The same again and again.
    Repeat {
        /// What.
        #[serde(rename = "$repeat")]
        repeat: String,
        /// How often.
        times: usize,
    },
    /// One after the other.
    Join {
        /// What.
        #[serde(rename = "$join")]
        join: Vec<Text>,
    },
}

impl Text {
    /// The text itself.
    pub(crate) fn text(&self) -> String {
        match self {
            Text::Plain(text) => text.clone(),
            Text::Repeat { repeat, times } => repeat.repeat(*times),
            Text::Join { join } => join.iter().map(Text::text).collect(),
        }
    }
}

/// What is told of a mistake. `kind` is the crate's name for it, `message` what the peer is told.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mistake {
    pub(crate) kind: Option<String>,
    pub(crate) message: String,
}

/// `names.json`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Names {
    pub(crate) about: String,
    pub(crate) source: String,
    pub(crate) channels: Vec<ChannelName>,
    pub(crate) user_ids: Vec<TextVector>,
    pub(crate) socket_ids: Vec<TextVector>,
}

/// A channel's name: what it is, or why it is none.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChannelName {
    pub(crate) name: String,
    pub(crate) source: String,
    pub(crate) text: Text,
    pub(crate) kind: Option<String>,
    #[serde(default)]
    pub(crate) caching: bool,
    pub(crate) invalid: Option<String>,
}

/// A text that is of some form or not.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TextVector {
    pub(crate) name: String,
    pub(crate) source: String,
    pub(crate) text: Text,
    pub(crate) valid: bool,
}

/// `auth.json`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Auth {
    pub(crate) about: String,
    pub(crate) source: String,
    pub(crate) channel: Vec<ChannelAuth>,
    pub(crate) user: Vec<UserAuth>,
    pub(crate) request: Vec<RequestAuth>,
}

/// The `auth` of a subscription. With `error` it is refused, else it is what signing gives.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChannelAuth {
    pub(crate) name: String,
    pub(crate) source: String,
    pub(crate) key: String,
    pub(crate) secret: String,
    pub(crate) socket_id: String,
    pub(crate) channel: String,
    pub(crate) channel_data: Option<String>,
    pub(crate) signed: Option<String>,
    pub(crate) auth: Option<String>,
    pub(crate) error: Option<Mistake>,
}

/// The `auth` of a signin.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserAuth {
    pub(crate) name: String,
    pub(crate) source: String,
    pub(crate) key: String,
    pub(crate) secret: String,
    pub(crate) socket_id: String,
    pub(crate) user_data: String,
    pub(crate) signed: Option<String>,
    pub(crate) auth: String,
    pub(crate) error: Option<Mistake>,
}

/// The signature of an HTTP request; `path` and `query` as on the request line.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RequestAuth {
    pub(crate) name: String,
    pub(crate) source: String,
    pub(crate) key: String,
    pub(crate) secret: String,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    #[serde(default)]
    pub(crate) body: String,
    pub(crate) now_s: u64,
    pub(crate) signed: Option<String>,
    pub(crate) error: Option<Mistake>,
}

/// `close-codes.json`: a reason to close.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CloseCode {
    pub(crate) name: String,
    pub(crate) source: String,
    pub(crate) reason: String,
    pub(crate) key: Option<Text>,
    pub(crate) version: Option<Text>,
    pub(crate) code: u16,
    pub(crate) message: String,
    pub(crate) error_frame_first: bool,
    pub(crate) client_returns: String,
}

/// `handshake.json`: the query of `/app/{key}`, and the code that it is closed with, if any.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Handshake {
    pub(crate) name: String,
    pub(crate) source: String,
    pub(crate) query: String,
    pub(crate) closed: Option<u16>,
}

/// `limits.json`: what holds if nothing is configured; 0 is no limit.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LimitDefault {
    pub(crate) name: String,
    pub(crate) source: String,
    pub(crate) value: u64,
    pub(crate) unit: String,
}

/// `origins.json`: whether a page may connect, or a pattern is none.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Page {
    pub(crate) name: String,
    pub(crate) source: String,
    pub(crate) allowed_origins: Vec<String>,
    pub(crate) origin: Option<String>,
    pub(crate) allowed: Option<bool>,
    #[serde(default)]
    pub(crate) invalid: bool,
}

/// `frames/client.json`: a text, and the frame that it is or what is wrong with it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClientFrame {
    pub(crate) name: String,
    pub(crate) source: String,
    pub(crate) text: Text,
    pub(crate) frame: Option<Value>,
    pub(crate) error: Option<Mistake>,
}

/// `frames/server.json`: a frame, and its text byte by byte.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServerFrame {
    pub(crate) name: String,
    pub(crate) source: String,
    pub(crate) frame: Value,
    pub(crate) text: String,
}

/// `scenarios/*.json`: an exchange over time.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    pub(crate) name: String,
    pub(crate) source: String,
    /// `"server"` if the pure crate cannot tell.
    pub(crate) only: Option<String>,
    #[serde(default)]
    pub(crate) app: AppSettings,
    /// Connected before the first step, each greeted.
    #[serde(default)]
    pub(crate) sockets: Vec<String>,
    pub(crate) steps: Vec<Step>,
}

impl Vector for Scenario {
    fn name(&self) -> &str {
        &self.name
    }
    fn source(&self) -> &str {
        &self.source
    }
    fn server_only(&self) -> bool {
        self.only.is_some()
    }
}

/// `api/*.json`: a request and its reply, perhaps after a few steps of a scenario.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApiVector {
    name: String,
    source: String,
    only: Option<String>,
    #[serde(default)]
    app: AppSettings,
    #[serde(default)]
    sockets: Vec<String>,
    #[serde(default)]
    before: Vec<Step>,
    request: String,
    body: Option<Value>,
    body_text: Option<Text>,
    #[serde(default)]
    sign: Sign,
    status: u16,
    reply: Option<Value>,
    reply_text: Option<String>,
}

impl From<ApiVector> for Scenario {
    /// The request is the last step.
    fn from(vector: ApiVector) -> Scenario {
        let ApiVector {
            name, source, only, app, sockets, before: mut steps, request, body, body_text, ..
        } = vector;
        let ApiVector { sign, status, reply, reply_text, .. } = vector;
        let api = Api { request, body, body_text, sign, status, reply, reply_text };
        steps.push(Step { api: Some(api), ..Step::default() });
        Scenario { name, source, only, app, sockets, steps }
    }
}

/// One step: what is done, by at most one socket or the backend, and all that each socket then receives.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Step {
    /// Seconds since the beginning; absent: no time has passed since the last step.
    pub(crate) at_s: Option<f64>,
    /// A request of the backend.
    pub(crate) api: Option<Api>,
    /// The body of a `POST /apps/{id}/events` that succeeds.
    pub(crate) publish: Option<Value>,
    /// Further sockets come, and what they receive is not looked at.
    pub(crate) crowd: Option<Crowd>,
    /// What each named socket does and receives.
    #[serde(flatten)]
    pub(crate) sockets: BTreeMap<String, SocketStep>,
}

impl Step {
    /// The backend's request, whichever way it is written.
    pub(crate) fn request(&self, app: &Credentials) -> Option<Api> {
        let publish = |body: &Value| Api {
            request: format!("POST /apps/{}/events", app.id),
            body: Some(body.clone()),
            body_text: None,
            sign: Sign::default(),
            status: 200,
            reply: Some(Value::Object(Map::new())),
            reply_text: None,
        };
        self.api.clone().or_else(|| self.publish.as_ref().map(publish))
    }
}

/// So many sockets connect, one after the other, and subscribe to a public channel. They answer PINGs.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Crowd {
    pub(crate) sockets: usize,
    pub(crate) channel: String,
}

/// What one socket does in a step, and what it receives.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of the file")]
pub(crate) struct SocketStep {
    pub(crate) connect: Option<Connect>,
    pub(crate) send: Option<Value>,
    pub(crate) send_text: Option<Text>,
    /// A binary message; only for a runner with a whole server.
    pub(crate) send_binary: Option<Text>,
    /// How often `send` or `send_text` is sent.
    pub(crate) times: Option<usize>,
    #[serde(default)]
    pub(crate) send_ping_frame: bool,
    #[serde(default)]
    pub(crate) send_pong_frame: bool,
    #[serde(default)]
    pub(crate) close: bool,
    pub(crate) gets: Option<Vec<Value>>,
    #[serde(default)]
    pub(crate) gets_ping_frame: bool,
    /// The code of the close frame.
    pub(crate) closed: Option<u16>,
}

impl SocketStep {
    /// Whether the socket does anything.
    pub(crate) fn acts(&self) -> bool {
        self.connect.is_some()
            || self.send.is_some()
            || self.send_text.is_some()
            || self.send_binary.is_some()
            || self.send_ping_frame
            || self.send_pong_frame
            || self.close
    }

    /// The frames that it receives; a socket that connects, and of which nothing else is said, is greeted.
    pub(crate) fn gets(&self) -> Vec<Value> {
        let times = |frame: &Value| {
            let mut frame = frame.clone();
            let times = frame.as_object_mut().and_then(|frame| frame.remove("$times"));
            let times = times.map_or(1, |times| times.as_u64().expect("$times is a number"));
            (0..times).map(move |_| frame.clone())
        };
        match &self.gets {
            Some(gets) => gets.iter().flat_map(times).collect(),
            None if self.connect.is_some() => vec![greeting()],
            None => Vec::new(),
        }
    }
}

/// The first frame of every connection.
pub(crate) fn greeting() -> Value {
    serde_json::json!({
        "event": "pusher:connection_established",
        "data": {"socket_id": "$socket_id", "activity_timeout": 120},
    })
}

/// How a socket connects.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Connect {
    /// Another than the app's.
    pub(crate) key: Option<String>,
    /// Another than that of pusher-js 8.6.
    pub(crate) query: Option<String>,
    /// The `Origin` header; absent: no header.
    pub(crate) origin: Option<String>,
    /// Answers PING frames with PONG frames, and neither is looked at.
    #[serde(default)]
    pub(crate) answers_pings: bool,
}

/// The query of pusher-js 8.6.
pub(crate) const QUERY: &str = "protocol=7&client=js&version=8.6.0&flash=false";

/// A request of the backend and its reply.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Api {
    /// `POST /apps/3/events`: method and target, without the parameters that sign it.
    pub(crate) request: String,
    pub(crate) body: Option<Value>,
    pub(crate) body_text: Option<Text>,
    #[serde(default)]
    pub(crate) sign: Sign,
    #[serde(default = "ok")]
    pub(crate) status: u16,
    pub(crate) reply: Option<Value>,
    pub(crate) reply_text: Option<String>,
}

fn ok() -> u16 {
    200
}

/// What is wrong with a request's signature; nothing, if nothing is said.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sign {
    /// Parameters that are neither signed nor sent.
    #[serde(default)]
    omit: Vec<String>,
    /// Parameters that have another value, signed and sent.
    #[serde(default)]
    set: BTreeMap<String, String>,
    /// How old `auth_timestamp` is.
    #[serde(default)]
    age_s: i64,
    /// Another secret than the app's.
    secret: Option<String>,
    /// Another signature than the right one.
    signature: Option<String>,
    /// Parameters added after signing.
    unsigned_query: Option<String>,
    /// A body put in place of the signed one.
    unsigned_body: Option<String>,
}

/// A request as it goes out.
#[derive(Debug)]
pub(crate) struct HttpRequest {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) body: String,
}

/// Hashes, which this file does not bring along. Both give lower-case hex.
pub(crate) trait Hashes {
    /// HMAC-SHA256.
    fn hmac(&self, secret: &str, text: &str) -> String;
    /// MD5.
    fn md5(&self, text: &str) -> String;
}

/// Fills in what depends on the run: socket ids and signatures.
pub(crate) struct Fill<'a> {
    pub(crate) app: &'a Credentials,
    /// Whose step it is, if a socket's.
    pub(crate) own: Option<&'a str>,
    /// The socket ids by the sockets' names.
    pub(crate) socket_ids: &'a BTreeMap<String, String>,
    pub(crate) hashes: &'a dyn Hashes,
}

impl Fill<'_> {
    /// A frame to be sent, as text.
    pub(crate) fn frame(&self, frame: &Value) -> String {
        let mut frame = self.value(frame);
        if frame.pointer("/data/auth").is_some_and(|auth| auth == "$auth") {
            let data = |key: &str| frame["data"].get(key).and_then(Value::as_str);
            let text = match (data("user_data"), data("channel_data"), data("channel")) {
                (Some(user_data), _, _) => format!("$socket_id::user::{user_data}"),
                (_, Some(channel_data), channel) => {
                    format!("$socket_id:{}:{channel_data}", channel.unwrap_or_default())
                }
                (_, None, channel) => format!("$socket_id:{}", channel.unwrap_or_default()),
            };
            frame["data"]["auth"] = self.auth(&text, &self.app.key, &self.app.secret).into();
        }
        frame.to_string()
    }

    /// A value with everything filled in.
    pub(crate) fn value(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => self.text(text).into(),
            Value::Array(items) => items.iter().map(|item| self.value(item)).collect(),
            Value::Object(object) => self.directive(object).unwrap_or_else(|| {
                object.iter().map(|(key, value)| (self.text(key), self.value(value))).collect()
            }),
            other => other.clone(),
        }
    }

    /// A request to be sent, signed at `now_s`.
    pub(crate) fn request(&self, api: &Api, now_s: u64) -> HttpRequest {
        let request = self.text(&api.request);
        let (method, target) = request.split_once(' ').expect("request is \"METHOD /path\"");
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let body = match (&api.body, &api.body_text) {
            (Some(body), _) => self.value(body).to_string(),
            (None, Some(text)) => text.text(),
            (None, None) => String::new(),
        };
        let own = |pair: &str| {
            pair.split_once('=').map_or((pair.into(), String::new()), |(k, v)| (k.into(), v.into()))
        };
        let mut pairs: Vec<(String, String)> =
            query.split('&').filter(|pair| !pair.is_empty()).map(own).collect();
        let mut add = |key: &str, value: String| {
            if !api.sign.omit.iter().any(|omit| omit == key) {
                pairs.push((key.to_owned(), api.sign.set.get(key).cloned().unwrap_or(value)));
            }
        };
        add("auth_key", self.app.key.clone());
        add("auth_timestamp", now_s.checked_add_signed(-api.sign.age_s).expect("a time").to_string());
        add("auth_version", "1.0".to_owned());
        if !body.is_empty() || api.sign.set.contains_key("body_md5") {
            add("body_md5", self.hashes.md5(&body));
        }
        let query = join(&pairs);
        pairs.sort();
        let secret = api.sign.secret.as_ref().unwrap_or(&self.app.secret);
        let signature = self.hashes.hmac(secret, &format!("{method}\n{path}\n{}", join(&pairs)));
        let mut query = vec![query];
        if !api.sign.omit.iter().any(|omit| omit == "auth_signature") {
            query.push(format!("auth_signature={}", api.sign.signature.as_ref().unwrap_or(&signature)));
        }
        query.extend(api.sign.unsigned_query.clone());
        HttpRequest {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.join("&"),
            body: api.sign.unsigned_body.clone().unwrap_or(body),
        }
    }

    fn text(&self, text: &str) -> String {
        let mut text = text.to_owned();
        if text.contains('$') {
            for (name, socket_id) in self.socket_ids {
                text = text.replace(&format!("${name}.socket_id"), socket_id);
            }
            if let Some(socket_id) = self.own.and_then(|own| self.socket_ids.get(own)) {
                text = text.replace("$socket_id", socket_id);
            }
        }
        text
    }

    fn auth(&self, text: &str, key: &str, secret: &str) -> String {
        format!("{key}:{}", self.hashes.hmac(secret, &self.text(text)))
    }

    fn directive(&self, object: &Map<String, Value>) -> Option<Value> {
        let text = |key: &str| object.get(key).and_then(Value::as_str);
        let times = || object.get("times").and_then(Value::as_u64).expect("times is a number");
        if let Some(repeat) = text("$repeat") {
            let times = usize::try_from(times()).expect("a small number");
            return Some(repeat.repeat(times).into());
        }
        if let Some(prefix) = text("$numbered") {
            return Some((1..=times()).map(|number| Value::from(format!("{prefix}{number}"))).collect());
        }
        if let Some(sign) = text("$sign") {
            let key = text("key").unwrap_or(&self.app.key);
            let secret = text("secret").unwrap_or(&self.app.secret);
            return Some(self.auth(sign, key, secret).into());
        }
        if let Some(json) = object.get("$json") {
            return Some(self.value(json).to_string().into());
        }
        let join = object.get("$join")?.as_array().expect("$join is an array");
        let part = |part: &Value| self.value(part).as_str().expect("$join joins texts").to_owned();
        Some(join.iter().map(part).collect::<String>().into())
    }
}

fn join(pairs: &[(String, String)]) -> String {
    pairs.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join("&")
}

/// Whether a frame's text is the frame expected.
///
/// In every frame but `pusher:error` the data is a string: expected as a string, it is that string; expected as
/// anything else, it is JSON text of it; not mentioned, it is `{}`.
pub(crate) fn frame_matches(expected: &Value, text: &str) -> bool {
    let (Some(expected), Ok(Value::Object(mut got))) = (expected.as_object(), serde_json::from_str(text))
    else {
        return false;
    };
    let mut expected = expected.clone();
    if got.get("event").is_some_and(|event| event != "pusher:error") {
        let Some(Value::String(data)) = got.remove("data") else { return false };
        let as_expected = match expected.remove("data") {
            None => data == "{}",
            Some(Value::String(text)) => text_matches(&text, &data),
            Some(other) => serde_json::from_str(&data).is_ok_and(|data: Value| matches(&other, &data)),
        };
        if !as_expected {
            return false;
        }
    }
    matches(&Value::Object(expected), &Value::Object(got))
}

/// Whether a value is as expected, `$text` in its texts being any text that is not empty.
pub(crate) fn matches(expected: &Value, got: &Value) -> bool {
    match (expected, got) {
        (Value::String(expected), Value::String(got)) => text_matches(expected, got),
        (Value::Array(expected), Value::Array(got)) => {
            expected.len() == got.len()
                && expected.iter().zip(got).all(|(expected, got)| matches(expected, got))
        }
        (Value::Object(expected), Value::Object(got)) => {
            expected.len() == got.len()
                && expected
                    .iter()
                    .all(|(key, expected)| got.get(key).is_some_and(|got| matches(expected, got)))
        }
        (expected, got) => expected == got,
    }
}

/// Whether a text is as expected, each `$text` in it being any text that is not empty.
pub(crate) fn text_matches(expected: &str, got: &str) -> bool {
    let Some((before, after)) = expected.split_once("$text") else { return expected == got };
    let Some(rest) = got.strip_prefix(before) else { return false };
    rest.char_indices()
        .skip(1)
        .map(|(at, _)| at)
        .chain([rest.len()])
        .any(|at| at > 0 && text_matches(after, &rest[at..]))
}
