//! What is accepted reaches every subscriber once and in order, and nobody waits for a slow one.

use std::{sync::Arc, time::Duration};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tidings_protocol::limit::Limit;
use tidings_server::Clock;
use tokio::{io::AsyncWriteExt as _, net::TcpStream, time::timeout};
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{Client, DEADLINE, TestServer, app, data, next_frame, read_response};

/// Publishers at once, subscribers over several slices of a channel, some coming and going: each sees a stretch of
/// one and the same sequence, from the first event after its subscription on.
#[tokio::test(flavor = "multi_thread")]
async fn all_see_one_order_without_gaps() {
    const EVENTS: usize = 300;
    let server = Arc::new(TestServer::start().await);
    let mut steady = Vec::new();
    for _ in 0..300 {
        let mut client = server.connect().await;
        client.subscribe(&server, "room", None).await;
        steady.push(client);
    }
    let publishers: Vec<_> = (0..4)
        .map(|publisher| {
            let server = server.clone();
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(server.address).await.expect("connect");
                let mut buffer = Vec::new();
                for n in 0..EVENTS {
                    let body = json!({"name": "e", "channel": "room", "data": format!("{publisher}:{n}")});
                    let request = server.signed("POST", "/apps/1/events", "", &body.to_string(), "");
                    stream.write_all(request.as_bytes()).await.expect("write");
                    assert_eq!(read_response(&mut stream, &mut buffer).await.0, 200);
                }
            })
        })
        .collect();
    let churning = {
        let server = server.clone();
        tokio::spawn(async move {
            let mut stretches = Vec::new();
            for _ in 0..50 {
                let mut client = server.connect().await;
                client.subscribe(&server, "room", None).await;
                let mut stretch = Vec::new();
                for _ in 0..5 {
                    match timeout(Duration::from_millis(500), next_frame(&mut client.ws)).await {
                        Ok(frame) => stretch.push(frame.expect("an event")["data"].clone()),
                        Err(_) => break,
                    }
                }
                client.send(&json!({"event": "pusher:unsubscribe", "data": {"channel": "room"}})).await;
                stretches.push(stretch);
            }
            stretches
        })
    };
    let reading: Vec<_> = steady
        .into_iter()
        .map(|mut client| {
            tokio::spawn(async move {
                let mut seen: Vec<Value> = Vec::new();
                while seen.len() < 4 * EVENTS {
                    seen.push(client.frame().await.expect("an event")["data"].clone());
                }
                // Nothing was delivered twice: the next is the last.
                client.expect("end", "room").await;
                seen
            })
        })
        .collect();
    for publisher in publishers {
        publisher.await.expect("publishing");
    }
    let stretches = churning.await.expect("churning");
    server.trigger("room", "end", "").await;
    let mut order: Option<Vec<Value>> = None;
    for reader in reading {
        let seen = reader.await.expect("reading");
        assert_eq!(order.get_or_insert_with(|| seen.clone()), &seen);
    }
    let order = order.expect("subscribers");
    for publisher in 0..4 {
        let own: Vec<_> = order
            .iter()
            .filter(|data| data.as_str().expect("text").starts_with(&format!("{publisher}:")))
            .collect();
        let expected: Vec<Value> = (0..EVENTS).map(|n| format!("{publisher}:{n}").into()).collect();
        assert_eq!(own, expected.iter().collect::<Vec<_>>());
    }
    assert!(stretches.iter().any(|stretch| stretch.len() == 5), "nobody who came later saw anything");
    for stretch in stretches {
        let Some(first) = stretch.first() else { continue };
        let at = order.iter().position(|data| data == first).expect("an event of the sequence");
        assert_eq!(stretch, order[at..at + stretch.len()]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cached_event_comes_once_to_those_who_join_while_it_is_published() {
    let server = Arc::new(TestServer::start().await);
    for round in 0..20 {
        let channel = format!("cache-{round}");
        let joining: Vec<_> = (0..10)
            .map(|_| {
                let (server, channel) = (server.clone(), channel.clone());
                tokio::spawn(async move {
                    let mut client = server.connect().await;
                    client.subscribe(&server, &channel, None).await;
                    let mut seen = Vec::new();
                    while seen.last() != Some(&json!("last")) {
                        let frame = client.frame().await.expect("a frame");
                        if frame["event"] == "e" {
                            seen.push(frame["data"].clone());
                        }
                    }
                    client.expect_nothing().await;
                    seen
                })
            })
            .collect();
        for n in 0..5 {
            server.trigger(&channel, "e", &n.to_string()).await;
        }
        server.trigger(&channel, "e", "last").await;
        let all: Vec<Value> =
            (0..5).map(|n| n.to_string()).chain(["last".to_owned()]).map(Value::from).collect();
        for joined in joining {
            let seen = joined.await.expect("joining");
            assert!(all.ends_with(&seen), "{seen:?}");
        }
    }
}

/// A client that reads nothing is closed with 4100 and counted; what the others get is not held up.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_consumer_is_closed_and_nobody_else_disturbed() {
    let mut app = app();
    app.limits.event_bytes = Limit::new(100_000);
    let server = TestServer::start_with(app, Clock::system()).await;
    let mut slow = server.connect().await;
    slow.subscribe(&server, "room", None).await;
    let mut quick = server.connect().await;
    quick.subscribe(&server, "room", None).await;
    let payload = "x".repeat(90_000);
    let mut published = 0;
    while server.apps.metrics().slow_consumers_closed() == 0 {
        published += 1;
        assert!(published < 1000, "a client that reads nothing is still connected after {published} events");
        server.trigger("room", "e", &payload).await;
        assert_eq!(quick.expect("e", "room").await.as_str().map(str::len), Some(90_000));
    }
    // Whatever it got before is whole; then it is told why.
    let mut events = 0;
    let end = loop {
        match slow.frame().await {
            Ok(frame) if frame["event"] == "e" => events += 1,
            Ok(frame) => {
                assert_eq!((&frame["event"], &frame["data"]["code"]), (&json!("pusher:error"), &json!(4100)));
            }
            Err(end) => break end,
        }
    };
    assert_eq!(end.0.map(|(code, _)| code), Some(4100));
    assert!(events < published);
    quick.expect_nothing().await;
}

/// Who joins and leaves without end is held back like a publisher: what that makes for others stays bounded, and
/// publishing goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_joins_and_leaves_holds_nobody_up() {
    let mut app = app();
    app.features.subscription_count = true;
    let server = TestServer::start_with(app, Clock::system()).await;
    let mut idle = Vec::new();
    for _ in 0..90 {
        let mut client = server.connect().await;
        client.subscribe(&server, "busy", None).await;
        idle.push(client);
    }
    let mut storming = server.connect().await;
    let toggle = [
        json!({"event": "pusher:subscribe", "data": {"channel": "busy"}}),
        json!({"event": "pusher:unsubscribe", "data": {"channel": "busy"}}),
    ];
    let storm = tokio::spawn(async move {
        loop {
            for frame in &toggle {
                if timeout(DEADLINE, storming.ws.send(Message::text(frame.to_string()))).await.is_err() {
                    return;
                }
            }
        }
    });
    for _ in 0..50 {
        timeout(DEADLINE, server.trigger("other", "e", "x")).await.expect("publishing goes on");
    }
    storm.abort();
}

/// Replies and events that wait for one socket keep their order: success before any event.
#[tokio::test(flavor = "multi_thread")]
async fn success_comes_before_any_event() {
    let server = Arc::new(TestServer::start().await);
    let busy = {
        let server = server.clone();
        tokio::spawn(async move {
            loop {
                server.trigger("busy", "e", "x").await;
            }
        })
    };
    for _ in 0..100 {
        let mut client = server.connect().await;
        client.send_subscribe(&server, "busy", None).await;
        client.expect("pusher_internal:subscription_succeeded", "busy").await;
        client.expect("e", "busy").await;
    }
    busy.abort();
}

/// A socket that vanishes without a word leaves nothing behind: no ghost member, no occupied channel.
#[tokio::test(flavor = "multi_thread")]
async fn who_vanishes_is_gone_everywhere() {
    let server = TestServer::start().await;
    let mut stays = server.connect().await;
    stays.subscribe(&server, "presence-room", Some(r#"{"user_id":"stays"}"#)).await;
    let mut goes = server.connect().await;
    goes.subscribe(&server, "presence-room", Some(r#"{"user_id":"goes"}"#)).await;
    goes.subscribe(&server, "own", None).await;
    assert_eq!(stays.expect("pusher_internal:member_added", "presence-room").await["user_id"], "goes");
    let stream = goes.ws.into_inner();
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("linger");
    drop(stream);
    let left = stays.expect("pusher_internal:member_removed", "presence-room").await;
    assert_eq!(left, json!({"user_id": "goes"}));
    server.vacated("own").await;
    let (_, users) = server.get("/apps/1/channels/presence-room/users", "").await;
    assert_eq!(users, r#"{"users":[{"id":"stays"}]}"#);
}

/// Joins and leaves at once: every member's view is what the channel says in the end.
#[tokio::test(flavor = "multi_thread")]
async fn presence_views_are_exact_under_churn() {
    let mut app = app();
    app.limits.presence_members = Limit::NONE;
    let server = Arc::new(TestServer::start_with(app, Clock::system()).await);
    let members: Vec<_> = (0..60)
        .map(|n| {
            let server = server.clone();
            tokio::spawn(async move {
                let mut client = server.connect().await;
                let member = json!({"user_id": format!("u{n}")}).to_string();
                let mut view = Vec::new();
                // Every second one leaves and comes back before it stays.
                for round in 0..=n % 2 {
                    let joined = client.subscribe(&server, "presence-room", Some(&member)).await;
                    view = serde_json::from_value::<Vec<String>>(joined["presence"]["ids"].clone())
                        .expect("ids");
                    if round < n % 2 {
                        client
                            .send(
                                &json!({"event": "pusher:unsubscribe", "data": {"channel": "presence-room"}}),
                            )
                            .await;
                        drain_events(&mut client).await;
                    }
                }
                (client, view)
            })
        })
        .collect();
    let mut views = Vec::new();
    for member in members {
        views.push(member.await.expect("a member"));
    }
    server.trigger("presence-room", "end", "").await;
    let mut everybody: Vec<String> = (0..60).map(|n| format!("u{n}")).collect();
    everybody.sort();
    for (mut client, mut view) in views {
        loop {
            let frame = client.frame().await.expect("a frame");
            let user = || {
                serde_json::from_str::<Value>(frame["data"].as_str().expect("text")).expect("JSON")["user_id"]
                    .as_str()
                    .expect("an id")
                    .to_owned()
            };
            match frame["event"].as_str().expect("an event") {
                "pusher_internal:member_added" => {
                    assert!(!view.contains(&user()), "added twice: {}", user());
                    view.push(user());
                }
                "pusher_internal:member_removed" => {
                    let at = view.iter().position(|id| *id == user()).expect("removed who was there");
                    view.remove(at);
                }
                event => {
                    assert_eq!(event, "end");
                    break;
                }
            }
        }
        view.sort();
        assert_eq!(view, everybody);
    }
}

/// Reads on until a ping is answered: what comes before belongs to a subscription that has ended.
async fn drain_events(client: &mut Client) {
    client.send(&json!({"event": "pusher:ping", "data": {}})).await;
    timeout(DEADLINE, async {
        while let Some(Ok(message)) = client.ws.next().await {
            if message.to_text().is_ok_and(|text| text.contains("pusher:pong")) {
                return;
            }
        }
        panic!("the connection ended");
    })
    .await
    .expect("a pong in time");
}

/// Whom many watch does not write to them all alone: the workers do, and none is left out or told in the wrong order.
#[tokio::test(flavor = "multi_thread")]
async fn all_who_watch_a_user_are_told_in_order() {
    const ROUNDS: usize = 3;
    let mut watched = app();
    watched.features.watchlist_events = true;
    let server = TestServer::start_with(watched, Clock::system()).await;
    let mut watchers = Vec::new();
    for n in 0..300 {
        let mut client = server.connect().await;
        client.sign_in(&server, &json!({"id": n.to_string(), "watchlist": ["star"]})).await;
        assert_eq!(watchlist_event(&mut client).await, json!([{"name": "offline", "user_ids": ["star"]}]));
        watchers.push(client);
    }
    let (first, others) = watchers.split_first_mut().expect("there are some");
    for _ in 0..ROUNDS {
        let mut star = server.connect().await;
        star.sign_in(&server, &json!({"id": "star"})).await;
        drop(star);
        come_and_gone(first).await;
    }
    for watcher in others {
        for _ in 0..ROUNDS {
            come_and_gone(watcher).await;
        }
        watcher.expect_nothing().await;
    }
}

async fn come_and_gone(watcher: &mut Client) {
    for name in ["online", "offline"] {
        assert_eq!(watchlist_event(watcher).await, json!([{"name": name, "user_ids": ["star"]}]));
    }
}

async fn watchlist_event(client: &mut Client) -> Value {
    let frame = client.frame().await.expect("a frame");
    assert_eq!(frame["event"], "pusher_internal:watchlist_events", "{frame}");
    data(&frame)["events"].clone()
}
