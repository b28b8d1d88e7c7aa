//! Calls one hot pure function of the protocol so many times: `hot NAME COUNT`. Without arguments it prints the names.
//!
//! `benches/budget` runs it under callgrind with two counts. What differs between the two runs is the calls alone, so
//! what goes before them may be slow, but must not depend on the count. A call's answer is part of it until dropped.

use std::{env, hint::black_box, process::ExitCode, sync::Arc, time::Instant};

use serde_json::json;
use tidings_protocol::{
    App, ChannelName, Connection, SocketId,
    api::Trigger,
    app::{AppSecret, Features, Limits},
    auth::{
        channel,
        request::{self, Query, Request},
    },
    connection::{Output, Timing},
    event::EventData,
    frame::{client::ClientFrame, server::ServerFrame},
    limit::Limit,
    member::Member,
    origin::AllowedOrigins,
    roster::Roster,
    webhook::Webhooks,
};

/// A name, and what runs the function of that name as often as it is told.
type Hot = (&'static str, fn(u32));

const FUNCTIONS: [Hot; 12] = [
    ("parse-subscribe", parse_subscribe),
    ("parse-client-event", parse_client_event),
    ("presence-subscribe", presence_subscribe),
    ("parse-channel-name", parse_channel_name),
    ("verify-channel", verify_channel),
    ("verify-request", verify_request),
    ("parse-trigger-200", |count| parse_trigger(count, 200)),
    ("parse-trigger-10k", |count| parse_trigger(count, 10 * 1024)),
    ("encode-event-200", |count| encode_event(count, 200)),
    ("encode-event-10k", |count| encode_event(count, 10 * 1024)),
    ("roster-json-100", roster_json),
    ("parse-member", parse_member),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let wanted = match arguments[..] {
        [] => {
            for (name, _) in FUNCTIONS {
                println!("{name}");
            }
            return ExitCode::SUCCESS;
        }
        [name, count] => FUNCTIONS.iter().find(|(known, _)| *known == name).zip(count.parse().ok()),
        _ => None,
    };
    let Some(((_, function), count)) = wanted else {
        eprintln!("usage: hot NAME COUNT; without arguments it prints the names");
        return ExitCode::from(2);
    };
    function(count);
    ExitCode::SUCCESS
}

/// Calls `hot` so many times; the compiler knows neither what goes in nor that nobody looks at what comes out.
fn repeat<I: ?Sized, T>(count: u32, input: &I, mut hot: impl FnMut(&I) -> T) {
    for _ in 0..count {
        black_box(hot(black_box(input)));
    }
}

fn parse_subscribe(count: u32) {
    let auth = channel::sign(&app(), SOCKET_ID, PRIVATE, None);
    let frame = json!({"event": "pusher:subscribe", "data": {"auth": auth, "channel": PRIVATE}}).to_string();
    repeat(count, frame.as_str(), |frame| ClientFrame::parse(frame).expect("the frame is right"));
}

fn parse_client_event(count: u32) {
    let frame =
        r#"{"event":"client-typing","channel":"presence-room-42","data":{"user":"ann","typing":true}}"#;
    repeat(count, frame, |frame| ClientFrame::parse(frame).expect("the frame is right"));
}

/// The first subscription of a connection, which gives it up again so that the next call is a first one too.
fn presence_subscribe(count: u32) {
    #[expect(clippy::disallowed_methods, reason = "any instant will do: nothing here depends on time")]
    let now = Instant::now();
    let app = Arc::new(app());
    let auth = channel::sign(&app, SOCKET_ID, PRESENCE, Some(CHANNEL_DATA));
    let data = json!({"auth": auth, "channel_data": CHANNEL_DATA, "channel": PRESENCE});
    let frame = json!({"event": "pusher:subscribe", "data": data}).to_string();
    let mut out: Vec<Output<()>> = Vec::new();
    let mut connection = Connection::open(app, SOCKET_ID, Timing::default(), now, &mut out);
    repeat(count, frame.as_str(), |frame| {
        out.clear();
        connection.handle_text(frame, now, &mut out);
        assert!(matches!(out[..], [Output::Join(_)]), "the subscription is right");
        connection.leave_all()
    });
}

fn parse_channel_name(count: u32) {
    repeat(count, PRIVATE, |name| ChannelName::parse(name).expect("the name is right"));
}

fn verify_channel(count: u32) {
    let app = app();
    let auth = channel::sign(&app, SOCKET_ID, PRIVATE, None);
    let name = ChannelName::parse(PRIVATE).expect("the name is right");
    repeat(count, auth.as_str(), |auth| {
        channel::check(&app, SOCKET_ID, &name, Some(auth), None).expect("the signature is right");
    });
}

/// All that a trigger of 200 bytes goes through before its body is read as JSON; the MD5 of the body is part of it.
fn verify_request(count: u32) {
    const NOW_S: u64 = 1_700_000_000;
    let app = app();
    let (method, path, body) = ("POST", format!("/apps/{}/events", app.id), trigger_body(200));
    let md5 = request::body_md5(&body);
    let query = format!(
        "auth_key={}&auth_timestamp={NOW_S}&auth_version=1.0&body_md5={md5}&auth_signature=",
        app.key
    );
    let signed = request::string_to_sign(method, &path, &Query::parse(&query));
    let query = query + &app.secret.sign(&[signed.as_bytes()]);
    repeat(count, &Request { method, path: &path, query: &query, body: &body }, |request| {
        let query = Query::parse(request.query);
        request::check(&app.key, &app.secret, *request, &query, NOW_S).expect("the signature is right");
    });
}

fn parse_trigger(count: u32, data_len: usize) {
    let limits = Limits::default();
    repeat(count, &trigger_body(data_len)[..], |body| {
        Trigger::parse(body, &limits).expect("the body is right")
    });
}

fn encode_event(count: u32, data_len: usize) {
    let channel = ChannelName::parse(PRIVATE).expect("the name is right");
    let data = EventData::of_text(&event_data(data_len));
    let frame = ServerFrame::Event { event: "price-changed".into(), channel, data, user_id: None };
    repeat(count, &frame, ServerFrame::encode);
}

fn roster_json(count: u32) {
    let mut roster = Roster::default();
    for number in 0..100 {
        let info = json!({"name": format!("User {number}"), "avatar": "/avatars/7.png"}).to_string();
        let member = Member { user_id: format!("user-{number}").into(), info: info.into() };
        roster.join(Some(member), Limit::NONE).expect("there is room");
    }
    repeat(count, &roster, Roster::to_json);
}

fn parse_member(count: u32) {
    let bytes = Limits::default().presence_member_bytes;
    repeat(count, CHANNEL_DATA, |data| Member::parse(data, bytes).expect("the data is right"));
}

const SOCKET_ID: SocketId = SocketId::new(123_456_789, 987_654_321);
const PRIVATE: &str = "private-orders.customer-1234";
const PRESENCE: &str = "presence-room-42";
const CHANNEL_DATA: &str =
    r#"{"user_id":"user-42","user_info":{"name":"Ann Miller","avatar":"/avatars/42.png"}}"#;

fn app() -> App {
    App {
        id: "123456".to_owned(),
        key: "278d425bdf160c739803".to_owned(),
        secret: AppSecret::new("7ad3773142a6692b25b8"),
        enabled: true,
        features: Features::default(),
        allowed_origins: AllowedOrigins::default(),
        limits: Limits::default(),
        webhooks: Webhooks::default(),
    }
}

/// The body that a server library sends: the data is JSON, as a JSON string.
fn trigger_body(data_len: usize) -> Vec<u8> {
    json!({"name": "price-changed", "channels": [PRIVATE], "data": event_data(data_len)}).to_string().into()
}

/// JSON text of exactly so many bytes, of which a quarter are quotes.
fn event_data(len: usize) -> String {
    const ITEM: &str = r#"{"id":"A-1001","name":"espresso","price":"2.50"},"#;
    let rest = len - r#"[""]"#.len();
    let items = ITEM.repeat(rest / ITEM.len());
    format!(r#"[{items}"{}"]"#, "x".repeat(rest % ITEM.len()))
}
