//! `auth.json`. A real socket has another id than the vector's, so what the vector signs is signed again for that id,
//! and the vector's own mistake is made again.

use std::time::Duration;

use serde_json::{Value, json};
use tidings_protocol::{ChannelName, user::is_user_id};

use super::{
    Outcome,
    app::{CratesHashes, app},
    format::{
        self, AppSettings, Auth, ChannelAuth, Credentials, Hashes as _, HttpRequest, Mistake, RequestAuth,
        UserAuth, text_matches,
    },
    hold,
    scenario::Run,
    spec,
    values::error,
    world::{Idle, WALL, World},
};

#[test]
fn channels() {
    let all = all();
    hold("auth.json channel", &all.channel, &async |vector, idle| channel(vector, &all, idle).await);
}

#[test]
fn users() {
    let all = all();
    hold("auth.json user", &all.user, &async |vector, idle| Some(user(vector, &all, idle).await));
}

#[test]
fn requests() {
    hold("auth.json request", &all().request, &request);
}

fn all() -> Auth {
    format::load(&spec(), "auth.json")
}

/// `None` is a public name, whose signature the server never looks at, or a key that no app of a server can have:
/// in a path it would be another.
async fn channel(vector: &ChannelAuth, all: &Auth, idle: Idle) -> Option<Outcome> {
    let channel = ChannelName::parse(&vector.channel).expect("channel");
    if !channel.needs_auth() || !is_key(&vector.key) {
        return None;
    }
    let resign = Resign { secret: &vector.secret, vectors_id: &vector.socket_id, all };
    Some(run_channel(vector, &resign, idle).await)
}

async fn run_channel(vector: &ChannelAuth, resign: &Resign<'_>, idle: Idle) -> Outcome {
    let (mut run, socket_id) = connected(&vector.key, &vector.secret, idle).await?;
    let ChannelAuth { channel, channel_data, .. } = vector;
    let mut data = json!({"channel": channel});
    let data_part = channel_data.as_ref().map_or_else(String::new, |data| format!(":{data}"));
    let right = |socket_id: &str| format!("{socket_id}:{channel}{data_part}");
    let auth = vector.auth.as_ref().map(|auth| resign.auth(auth, &right, &socket_id));
    if let Some(auth) = &auth {
        data["auth"] = auth.as_str().into();
    }
    if let Some(channel_data) = channel_data {
        data["channel_data"] = channel_data.as_str().into();
    }
    let presence = channel.starts_with("presence-");
    if presence && channel_data.is_none() && vector.error.is_none() {
        // Who joins is the signed-in user.
        let user =
            json!({"event": "pusher:signin", "data": {"auth": "$auth", "user_data": r#"{"id":"ann"}"#}});
        let success = json!({"event": "pusher:signin_success", "data": "$text"});
        run.json(json!([{"a": {"send": user, "gets": [success]}}])).await?;
    }
    let subscription_error = |kind: &str, status: u16, message: &str| {
        let data = json!({"type": kind, "error": message, "status": status});
        json!([{"event": "pusher:subscription_error", "channel": channel, "data": data}, error(message)])
    };
    let gets = match &vector.error {
        Some(mistake) => {
            let message = resign.message(mistake, vector.auth.as_deref(), auth.as_deref(), &socket_id);
            subscription_error("AuthError", 401, &message)
        }
        // The signature is right, but nobody is named.
        None if presence && channel_data.as_deref() == Some("") => {
            subscription_error("InvalidRequest", 400, "$text")
        }
        None => {
            let success = "pusher_internal:subscription_succeeded";
            let members = if presence { "$text" } else { "{}" };
            let mut gets = vec![json!({"event": success, "channel": channel, "data": members})];
            if channel.contains("cache-") {
                gets.push(json!({"event": "pusher:cache_miss", "channel": channel}));
            }
            gets.into()
        }
    };
    run.json(json!([{"a": {"send": {"event": "pusher:subscribe", "data": data}, "gets": gets}}])).await?;
    run.last_look().await
}

async fn user(vector: &UserAuth, all: &Auth, idle: Idle) -> Outcome {
    let resign = Resign { secret: &vector.secret, vectors_id: &vector.socket_id, all };
    let (mut run, socket_id) = connected(&vector.key, &vector.secret, idle).await?;
    let user_data = &vector.user_data;
    let right = |socket_id: &str| format!("{socket_id}::user::{user_data}");
    let auth = resign.auth(&vector.auth, &right, &socket_id);
    let id = serde_json::from_str::<Value>(user_data).expect("user_data is JSON")["id"].clone();
    let gets = match &vector.error {
        Some(mistake) => error(&resign.message(mistake, Some(&vector.auth), Some(&auth), &socket_id)),
        None if id.as_str().is_some_and(is_user_id) => {
            json!({"event": "pusher:signin_success", "data": {"user_data": user_data}})
        }
        // The signature is right, and it is the id that is told.
        None => error("$textid$text"),
    };
    let signin = json!({"event": "pusher:signin", "data": {"auth": auth, "user_data": user_data}});
    run.json(json!([{"a": {"send": signin, "gets": [gets]}}])).await?;
    run.last_look().await
}

/// `None` is a request that is none of the API's: the server knows no such path or method, and does not look at the
/// signature.
async fn request(vector: &RequestAuth, idle: Idle) -> Option<Outcome> {
    let path: Vec<&str> = vector.path.split('/').skip(1).collect();
    let id = match (vector.method.as_str(), &path[..]) {
        (
            "POST",
            ["apps", id, "events" | "batch_events"] | ["apps", id, "users", _, "terminate_connections"],
        )
        | (
            "GET",
            ["apps", id, "channels"] | ["apps", id, "channels", _] | ["apps", id, "channels", _, "users"],
        ) => *id,
        _ => return None,
    };
    let credentials =
        Credentials { id: id.to_owned(), key: vector.key.clone(), secret: vector.secret.clone() };
    let apps = vec![app(&credentials, &AppSettings::default())];
    let world = World::start(apps, Duration::from_secs(vector.now_s), idle).await;
    let request = HttpRequest {
        method: vector.method.clone(),
        path: vector.path.clone(),
        query: vector.query.clone(),
        body: vector.body.clone(),
    };
    let (status, text) = world.request(&request).await;
    let as_expected = match &vector.error {
        // 400: a question that makes no sense, but it was heard.
        None => matches!(status, 200 | 400),
        Some(mistake) => status == 401 && text_matches(&mistake.message, text.trim_end()),
    };
    let expected = || format!("{:?}", vector.error.as_ref().map(|mistake| &mistake.message));
    Some(if as_expected { Ok(()) } else { Err(format!("expected {}\ngot      {status} {text}", expected())) })
}

/// A server with this app, and `a` connected; its socket id.
async fn connected(key: &str, secret: &str, idle: Idle) -> Result<(Run, String), String> {
    let credentials = Credentials { id: "3".to_owned(), key: key.to_owned(), secret: secret.to_owned() };
    let apps = vec![app(&credentials, &AppSettings::default())];
    let mut run = Run { world: World::start(apps, WALL, idle).await, app: credentials };
    run.sockets(&["a".to_owned()]).await?;
    let socket_id = run.world.socket_ids()["a"].clone();
    Ok((run, socket_id))
}

/// What an app's key may be made of; the configuration refuses others.
fn is_key(key: &str) -> bool {
    key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// Signs again for a real socket what a vector has signed for its own.
struct Resign<'a> {
    secret: &'a str,
    vectors_id: &'a str,
    /// Where those who sign the wrong text have it from.
    all: &'a Auth,
}

impl Resign<'_> {
    /// The vector's `auth` for the real socket: right if it was right, and wrong in the same way if it was wrong.
    /// `right` is the text that is to be signed, for a socket id.
    ///
    /// What was signed for another socket or with another secret is so for the real socket too, and stays.
    fn auth(&self, auth: &str, right: &impl Fn(&str) -> String, socket_id: &str) -> String {
        let digest = |text: &str| CratesHashes.hmac(self.secret, text);
        let (old, new) = (digest(&right(self.vectors_id)), digest(&right(socket_id)));
        let upper = (old.to_uppercase(), new.to_uppercase());
        for (old, new) in [(&old, &new), (&upper.0, &upper.1)] {
            if auth.contains(old) {
                return auth.replace(old, new);
            }
        }
        if let Some(key) = auth.strip_suffix(&old[..63]) {
            return format!("{key}{}", &new[..63]);
        }
        let Some((key, theirs)) = auth.split_once(':') else { return auth.to_owned() };
        let other = |a: &str, b: &str| -> Vec<usize> {
            let pairs = a.bytes().zip(b.bytes()).enumerate();
            pairs.filter(|(_, (a, b))| a != b).map(|(at, _)| at).collect()
        };
        if let (64, [at]) = (theirs.len(), &other(theirs, &old)[..]) {
            let mut flipped = new.clone();
            flipped.replace_range(at..=at, if &new[*at..=*at] == "0" { "1" } else { "0" });
            return format!("{key}:{flipped}");
        }
        let found = self.texts(self.vectors_id).into_iter().position(|text| digest(&text) == theirs);
        found.map_or_else(|| auth.to_owned(), |at| format!("{key}:{}", digest(&self.texts(socket_id)[at])))
    }

    /// Texts that might be signed for a socket instead of the right one.
    fn texts(&self, socket_id: &str) -> Vec<String> {
        let Auth { channel, user, .. } = self.all;
        let channels = || channel.iter().map(|vector| vector.channel.as_str()).chain(["private-foobaz"]);
        let data = channel.iter().filter_map(|vector| vector.channel_data.as_deref());
        let data = data.chain(user.iter().map(|vector| vector.user_data.as_str()));
        let of_data = data.flat_map(|data| {
            let of_channels = channels().map(move |channel| format!("{socket_id}:{channel}:{data}"));
            of_channels.chain([format!("{socket_id}::user::{data}"), format!("{socket_id}:{data}")])
        });
        channels().map(|channel| format!("{socket_id}:{channel}")).chain(of_data).collect()
    }

    /// What is told of the mistake, about the real socket and what it has sent.
    fn message(&self, mistake: &Mistake, old: Option<&str>, new: Option<&str>, socket_id: &str) -> String {
        let message = mistake.message.replace(self.vectors_id, socket_id);
        let digest = |auth: Option<&str>| Some(auth?.split_once(':')?.1.to_owned());
        match (digest(old), digest(new)) {
            (Some(old), Some(new)) if !old.is_empty() => message.replace(&old, &new),
            _ => message,
        }
    }
}
