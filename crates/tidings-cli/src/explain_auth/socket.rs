//! The signatures that clients show on a socket: of a channel and of a user.

use tidings_protocol::{App, SocketId, auth::request::percent_decode};

use super::{
    Explanation, TakenOf,
    findings::Finding,
    guess::{self, Attempt},
    json_text,
};

const CHANNEL_DATA: &str = "channel_data";
const USER_DATA: &str = "user_data";

/// What a backend has signed for a connection.
#[derive(Clone, Copy, Debug)]
pub(super) enum Signed<'a> {
    /// That it may subscribe.
    Channel { channel: &'a str, channel_data: Option<&'a str> },
    /// Who it is.
    User { user_data: &'a str },
}

impl Signed<'_> {
    /// Explains the `auth` that was given for it.
    pub(super) fn explain(self, socket_id: &str, auth: Option<&str>, app: &App, apps: &[App]) -> Explanation {
        let signed = self.text(socket_id);
        let expected = format!("{}:{}", app.key, app.secret.sign(&[signed.as_bytes()]));
        let mut findings = Vec::new();
        if socket_id.parse::<SocketId>().is_err() {
            findings.push(Finding::SocketId(socket_id.to_owned()));
        }
        findings.extend(self.check(socket_id, auth, app, apps));
        let taken_of = if self.lacks_data() { TakenOf::SignedInUser } else { TakenOf::Anybody };
        Explanation { signed, expected, given: auth.map(str::to_owned), findings, taken_of }
    }

    fn check(self, socket_id: &str, auth: Option<&str>, app: &App, apps: &[App]) -> Vec<Finding> {
        let Some(auth) = auth else { return vec![Finding::NoSignature] };
        let Some((key, signature)) = auth.split_once(':') else { return vec![Finding::NoColon] };
        let mut findings = Vec::new();
        if key != app.key {
            let (app, key, given) = (app.id.clone(), app.key.clone(), key.to_owned());
            findings.push(Finding::OtherKey { given, app, key });
        }
        findings.extend(guess::check(signature, &self.text(socket_id), self.attempts(socket_id), app, apps));
        if findings.contains(&Finding::Unexplained) && self.lacks_data() {
            findings.push(Finding::NoChannelData);
        }
        findings
    }

    fn text(self, socket_id: &str) -> String {
        match self {
            Signed::Channel { channel, channel_data: None } => format!("{socket_id}:{channel}"),
            Signed::Channel { channel, channel_data: Some(data) } => format!("{socket_id}:{channel}:{data}"),
            Signed::User { user_data } => format!("{socket_id}::user::{user_data}"),
        }
    }

    fn lacks_data(self) -> bool {
        match self {
            Signed::Channel { channel, channel_data } => {
                channel.starts_with("presence-") && channel_data.is_none()
            }
            Signed::User { .. } => false,
        }
    }

    fn attempts(self, socket_id: &str) -> Vec<Attempt> {
        match self {
            Signed::Channel { channel, channel_data } => of_channel(socket_id, channel, channel_data),
            Signed::User { user_data } => of_user(socket_id, user_data),
        }
    }
}

fn of_channel(socket_id: &str, channel: &str, data: Option<&str>) -> Vec<Attempt> {
    let text =
        |channel: &str, data: Option<&str>| Signed::Channel { channel, channel_data: data }.text(socket_id);
    let mut attempts = Vec::new();
    if let Some(data) = data {
        attempts.push((text(channel, None), Finding::Without(CHANNEL_DATA)));
        let other = json_text::variants(data).into_iter();
        attempts.extend(other.map(|other| (text(channel, Some(&other)), Finding::OtherJson(CHANNEL_DATA))));
        attempts.push((text(channel, Some(&twice(data))), Finding::JsonTwice(CHANNEL_DATA)));
        attempts.push((Signed::User { user_data: data }.text(socket_id), Finding::AsUser));
    }
    let rest = data.map(|data| format!(":{data}")).unwrap_or_default();
    attempts.push((format!("{channel}:{socket_id}{rest}"), Finding::Swapped));
    attempts.push((format!("{channel}{rest}"), Finding::Without("the socket id")));
    let others = other_channels(channel).into_iter();
    attempts.extend(others.map(|other| (text(&other, data), Finding::OtherChannel(other))));
    attempts
}

fn of_user(socket_id: &str, user_data: &str) -> Vec<Attempt> {
    let text = |user_data: &str| Signed::User { user_data }.text(socket_id);
    let mut attempts = vec![
        (format!("{socket_id}:{user_data}"), Finding::AsChannel),
        (format!("{socket_id}:user:{user_data}"), Finding::AsChannel),
        (format!("::user::{user_data}"), Finding::Without("the socket id")),
        (text(&twice(user_data)), Finding::JsonTwice(USER_DATA)),
    ];
    let other = json_text::variants(user_data).into_iter();
    attempts.extend(other.map(|other| (text(&other), Finding::OtherJson(USER_DATA))));
    attempts
}

fn twice(json: &str) -> String {
    serde_json::Value::from(json).to_string()
}

/// Names that are easily taken for this one: without its prefix, with another, in another encoding or case.
fn other_channels(channel: &str) -> Vec<String> {
    const PREFIXES: [&str; 4] = ["private-encrypted-", "private-", "presence-", ""];
    let bare = PREFIXES.iter().find_map(|prefix| channel.strip_prefix(prefix)).unwrap_or(channel);
    let mut names: Vec<String> = PREFIXES.iter().map(|prefix| format!("{prefix}{bare}")).collect();
    names.push(percent_decode(channel).into_owned());
    names.push(percent_encode(channel));
    names.push(channel.to_lowercase());
    names
}

fn percent_encode(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
