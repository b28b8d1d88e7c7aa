//! `close-codes.json`: the server is brought to each. What a client does next is the clients' affair
//! (`tests/clients`), and of a close frame there is nothing else to see.

use std::time::Duration;

use serde_json::{Value, json};
use socket2::SockRef;
use tokio_tungstenite::tungstenite::protocol::frame::{
    Frame,
    coding::{Data, OpCode},
};

use super::{
    Outcome,
    app::app,
    apps,
    client::Client,
    format::{AppSettings, CloseCode, Connect, Text, text_matches},
    hold, load,
    scenario::Run,
    values::percent_encoded,
    world::{Idle, WALL, World},
};

#[test]
fn close_codes() {
    hold("close-codes.json", &load("close-codes.json"), &close_code);
}

/// What a slow consumer subscribes to.
const ROOM: &str = "room";

async fn close_code(vector: &CloseCode, idle: Idle) -> Option<Outcome> {
    Some(run(vector, idle).await)
}

async fn run(vector: &CloseCode, idle: Idle) -> Outcome {
    let reason = vector.reason.as_str();
    let settings: AppSettings = serde_json::from_value(match reason {
        "app_disabled" => json!({"enabled": false}),
        "over_connections" => json!({"limits": {"connections": 1}}),
        "origin_not_allowed" => json!({"allowed_origins": ["https://a.example"]}),
        "not_authorized_in_time" => json!({"authorized_connections": true}),
        "slow_consumer" => json!({"limits": {"event_bytes": 100_000}}),
        _ => json!({}),
    })
    .expect("settings of an app");
    let credentials = apps().app;
    let world = World::start(vec![app(&credentials, &settings)], WALL, idle).await;
    let mut run = Run { world, app: credentials };
    let client = bring_to(&mut run, vector).await?;
    check(vector, &client)
}

/// Has the server close `a` for this reason.
async fn bring_to(run: &mut Run, vector: &CloseCode) -> Result<Client, String> {
    let text = |text: &Option<Text>| text.as_ref().map(Text::text).unwrap_or_default();
    match vector.reason.as_str() {
        "unknown_app" => {
            // A client percent-encodes what a path has no room for; the server takes the key as it came.
            let key = percent_encoded(&text(&vector.key));
            run.world.connect("a", &Connect { key: Some(key), ..Connect::default() }).await;
        }
        "unsupported_protocol" => {
            let query = format!("protocol={}", text(&vector.version));
            run.world.connect("a", &Connect { query: Some(query), ..Connect::default() }).await;
        }
        "path_not_found" => {
            let client = run.world.open("/nowhere", None, false).await?;
            run.world.clients.insert("a".to_owned(), client);
        }
        "origin_not_allowed" => {
            let origin = Some("https://b.example".to_owned());
            run.world.connect("a", &Connect { origin, ..Connect::default() }).await;
        }
        "app_disabled" => run.world.connect("a", &Connect::default()).await,
        "over_connections" => {
            run.sockets(&["b".to_owned()]).await?;
            run.world.connect("a", &Connect::default()).await;
        }
        "slow_consumer" => return slow_consumer(run).await,
        "restart" => {
            run.sockets(&["a".to_owned()]).await?;
            run.world.stop("a").await;
            // Nothing settles without a server.
            return Ok(run.world.clients.remove("a").expect("a has connected"));
        }
        other => {
            run.sockets(&["a".to_owned()]).await?;
            bring_connected_to(run, other).await?;
        }
    }
    run.world.settle().await;
    Ok(run.world.clients.remove("a").expect("a has connected"))
}

/// Has the server close `a`, which is connected.
async fn bring_connected_to(run: &mut Run, reason: &str) -> Outcome {
    let client = run.world.client("a");
    match reason {
        // A continuation of nothing.
        "protocol_error" => client.write(Frame::message("tail", OpCode::Data(Data::Continue), true)).await,
        "binary" => client.write(Frame::message(vec![1, 2, 3], OpCode::Data(Data::Binary), true)).await,
        "not_utf8" => client.write(Frame::message(vec![0xff, 0xfe], OpCode::Data(Data::Text), true)).await,
        "too_big" => client.text(&"x".repeat(200 * 1024)).await,
        "not_authorized_in_time" => run.world.advance_to(Duration::from_secs(30)).await,
        "pong_timeout" => run.world.advance_to(Duration::from_secs(150)).await,
        "terminated" => {
            let user = json!({"$json": {"id": "ann"}});
            let signin = json!({"event": "pusher:signin", "data": {"auth": "$auth", "user_data": user}});
            let success = json!({"event": "pusher:signin_success", "data": "$text"});
            run.json(json!([{"a": {"send": signin, "gets": [success]}}])).await?;
            let request = "POST /apps/3/users/ann/terminate_connections";
            // What `a` receives is looked at by the caller.
            let api = serde_json::from_value(json!({"request": request})).expect("a request");
            let wrong = run.request(&api).await;
            if !wrong.is_empty() {
                return Err(wrong);
            }
        }
        other => return Err(format!("no way to have a connection closed for {other}")),
    }
    Ok(())
}

/// A client that subscribes and reads nothing more, while events are published.
async fn slow_consumer(run: &mut Run) -> Result<Client, String> {
    let mut client = run.world.open(&format!("/app/{}", run.app.key), None, false).await?;
    SockRef::from(client.stream()).set_recv_buffer_size(16 * 1024).map_err(|error| error.to_string())?;
    run.world.settle().await;
    client.read();
    client.frames.clear();
    client.text(&json!({"event": "pusher:subscribe", "data": {"channel": ROOM}}).to_string()).await;
    run.world.settle().await;
    let event = json!({"name": "e", "channel": ROOM, "data": "x".repeat(90_000)});
    let mut published = 0;
    while run.world.apps().metrics().slow_consumers_closed() == 0 {
        published += 1;
        if published > 500 {
            return Err("still connected after 500 events of 90,000 bytes".to_owned());
        }
        run.json(json!([{"publish": event}])).await?;
    }
    while client.is_open() {
        run.world.settle().await;
        client.read();
    }
    Ok(client)
}

/// Besides what it subscribed to, the client has received what the vector says and nothing else.
fn check(vector: &CloseCode, client: &Client) -> Outcome {
    let CloseCode { code, message, error_frame_first, .. } = vector;
    let frames = client.frames.iter().map(|frame| serde_json::from_str(frame).unwrap_or_default());
    let frames: Vec<Value> = frames.filter(|frame: &Value| frame["channel"] != ROOM).collect();
    let told = client.closed.as_ref().filter(|(got, reason)| got == code && text_matches(message, reason));
    let expected: Vec<Value> = if *error_frame_first {
        let reason = told.map(|(_, reason)| reason);
        vec![json!({"event": "pusher:error", "data": {"code": code, "message": reason}})]
    } else {
        vec![]
    };
    if told.is_some() && frames == expected {
        return Ok(());
    }
    let (closed, frames) = (&client.closed, Value::from(frames));
    Err(format!(
        "expected {code} {message:?}, an error frame first: {error_frame_first}\ngot      {closed:?} after {frames}"
    ))
}
