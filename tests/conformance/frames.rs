//! `frames/client.json`: the text is sent, and its error or its effect shows what it was read as.
//!
//! `frames/server.json` is not run: it pins the bytes that one function of the crate makes of a frame, most of them
//! with ids that a server draws itself. That each of these frames is sent, and when, is in the scenarios.

use serde_json::{Value, json};

use super::{
    Outcome,
    app::app,
    format::{AppSettings, ClientFrame, Credentials},
    hold, load,
    scenario::Run,
    values::{error, refused},
    world::{Idle, WALL, World},
};

#[test]
fn client() {
    hold("frames/client.json", &load("frames/client.json"), &client_frame);
}

async fn client_frame(vector: &ClientFrame, idle: Idle) -> Option<Outcome> {
    Some(run(vector, idle).await)
}

async fn run(vector: &ClientFrame, idle: Idle) -> Outcome {
    // Frames of the vectors are signed by "KEY", so that the answer tells how the rest was read. How a text is read
    // is what counts here: it may be as long as it likes.
    let credentials = Credentials { id: "3".to_owned(), key: "KEY".to_owned(), secret: "secret".to_owned() };
    let settings = AppSettings { limits: [("event_bytes".to_owned(), 0)].into(), ..AppSettings::default() };
    let world = World::start(vec![app(&credentials, &settings)], WALL, idle).await;
    let mut run = Run { world, app: credentials };
    run.sockets(&["a".to_owned(), "b".to_owned()]).await?;
    let text = vector.text.text();
    match (&vector.frame, &vector.error) {
        (Some(frame), _) => effect(&mut run, &text, frame).await?,
        (None, Some(mistake)) => {
            run.json(json!([{"a": {"send_text": text, "gets": [error(&mistake.message)]}}])).await?;
        }
        // Whatever it is, the connection is as usable as before.
        (None, None) => {
            run.world.client("a").text(&text).await;
            run.world.settle().await;
            run.world.forget();
        }
    }
    run.json(json!([
        {"a": {"send": {"event": "pusher:ping"}, "gets": [{"event": "pusher:pong"}]}},
    ]))
    .await?;
    run.last_look().await
}

/// `a` sends the text, and what comes of it is what the frame would bring about.
async fn effect(run: &mut Run, text: &str, frame: &Value) -> Outcome {
    let field = |key: &str| frame[key].as_str();
    let send = |gets: Value| json!([{"a": {"send_text": text, "gets": gets}}]);
    match frame["type"].as_str().expect("a frame has a type") {
        "ping" => run.json(send(json!([{"event": "pusher:pong"}]))).await,
        "pong" => run.json(send(json!([]))).await,
        "subscribe" => {
            let channel = field("channel").expect("a subscribe has a channel");
            run.json(send(subscribed(channel, field("auth"), field("channel_data")))).await
        }
        "unsubscribe" => {
            let channel = field("channel").expect("an unsubscribe has a channel");
            let event = json!({"name": "e", "channel": channel, "data": ""});
            run.json(subscribe("a", channel)).await?;
            run.json(send(json!([]))).await?;
            run.json(json!([{"publish": event, "a": {"gets": []}}])).await
        }
        "signin" => {
            let message = match (field("auth"), field("user_data")) {
                (Some(auth), Some(user_data)) => bad_signature(auth, &format!("::user::{user_data}")),
                _ => "$textauth".to_owned(),
            };
            run.json(send(json!([error(&message)]))).await
        }
        "client_event" => client_event(run, text, frame).await,
        other => Err(format!("the vector's frame has the unknown type {other}")),
    }
}

/// What answers a subscribe that is read so: a refusal repeats what was read.
fn subscribed(channel: &str, auth: Option<&str>, channel_data: Option<&str>) -> Value {
    if channel.contains(' ') {
        return refused(channel, 400);
    }
    let private = channel.starts_with("private-") || channel.starts_with("presence-");
    let message = match (private, auth) {
        (true, None | Some("")) => format!("Auth info required to subscribe to {channel}"),
        (true, Some(auth)) => {
            let data = channel_data.map_or_else(String::new, |data| format!(":{data}"));
            bad_signature(auth, &format!(":{channel}{data}"))
        }
        (false, _) if channel.starts_with('#') => "$text".to_owned(),
        (false, _) => return json!([{"event": "pusher_internal:subscription_succeeded", "channel": channel}]),
    };
    let data = json!({"type": "AuthError", "error": message, "status": 401});
    json!([{"event": "pusher:subscription_error", "channel": channel, "data": data}, error(&message)])
}

fn bad_signature(auth: &str, signed: &str) -> String {
    let digest = auth.strip_prefix("KEY:").expect("frames are signed by KEY");
    format!("Invalid signature: Expected HMAC SHA256 hex digest of $socket_id{signed}, but got {digest}")
}

/// Both subscribe, and `b` receives what `a` sends.
async fn client_event(run: &mut Run, text: &str, frame: &Value) -> Outcome {
    let channel = frame["channel"].as_str().expect("a client event has a channel");
    if !channel.contains('-') {
        let message = "Client event rejected - only supported on private and presence channels";
        return run.json(json!([{"a": {"send_text": text, "gets": [error(message)]}}])).await;
    }
    for name in ["b", "a"] {
        run.json(subscribe(name, channel)).await?;
    }
    let mut got = json!({"event": frame["event"], "channel": channel, "data": frame["data"]});
    if channel.starts_with("presence-") {
        got["user_id"] = "a".into();
    }
    run.json(json!([{"a": {"send_text": text}, "b": {"gets": [got]}}])).await
}

/// One socket subscribes as itself; `b`, which comes first, sees `a` come to a presence channel.
fn subscribe(name: &str, channel: &str) -> Value {
    let mut data = json!({"channel": channel, "auth": "$auth"});
    let mut members = json!({});
    let mut step = json!({});
    if channel.starts_with("presence-") {
        data["channel_data"] = json!({"user_id": name}).to_string().into();
        members = "$text".into();
        if name == "a" {
            let member = json!({"user_id": "a", "user_info": {}});
            step["b"] = json!({"gets": [{"event": "pusher_internal:member_added", "channel": channel, "data": member}]});
        }
    }
    let success =
        json!({"event": "pusher_internal:subscription_succeeded", "channel": channel, "data": members});
    step[name] = json!({"send": {"event": "pusher:subscribe", "data": data}, "gets": [success]});
    json!([step])
}
