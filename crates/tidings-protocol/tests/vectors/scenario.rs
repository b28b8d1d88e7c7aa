//! Runs scenarios, and API vectors as scenarios of one more step.

use std::{fmt::Write as _, time::Duration};

use serde_json::Value;
use tidings_protocol::{
    App,
    app::{AppSecret, Features, Limits},
    auth::request::body_md5,
    limit::Limit,
    origin::AllowedOrigins,
    webhook::Webhooks,
};

use crate::{
    format::{self, Api, AppSettings, Apps, Connect, Credentials, Fill, Hashes, Scenario, SocketStep, Step},
    http,
    world::World,
};

/// Runs it; the error says which step went otherwise, and how.
pub(crate) fn run(scenario: &Scenario, apps: &Apps) -> Result<(), String> {
    let mut world = World::new(app(&apps.app, &scenario.app), app(&apps.other, &AppSettings::default()));
    for name in &scenario.sockets {
        let connect = Connect::default();
        let step = SocketStep { connect: Some(connect), ..SocketStep::default() };
        let step = Step { sockets: [(name.clone(), step)].into(), ..Step::default() };
        run_step(&mut world, &step, &apps.app).map_err(|wrong| format!("at the beginning:\n{wrong}"))?;
    }
    for (index, step) in scenario.steps.iter().enumerate() {
        run_step(&mut world, step, &apps.app)
            .map_err(|wrong| format!("step {} of {}:\n{wrong}", index + 1, scenario.steps.len()))?;
    }
    Ok(())
}

/// The app of these credentials and settings.
pub(crate) fn app(credentials: &Credentials, settings: &AppSettings) -> App {
    let features = Features::default();
    let origins = settings.allowed_origins.iter().flatten().map(String::as_str);
    App {
        id: credentials.id.clone(),
        key: credentials.key.clone(),
        secret: AppSecret::new(credentials.secret.as_str()),
        enabled: settings.enabled.unwrap_or(true),
        features: Features {
            client_events: settings.client_events.unwrap_or(features.client_events),
            user_authentication: settings.user_authentication.unwrap_or(features.user_authentication),
            watchlist_events: settings.watchlist_events.unwrap_or(features.watchlist_events),
            subscription_count: settings.subscription_count.unwrap_or(features.subscription_count),
            authorized_connections: settings
                .authorized_connections
                .unwrap_or(features.authorized_connections),
        },
        allowed_origins: AllowedOrigins::parse(origins).expect("allowed_origins of a scenario are patterns"),
        limits: limits(settings),
        webhooks: Webhooks::default(),
    }
}

fn limits(settings: &AppSettings) -> Limits {
    let mut limits = Limits::default();
    for (name, max) in &settings.limits {
        *limit_mut(&mut limits, name).unwrap_or_else(|| panic!("{name} is no limit")) = Limit::new(*max);
    }
    limits
}

/// The limit of this name.
pub(crate) fn limit_mut<'a>(limits: &'a mut Limits, name: &str) -> Option<&'a mut Limit> {
    Some(match name {
        "connections" => &mut limits.connections,
        "backend_events_per_second" => &mut limits.backend_events_per_second,
        "client_events_per_second" => &mut limits.client_events_per_second,
        "reads_per_second" => &mut limits.reads_per_second,
        "event_bytes" => &mut limits.event_bytes,
        "channels_per_event" => &mut limits.channels_per_event,
        "events_per_batch" => &mut limits.events_per_batch,
        "presence_members" => &mut limits.presence_members,
        "presence_member_bytes" => &mut limits.presence_member_bytes,
        "channels_per_connection" => &mut limits.channels_per_connection,
        _ => return None,
    })
}

struct CratesHashes;

impl Hashes for CratesHashes {
    fn hmac(&self, secret: &str, text: &str) -> String {
        AppSecret::new(secret).sign(&[text.as_bytes()])
    }

    fn md5(&self, text: &str) -> String {
        body_md5(text.as_bytes())
    }
}

fn run_step(world: &mut World, step: &Step, app: &Credentials) -> Result<(), String> {
    let mut wrong = String::new();
    if let Some(at_s) = step.at_s {
        world.advance_to(Duration::from_secs_f64(at_s));
    }
    let actors: Vec<_> = step.sockets.iter().filter(|(_, step)| step.acts()).collect();
    let request = step.request(app);
    let doers = actors.len() + usize::from(request.is_some()) + usize::from(step.crowd.is_some());
    assert!(doers <= 1, "one thing is done in a step");
    if let Some(request) = &request {
        wrong += &run_request(world, request, app);
    }
    if let Some(crowd) = &step.crowd {
        for number in 0..crowd.sockets {
            let name = format!("{CROWD}{number}");
            world.connect(&name, &Connect { answers_pings: true, ..Connect::default() });
            let subscribe =
                serde_json::json!({"event": "pusher:subscribe", "data": {"channel": crowd.channel}});
            world.text(&name, &subscribe.to_string());
        }
    }
    if let Some((name, step)) = actors.first() {
        act(world, name, step, app);
    }
    for name in step.sockets.keys() {
        assert!(world.sockets.contains_key(name), "{name} has not connected");
    }
    wrong += &compare(world, step, app);
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}

/// How the names of a crowd's sockets begin.
const CROWD: &str = "crowd ";

fn act(world: &mut World, name: &str, step: &SocketStep, app: &Credentials) {
    if let Some(connect) = &step.connect {
        world.connect(name, connect);
    }
    let socket_ids = world.socket_ids();
    let fill = Fill { app, own: Some(name), socket_ids: &socket_ids, hashes: &CratesHashes };
    let text = match (&step.send, &step.send_text) {
        (Some(frame), _) => Some(fill.frame(frame)),
        (None, text) => text.as_ref().map(format::Text::text),
    };
    for text in text.iter().cycle().take(text.iter().len() * step.times.unwrap_or(1)) {
        world.text(name, text);
    }
    assert!(step.send_binary.is_none(), "binary messages are for the runner with a whole server");
    if step.send_ping_frame || step.send_pong_frame {
        world.control_frame(name);
    }
    if step.close {
        world.close(name);
    }
}

fn run_request(world: &mut World, api: &Api, app: &Credentials) -> String {
    let socket_ids = world.socket_ids();
    let fill = Fill { app, own: None, socket_ids: &socket_ids, hashes: &CratesHashes };
    let request = fill.request(api, world.now_s());
    let (status, reply) = http::handle(world, &request);
    let as_expected = status == api.status
        && match (&reply, &api.reply, &api.reply_text) {
            (Ok(got), Some(expected), None) => format::matches(&fill.value(expected), got),
            (Err(got), None, Some(expected)) => format::text_matches(expected.trim_end(), got.trim_end()),
            (_, None, None) => true,
            _ => false,
        };
    if as_expected {
        return String::new();
    }
    let expected = match (&api.reply, &api.reply_text) {
        (Some(reply), _) => reply.to_string(),
        (None, Some(text)) => text.clone(),
        (None, None) => String::new(),
    };
    let got = reply.map_or_else(|text| text, |reply| reply.to_string());
    format!("  {}\n    expected {} {expected}\n    got      {status} {got}\n", api.request, api.status)
}

/// Compares what every socket has received with what the step says, and forgets it.
fn compare(world: &mut World, step: &Step, app: &Credentials) -> String {
    let socket_ids = world.socket_ids();
    let silent = SocketStep::default();
    let mut wrong = String::new();
    for (name, socket) in &mut world.sockets {
        let frames = std::mem::take(&mut socket.frames);
        let pings = std::mem::take(&mut socket.pings);
        let closed = socket.closed.take();
        if name.starts_with(CROWD) {
            continue;
        }
        let step = step.sockets.get(name).unwrap_or(&silent);
        let fill = Fill { app, own: Some(name), socket_ids: &socket_ids, hashes: &CratesHashes };
        let expected: Vec<Value> = step.gets().iter().map(|frame| fill.value(frame)).collect();
        let same = expected.len() == frames.len()
            && expected.iter().zip(&frames).all(|(expected, text)| format::frame_matches(expected, text));
        if !same {
            let expected: Vec<String> = expected.iter().map(Value::to_string).collect();
            write!(wrong, "  {name}\n    expected {}\n", list(&expected)).expect("a string takes it");
            writeln!(wrong, "    got      {}", list(&frames)).expect("a string takes it");
        }
        if pings != usize::from(step.gets_ping_frame) {
            writeln!(wrong, "  {name}: got {pings} PING frames").expect("a string takes it");
        }
        let code = closed.as_ref().map(|(code, _)| *code);
        if code != step.closed {
            writeln!(wrong, "  {name}: expected close {:?}, got {closed:?}", step.closed)
                .expect("a string takes it");
        }
        let last = frames.last().and_then(|text| serde_json::from_str::<Value>(text).ok());
        if let (Some((_, reason)), Some(last)) = (&closed, last)
            && last["data"]["message"] != **reason
        {
            writeln!(wrong, "  {name}: the reason is {reason:?}, the last frame {last}")
                .expect("a string takes it");
        }
    }
    wrong
}

fn list(frames: &[String]) -> String {
    let shown: Vec<String> = frames.iter().map(|frame| frame.chars().take(600).collect()).collect();
    if shown.is_empty() { "nothing".to_owned() } else { shown.join("\n             ") }
}
