//! `names.json`, `handshake.json`, `origins.json`: each vector written as a scenario.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{
    Outcome, apps,
    format::{self, ChannelName, Handshake, Page, Text, TextVector},
    hold, load, scenario, spec,
    world::Idle,
};

#[test]
fn channel_names() {
    hold("names.json channels", &names().channels, &channel_name);
}

#[test]
fn user_ids() {
    hold("names.json user_ids", &names().user_ids, &user_id);
}

#[test]
fn socket_ids() {
    hold("names.json socket_ids", &names().socket_ids, &socket_id);
}

#[test]
fn handshakes() {
    hold("handshake.json", &load("handshake.json"), &handshake);
}

#[test]
fn origins() {
    hold("origins.json", &load("origins.json"), &origin);
}

fn names() -> format::Names {
    format::load(&spec(), "names.json")
}

/// A message of a client may have so many bytes where events have their default size.
const MESSAGE_MAX: usize = 128 * 1024;
/// A request's head has room for a name that is not longer.
const NAME_IN_PATH_MAX: usize = 1024;

/// Runs steps written as in the files, with one socket, `a`.
async fn run(app: Value, steps: Value, idle: Idle) -> Option<Outcome> {
    Some(scenario::run(&scenario::of(app, &["a"], steps), &apps(), idle).await)
}

/// What answers `a` when it subscribes without being allowed to, or to what is no channel.
pub(crate) fn refused(channel: &str, status: u16) -> Value {
    let kind = if status == 401 { "AuthError" } else { "InvalidRequest" };
    json!([
        {"event": "pusher:subscription_error", "channel": channel,
         "data": {"type": kind, "error": "$text", "status": status}},
        error("$text"),
    ])
}

/// What tells `a` a mistake.
pub(crate) fn error(message: &str) -> Value {
    json!({"event": "pusher:error", "data": {"code": null, "message": message}})
}

/// A name is what subscribing, asking for the channel and publishing to it show.
async fn channel_name(vector: &ChannelName, idle: Idle) -> Option<Outcome> {
    let name = vector.text.text();
    let mut steps = ask(&name, vector.invalid.is_none());
    match vector.kind.as_deref() {
        Some(kind) => steps.extend(subscribe_to(&name, kind, vector.caching)),
        // A name may be no longer than a message, whose end is not waited for.
        None if name.len() > MESSAGE_MAX => steps.push(json!(
            {"a": {"send": {"event": "pusher:subscribe", "data": {"channel": name}}, "closed": 1009}}
        )),
        None => steps.push(json!(
            {"a": {"send": {"event": "pusher:subscribe", "data": {"channel": name, "auth": "$auth"}},
                   "gets": refused(&name, 400)}}
        )),
    }
    run(json!({}), steps.into(), idle).await
}

/// Requests that name the channel.
fn ask(name: &str, valid: bool) -> Vec<Value> {
    let status = if valid { 200 } else { 400 };
    let body = json!({"name": "e", "channel": name, "data": ""});
    let mut steps = vec![json!({"api": {"request": "POST /apps/3/events", "body": body, "status": status}})];
    if name.len() <= NAME_IN_PATH_MAX {
        let request = format!("GET /apps/3/channels/{}", percent_encoded(name));
        let occupied = valid.then(|| json!({"occupied": false}));
        steps.push(json!({"api": {"request": request, "status": status, "reply": occupied}}));
    }
    steps
}

/// A text as a part of a path.
pub(crate) fn percent_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("a string takes it");
        }
    }
    encoded
}

/// What tells the kinds apart: which need a signature, which have members, which publish alone, which keep an event
/// (the one that was just published).
fn subscribe_to(name: &str, kind: &str, caching: bool) -> Vec<Value> {
    let data = json!({"channel": name});
    let mut signed = json!({"channel": name, "auth": "$auth"});
    let mut members = json!({});
    let refused =
        json!({"a": {"send": {"event": "pusher:subscribe", "data": data}, "gets": refused(name, 401)}});
    let mut steps = match kind {
        "public" => {
            signed = data;
            vec![]
        }
        "private" | "encrypted" => {
            let status = if kind == "private" { 200 } else { 400 };
            let body = json!({"name": "e", "channels": [name, "other"], "data": ""});
            let beside = json!({"api": {"request": "POST /apps/3/events", "body": body, "status": status}});
            vec![refused, beside]
        }
        "presence" => {
            signed["channel_data"] = r#"{"user_id":"ann"}"#.into();
            members = json!({"presence": {"count": 1, "ids": ["ann"], "hash": {"ann": {}}}});
            vec![refused]
        }
        "user" => {
            signed = data;
            let id = name.strip_prefix("#server-to-user-").expect("a user's channel names the user");
            let user = json!({"$json": {"id": id}});
            let signin = json!({"event": "pusher:signin", "data": {"auth": "$auth", "user_data": user}});
            let success = json!({"event": "pusher:signin_success", "data": {"user_data": user}});
            vec![refused, json!({"a": {"send": signin, "gets": [success]}})]
        }
        other => panic!("there is no kind {other}"),
    };
    let mut gets =
        vec![json!({"event": "pusher_internal:subscription_succeeded", "channel": name, "data": members})];
    if caching {
        gets.push(json!({"event": "e", "channel": name, "data": ""}));
    }
    steps.push(json!({"a": {"send": {"event": "pusher:subscribe", "data": signed}, "gets": gets}}));
    steps
}

/// An id is what signing in with it shows.
async fn user_id(vector: &TextVector, idle: Idle) -> Option<Outcome> {
    let user = json!({"$json": {"id": vector.text.text()}});
    let signin = json!({"event": "pusher:signin", "data": {"auth": "$auth", "user_data": user}});
    let answer = if vector.valid {
        json!({"event": "pusher:signin_success", "data": {"user_data": user}})
    } else {
        error("$text")
    };
    run(json!({}), json!([{"a": {"send": signin, "gets": [answer]}}]), idle).await
}

/// An id is what excluding it from an event shows.
async fn socket_id(vector: &TextVector, idle: Idle) -> Option<Outcome> {
    let body = json!({"name": "e", "channel": "room", "data": "", "socket_id": Text::text(&vector.text)});
    let status = if vector.valid { 200 } else { 400 };
    let step = json!({"api": {"request": "POST /apps/3/events", "body": body, "status": status}});
    run(json!({}), json!([step]), idle).await
}

async fn handshake(vector: &Handshake, idle: Idle) -> Option<Outcome> {
    connect(json!({}), json!({"query": vector.query}), vector.closed, idle).await
}

/// `None` is a pattern that is none: the configuration is refused, and there is no server.
async fn origin(vector: &Page, idle: Idle) -> Option<Outcome> {
    let closed = if vector.allowed? { None } else { Some(4009) };
    let connect_as = json!({"origin": vector.origin});
    connect(json!({"allowed_origins": vector.allowed_origins}), connect_as, closed, idle).await
}

/// `b` connects, and is greeted or refused.
async fn connect(app: Value, connect: Value, closed: Option<u16>, idle: Idle) -> Option<Outcome> {
    let mut step = json!({"b": {"connect": connect}});
    if let Some(code) = closed {
        step["b"]["gets"] = json!([{"event": "pusher:error", "data": {"code": code, "message": "$text"}}]);
        step["b"]["closed"] = code.into();
    }
    // Without `a`: it would be refused as well.
    Some(scenario::run(&scenario::of(app, &[], json!([step])), &apps(), idle).await)
}
