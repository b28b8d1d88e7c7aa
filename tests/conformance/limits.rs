//! `limits.json`: what is just allowed where nothing is configured, and what is just not.

use serde_json::{Value, json};

use super::{Outcome, apps, format::LimitDefault, hold, load, scenario, values::error, world::Idle};

#[test]
fn limits() {
    hold("limits.json", &load("limits.json"), &limit);
}

/// `None` is a limit that is none: no number of connections or requests shows that there is no greatest.
async fn limit(vector: &LimitDefault, idle: Idle) -> Option<Outcome> {
    let value = vector.value;
    let length = usize::try_from(value).expect("a small number");
    let (settings, sockets, steps) = match vector.name.as_str() {
        "connections" | "backend_events_per_second" | "reads_per_second" | "channels_per_connection"
            if value == 0 =>
        {
            return None;
        }
        "client_events_per_second" => (json!({}), &["a", "b"][..], client_events(value)),
        "event_bytes" => {
            let body = |length| json!({"name": "e", "channel": "room", "data": "x".repeat(length)});
            (json!({}), &[][..], post("events", &body(length), &body(length + 1), 413))
        }
        "channels_per_event" => {
            let body = |length| json!({"name": "e", "channels": numbered("c", length), "data": ""});
            (json!({}), &[][..], post("events", &body(length), &body(length + 1), 400))
        }
        "events_per_batch" => {
            let event = json!({"name": "e", "channel": "room", "data": ""});
            let body = |length| json!({"batch": vec![event.clone(); length]});
            (json!({}), &[][..], post("batch_events", &body(length), &body(length + 1), 400))
        }
        "channel_name" => {
            let body = |length| json!({"name": "e", "channel": "c".repeat(length), "data": ""});
            (json!({}), &[][..], post("events", &body(length), &body(length + 1), 400))
        }
        "event_name" => {
            let body = |length| json!({"name": "e".repeat(length), "channel": "room", "data": ""});
            (json!({}), &[][..], post("events", &body(length), &body(length + 1), 400))
        }
        "presence_members" => (json!({}), &[][..], presence_members(length)),
        "presence_member_bytes" => {
            // The info is a JSON string, whose quotes count.
            let member = |length: usize| json!({"user_id": "ann", "user_info": "x".repeat(length - 2)});
            (json!({}), &["a"][..], member_of(&member(length), &member(length + 1), ("TooLarge", 413)))
        }
        "presence_user_id" => {
            let member = |length| json!({"user_id": "u".repeat(length)});
            (json!({}), &["a"][..], member_of(&member(length), &member(length + 1), ("InvalidRequest", 400)))
        }
        "user_id" => {
            let user = |length| json!({"id": "u".repeat(length)});
            let longer = signin(&user(length + 1), &json!([error("$text")]));
            (json!({}), &["a"][..], json!([longer, signed_in(&user(length))]))
        }
        "watchlist" => (json!({"watchlist_events": true}), &["a"][..], watchlist(length)),
        "cache_ttl" => (json!({}), &[][..], cache_ttl(value)),
        "subscription_count_every_change_up_to" => {
            (json!({"subscription_count": true}), &["a", "b"][..], every_change_up_to(value))
        }
        "subscription_count_pause" => {
            (json!({"subscription_count": true}), &["a", "b"][..], counts_after(value))
        }
        "activity_timeout" => (
            json!({}),
            &["a"][..],
            json!([
                {"at_s": value - 1, "a": {"gets": []}},
                {"at_s": value, "a": {"gets_ping_frame": true}},
            ]),
        ),
        "pong_timeout" => (
            json!({}),
            &["a"][..],
            json!([
                {"at_s": 120, "a": {"gets_ping_frame": true}},
                {"at_s": 120 + value - 1, "a": {"gets": []}},
                closed_at(120 + value, 4201),
            ]),
        ),
        "authorization_timeout" => (
            json!({"authorized_connections": true}),
            &["a"][..],
            json!([
                {"at_s": value - 1, "a": {"gets": []}},
                closed_at(value, 4009),
            ]),
        ),
        "auth_timestamp_window" => (json!({}), &[][..], timestamps(value)),
        other => return Some(Err(format!("no way to show the limit {other}"))),
    };
    Some(scenario::run(&scenario::of(settings, sockets, steps), &apps(), idle).await)
}

/// The first body is taken, the second is not.
fn post(resource: &str, taken: &Value, refused: &Value, status: u16) -> Value {
    let request = format!("POST /apps/3/{resource}");
    json!([
        {"api": {"request": request, "body": taken, "reply": {}}},
        {"api": {"request": request, "body": refused, "status": status}},
    ])
}

fn numbered(prefix: &str, count: usize) -> Vec<String> {
    (1..=count).map(|number| format!("{prefix}{number}")).collect()
}

fn subscribe(name: &str, channel: &str, gets: &Value) -> Value {
    let send = json!({"event": "pusher:subscribe", "data": {"channel": channel, "auth": "$auth"}});
    let mut step = json!({});
    step[name] = json!({"send": send, "gets": gets});
    step
}

fn succeeded(channel: &str) -> Value {
    json!({"event": "pusher_internal:subscription_succeeded", "channel": channel})
}

fn client_events(value: u64) -> Value {
    let send = json!({"event": "client-e", "channel": "private-room", "data": ""});
    let over = json!({"event": "pusher:error", "data": {"code": 4301, "message": "$text"}});
    json!([
        subscribe("a", "private-room", &json!([succeeded("private-room")])),
        subscribe("b", "private-room", &json!([succeeded("private-room")])),
        {"a": {"send": send, "times": value},
         "b": {"gets": [{"event": "client-e", "channel": "private-room", "data": "", "$times": value}]}},
        {"a": {"send": send, "gets": [over]}},
    ])
}

/// `a` joins a presence channel as the first member, after it was refused as the second.
fn member_of(taken: &Value, refused: &Value, (kind, status): (&str, u16)) -> Value {
    let error_data = json!({"type": kind, "error": "$text", "status": status});
    json!([
        join(
            "a",
            refused,
            &json!([
                {"event": "pusher:subscription_error", "channel": "presence-room", "data": error_data},
                error("$text"),
            ])
        ),
        join("a", taken, &json!([members()])),
    ])
}

fn join(name: &str, member: &Value, gets: &Value) -> Value {
    let data = json!({"channel": "presence-room", "auth": "$auth", "channel_data": member.to_string()});
    let mut step = json!({});
    step[name] = json!({"send": {"event": "pusher:subscribe", "data": data}, "gets": gets});
    step
}

fn members() -> Value {
    json!({"event": "pusher_internal:subscription_succeeded", "channel": "presence-room", "data": "$text"})
}

fn presence_members(count: usize) -> Value {
    let names = numbered("m", count + 1);
    let mut steps = Vec::new();
    for (there, name) in names.iter().enumerate() {
        steps.push(json!({name: {"connect": {}}}));
        let member = json!({"user_id": name});
        if there == count {
            let data = json!({"type": "LimitReached", "error": "$text", "status": 403});
            let refusal =
                json!({"event": "pusher:subscription_error", "channel": "presence-room", "data": data});
            steps.push(join(name, &member, &json!([refusal, error("$text")])));
            break;
        }
        let mut step = join(name, &member, &json!([members()]));
        let added = json!({"user_id": name, "user_info": {}});
        for other in &names[..there] {
            step[other] = json!({"gets": [
                {"event": "pusher_internal:member_added", "channel": "presence-room", "data": added},
            ]});
        }
        steps.push(step);
    }
    steps.into()
}

fn signin(user: &Value, gets: &Value) -> Value {
    let data = json!({"auth": "$auth", "user_data": user.to_string()});
    json!({"a": {"send": {"event": "pusher:signin", "data": data}, "gets": gets}})
}

fn signed_in(user: &Value) -> Value {
    signin(user, &json!([success()]))
}

fn success() -> Value {
    json!({"event": "pusher:signin_success", "data": "$text"})
}

/// As many as may be are watched; of one more it is told that it is not.
fn watchlist(count: usize) -> Value {
    let watched = |count| {
        json!({"event": "pusher_internal:watchlist_events", "data": {"events": [
            {"name": "offline", "user_ids": numbered("u", count)},
        ]}})
    };
    let user = |count| json!({"id": "ann", "watchlist": numbered("u", count)});
    let data = json!({"auth": "$auth", "user_data": user(count + 1).to_string()});
    let cut = json!({"event": "pusher:error", "data": {"code": 4302, "message": "$text"}});
    json!([
        signin(&user(count), &json!([success(), watched(count)])),
        {"b": {"connect": {}}},
        {"b": {"send": {"event": "pusher:signin", "data": data}, "gets": [success(), cut, watched(count)]}},
    ])
}

fn cache_ttl(value: u64) -> Value {
    let cache = |at_s: u64, cache: Value| {
        let reply = json!({"occupied": false, "cache": cache});
        json!({"at_s": at_s, "api": {"request": "GET /apps/3/channels/cache-room?info=cache", "reply": reply}})
    };
    json!([
        {"publish": {"name": "e", "channel": "cache-room", "data": "1"}},
        cache(0, json!({"data": "1", "ttl": value})),
        cache(value - 1, json!({"data": "1", "ttl": 1})),
        cache(value, Value::Null),
    ])
}

fn count(count: u64) -> Value {
    json!({"event": "pusher_internal:subscription_count", "channel": "room", "data": {"subscription_count": count}})
}

/// The last change that is told at once, and the first that is not.
fn every_change_up_to(value: u64) -> Value {
    json!([
        {"crowd": {"sockets": value - 1, "channel": "room"}},
        subscribe("a", "room", &json!([succeeded("room"), count(value)])),
        subscribe("b", "room", &json!([succeeded("room")])),
    ])
}

fn counts_after(pause: u64) -> Value {
    let told = json!({"gets": [count(102)]});
    json!([
        {"crowd": {"sockets": 100, "channel": "room"}},
        // The pause begins with what is told at once.
        {"at_s": 60, "a": subscribe("a", "room", &json!([succeeded("room"), count(101)]))["a"]},
        subscribe("b", "room", &json!([succeeded("room")])),
        {"at_s": 60 + pause - 1, "a": {"gets": []}},
        {"at_s": 60 + pause, "a": told, "b": told},
    ])
}

fn closed_at(at_s: u64, code: u16) -> Value {
    json!({"at_s": at_s, "a": {
        "gets": [{"event": "pusher:error", "data": {"code": code, "message": "$text"}}],
        "closed": code,
    }})
}

/// Just within the window and just without, on both sides.
fn timestamps(window: u64) -> Value {
    let window = i64::try_from(window).expect("a small number");
    let aged = |age_s: i64, status: u16| json!({"api": {"request": "GET /apps/3/channels", "sign": {"age_s": age_s}, "status": status}});
    json!([aged(window, 200), aged(window + 1, 401), aged(-window, 200), aged(-window - 1, 401)])
}
