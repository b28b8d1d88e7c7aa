//! The vectors without time: names, signatures, codes, frames.

use serde_json::{Value, json};
use tidings_protocol::{
    App, ChannelName, Close, SocketId,
    app::{AppSecret, Limits},
    auth::{
        self, AuthError,
        request::{Query, Request, RequestAuthError},
    },
    cache::CACHE_TTL,
    channel::{Caching, ChannelKind, ChannelNameError},
    close::Return,
    connection::Timing,
    event::{EVENT_NAME_MAX, EventData},
    frame::{
        client::{ClientFrame, FrameError},
        server::{ServerFrame, SubscriptionErrorKind},
    },
    handshake, member,
    origin::AllowedOrigins,
    roster::CountPace,
    user,
};

use crate::{
    format::{self, AppSettings, Credentials, Mistake},
    scenario,
};

/// What a vector has shown: the error tells expected and got.
pub(crate) type Outcome = Result<(), String>;

pub(crate) fn same<T: PartialEq + std::fmt::Debug>(expected: &T, got: &T) -> Outcome {
    if expected == got { Ok(()) } else { Err(format!("expected {expected:?}\ngot      {got:?}")) }
}

fn mistake(expected: &Mistake, kind: &str, message: &str) -> Outcome {
    if expected.kind.as_ref().is_none_or(|expected| expected == kind)
        && format::text_matches(&expected.message, message)
    {
        return Ok(());
    }
    Err(format!("expected {expected:?}\ngot      {kind}: {message}"))
}

pub(crate) fn channel_name(vector: &format::ChannelName) -> Outcome {
    let got = ChannelName::parse(&vector.text.text()).map_err(|error| match error {
        ChannelNameError::Empty => "empty",
        ChannelNameError::TooLong { .. } => "too_long",
        ChannelNameError::Character { .. } => "character",
    });
    let got = got.map(|name| {
        let kind = match name.kind() {
            ChannelKind::Public => "public",
            ChannelKind::Private => "private",
            ChannelKind::Encrypted => "encrypted",
            ChannelKind::Presence => "presence",
            ChannelKind::User => "user",
        };
        (kind, name.caching() == Caching::LastEvent)
    });
    match (&vector.kind, &vector.invalid) {
        (Some(kind), None) => same(&Ok((kind.as_str(), vector.caching)), &got),
        (None, Some(why)) => same(&Err(why.as_str()), &got),
        _ => Err("a name has a kind or is invalid".to_owned()),
    }
}

pub(crate) fn user_id(vector: &format::TextVector) -> Outcome {
    same(&vector.valid, &user::is_user_id(&vector.text.text()))
}

pub(crate) fn socket_id(vector: &format::TextVector) -> Outcome {
    same(&vector.valid, &vector.text.text().parse::<SocketId>().is_ok())
}

pub(crate) fn app(key: &str, secret: &str) -> App {
    let credentials = Credentials { id: "1".to_owned(), key: key.to_owned(), secret: secret.to_owned() };
    scenario::app(&credentials, &AppSettings::default())
}

fn checked(expected: Option<&Mistake>, got: Result<(), AuthError>) -> Outcome {
    match (expected, got) {
        (None, Ok(())) => Ok(()),
        (Some(expected), Err(error)) => {
            let kind = match error {
                AuthError::Missing { .. } => "missing",
                AuthError::Format { .. } | AuthError::SigninFormat => "format",
                AuthError::UnknownKey { .. } => "unknown_key",
                AuthError::BadSignature { .. } => "bad_signature",
            };
            mistake(expected, kind, &error.to_string())
        }
        (expected, got) => Err(format!("expected {expected:?}\ngot      {got:?}")),
    }
}

pub(crate) fn channel_auth(vector: &format::ChannelAuth) -> Outcome {
    let app = app(&vector.key, &vector.secret);
    let socket_id: SocketId = vector.socket_id.parse().expect("socket_id");
    let data = vector.channel_data.as_deref();
    let channel = ChannelName::parse(&vector.channel).expect("channel");
    if let Some(signed) = &vector.signed {
        let auth = format!("{}:{}", app.key, app.secret.sign(&[signed.as_bytes()]));
        same(&vector.auth, &Some(auth))?;
    }
    if vector.error.is_none() {
        same(&vector.auth, &Some(auth::channel::sign(&app, socket_id, &vector.channel, data)))?;
    }
    let got = auth::channel::check(&app, socket_id, &channel, vector.auth.as_deref(), data);
    checked(vector.error.as_ref(), got)
}

pub(crate) fn user_auth(vector: &format::UserAuth) -> Outcome {
    let app = app(&vector.key, &vector.secret);
    let socket_id: SocketId = vector.socket_id.parse().expect("socket_id");
    if let Some(signed) = &vector.signed {
        let auth = format!("{}:{}", app.key, app.secret.sign(&[signed.as_bytes()]));
        same(&vector.auth, &auth)?;
    }
    if vector.error.is_none() {
        same(&vector.auth, &auth::user::sign(&app, socket_id, &vector.user_data))?;
    }
    checked(vector.error.as_ref(), auth::user::check(&app, socket_id, &vector.auth, &vector.user_data))
}

pub(crate) fn request_auth(vector: &format::RequestAuth) -> Outcome {
    let format::RequestAuth { key, secret, method, path, query, body, now_s, .. } = vector;
    let secret = AppSecret::new(secret.as_str());
    let request = Request { method, path, query, body: body.as_bytes() };
    let query = Query::parse(query);
    if let Some(signed) = &vector.signed {
        let as_received = auth::request::string_to_sign(method, path, &query);
        let decoded = auth::request::string_to_sign(method, &auth::request::percent_decode(path), &query);
        if *signed != as_received && *signed != decoded {
            return Err(format!("signed\nexpected {signed:?}\ngot      {as_received:?}"));
        }
    }
    match (&vector.error, auth::request::check(key, &secret, request, &query, *now_s)) {
        (None, Ok(())) => Ok(()),
        (Some(expected), Err(error)) => {
            let kind = match error {
                RequestAuthError::Missing(_) => "missing",
                RequestAuthError::UnknownKey => "unknown_key",
                RequestAuthError::TimestampRequired => "timestamp_required",
                RequestAuthError::TimestampExpired { .. } => "timestamp_expired",
                RequestAuthError::VersionRequired => "version_required",
                RequestAuthError::VersionNotSupported => "version_not_supported",
                RequestAuthError::BodyMd5(_) => "body_md5",
                RequestAuthError::BadSignature { .. } => "bad_signature",
            };
            mistake(expected, kind, &error.to_string())
        }
        (expected, got) => Err(format!("expected {expected:?}\ngot      {got:?}")),
    }
}

pub(crate) fn close_code(vector: &format::CloseCode) -> Outcome {
    let text = |text: &Option<format::Text>| text.as_ref().map(format::Text::text).unwrap_or_default();
    let close = match vector.reason.as_str() {
        "protocol_error" => Close::ProtocolError,
        "binary" => Close::Binary,
        "not_utf8" => Close::NotUtf8,
        "too_big" => Close::TooBig,
        "unknown_app" => Close::UnknownApp { key: text(&vector.key) },
        "app_disabled" => Close::AppDisabled,
        "over_connections" => Close::OverConnections,
        "path_not_found" => Close::PathNotFound,
        "unsupported_protocol" => Close::UnsupportedProtocol { version: text(&vector.version) },
        "origin_not_allowed" => Close::OriginNotAllowed,
        "not_authorized_in_time" => Close::NotAuthorizedInTime,
        "terminated" => Close::Terminated,
        "slow_consumer" => Close::SlowConsumer,
        "restart" => Close::Restart,
        "pong_timeout" => Close::PongTimeout,
        other => return Err(format!("the crate has no reason {other}")),
    };
    let returns = match close.client_returns() {
        Return::Never => "never",
        Return::Later => "later",
        Return::Now => "now",
    };
    same(
        &(vector.code, vector.error_frame_first, vector.client_returns.as_str()),
        &(close.code(), close.has_error_frame(), returns),
    )?;
    let message = close.message();
    if !format::text_matches(&vector.message, &message) {
        return Err(format!("expected {:?}\ngot      {message:?}", vector.message));
    }
    if message.len() > 123 {
        return Err(format!(
            "a close frame's reason has room for 123 bytes, but this has {}: {message}",
            message.len()
        ));
    }
    match ServerFrame::before_close(&close).map(|frame| frame.encode()) {
        None => same(&vector.error_frame_first, &false),
        Some(text) => {
            let frame: Value = serde_json::from_str(&text).expect("a frame is JSON");
            same(&json!({"event": "pusher:error", "data": {"code": vector.code, "message": message}}), &frame)
        }
    }
}

pub(crate) fn handshake(vector: &format::Handshake) -> Outcome {
    same(&vector.closed, &handshake::check_protocol(&vector.query).err().map(|close| close.code()))
}

pub(crate) fn limit(vector: &format::LimitDefault) -> Outcome {
    let timing = Timing::default();
    let number = |number: usize| u64::try_from(number).expect("a small number");
    let got = match vector.name.as_str() {
        "activity_timeout" => timing.activity_timeout.as_secs(),
        "pong_timeout" => timing.pong_timeout.as_secs(),
        "authorization_timeout" => timing.authorization_timeout.as_secs(),
        "cache_ttl" => CACHE_TTL.as_secs(),
        "auth_timestamp_window" => auth::request::TIMESTAMP_WINDOW_S,
        "channel_name" => number(ChannelName::MAX_LEN),
        "event_name" => number(EVENT_NAME_MAX),
        "presence_user_id" => number(member::USER_ID_MAX),
        "user_id" => number(user::USER_ID_MAX),
        "watchlist" => number(user::WATCHLIST_MAX),
        "subscription_count_every_change_up_to" => number(CountPace::EVERY_CHANGE_UP_TO),
        "subscription_count_pause" => CountPace::PAUSE.as_secs(),
        name => match scenario::limit_mut(&mut Limits::default(), name) {
            Some(limit) => limit.max().unwrap_or(0).into(),
            None => return Err(format!("the crate has no limit {name}")),
        },
    };
    same(&vector.value, &got).map_err(|wrong| format!("{wrong} ({})", vector.unit))
}

pub(crate) fn origin(vector: &format::Page) -> Outcome {
    let allowed = AllowedOrigins::parse(vector.allowed_origins.iter().map(String::as_str));
    same(&vector.invalid, &allowed.is_err())?;
    let got = allowed.ok().map(|allowed| allowed.allow(vector.origin.as_deref()));
    same(&vector.allowed, &got)
}

pub(crate) fn client_frame(vector: &format::ClientFrame) -> Outcome {
    match (&vector.frame, &vector.error, ClientFrame::parse(&vector.text.text())) {
        (Some(expected), None, Ok(frame)) => {
            let got = client_frame_json(&frame);
            if fill(expected) == got { Ok(()) } else { Err(format!("expected {expected}\ngot      {got}")) }
        }
        (None, Some(expected), Err(error)) => {
            let kind = match error {
                FrameError::Shape => "shape",
                FrameError::UnknownEvent { .. } => "unknown_event",
                FrameError::Data { .. } => "data",
                FrameError::ClientEvent => "client_event",
            };
            mistake(expected, kind, &error.to_string())
        }
        (None, None, _) => Ok(()),
        (Some(expected), _, got) => Err(format!("expected {expected}\ngot      {got:?}")),
        (None, expected, got) => Err(format!("expected {expected:?}\ngot      {got:?}")),
    }
}

/// A frame as the vectors write it.
fn client_frame_json(frame: &ClientFrame) -> Value {
    match frame {
        ClientFrame::Ping => json!({"type": "ping"}),
        ClientFrame::Pong => json!({"type": "pong"}),
        ClientFrame::Subscribe(frame) => json!({
            "type": "subscribe",
            "channel": frame.channel,
            "auth": frame.auth,
            "channel_data": frame.channel_data,
        }),
        ClientFrame::Unsubscribe { channel } => json!({"type": "unsubscribe", "channel": channel}),
        ClientFrame::Signin(frame) => {
            json!({"type": "signin", "auth": frame.auth, "user_data": frame.user_data})
        }
        ClientFrame::ClientEvent(frame) => json!({
            "type": "client_event",
            "event": frame.event,
            "channel": frame.channel,
            "data": frame.data.text(),
        }),
    }
}

/// A value with its described texts written out.
fn fill(value: &Value) -> Value {
    match serde_json::from_value::<format::Text>(value.clone()) {
        Ok(text) => text.text().into(),
        Err(_) => match value {
            Value::Object(object) => object.iter().map(|(key, value)| (key.clone(), fill(value))).collect(),
            other => other.clone(),
        },
    }
}

pub(crate) fn server_frame(vector: &format::ServerFrame) -> Outcome {
    let got = server_frame_of(&vector.frame).encode();
    if vector.text == got { Ok(()) } else { Err(format!("expected {}\ngot      {got}", vector.text)) }
}

/// The frame that a vector writes as JSON.
fn server_frame_of(json: &Value) -> ServerFrame {
    let text = |key: &str| json[key].as_str().unwrap_or_else(|| panic!("{key} of {json}")).to_owned();
    let number = |key: &str| json[key].as_u64().unwrap_or_else(|| panic!("{key} of {json}"));
    let channel = || ChannelName::parse(&text("channel")).expect("channel");
    let texts = |key: &str| {
        json[key].as_array().into_iter().flatten().map(|id| id.as_str().expect("a text").to_owned()).collect()
    };
    match text("type").as_str() {
        "connection_established" => ServerFrame::ConnectionEstablished {
            socket_id: text("socket_id").parse().expect("socket_id"),
            activity_timeout_s: number("activity_timeout"),
        },
        "error" => ServerFrame::Error {
            code: json["code"].as_u64().map(|code| u16::try_from(code).expect("code")),
            message: text("message"),
        },
        "pong" => ServerFrame::Pong,
        "subscription_succeeded" => ServerFrame::SubscriptionSucceeded {
            channel: channel(),
            members: json["members"].as_str().map(str::to_owned),
        },
        "subscription_error" => ServerFrame::SubscriptionError {
            channel: text("channel"),
            kind: match number("status") {
                400 => SubscriptionErrorKind::Name,
                401 => SubscriptionErrorKind::Auth,
                403 => SubscriptionErrorKind::Full,
                413 => SubscriptionErrorKind::TooLarge,
                other => panic!("the crate has no subscription error of status {other}"),
            },
            message: text("message"),
        },
        "member_added" => ServerFrame::MemberAdded {
            channel: channel(),
            user_id: text("user_id").into(),
            info: text("user_info").into(),
        },
        "member_removed" => {
            ServerFrame::MemberRemoved { channel: channel(), user_id: text("user_id").into() }
        }
        "subscription_count" => ServerFrame::SubscriptionCount {
            channel: channel(),
            count: usize::try_from(number("count")).expect("count"),
        },
        "cache_miss" => ServerFrame::CacheMiss { channel: channel() },
        "replay" => ServerFrame::Replay(text("text").into()),
        "signin_success" => ServerFrame::SigninSuccess { user_data: text("user_data") },
        "watchlist_events" => {
            ServerFrame::WatchlistEvents { online: texts("online"), offline: texts("offline") }
        }
        "event" => ServerFrame::Event {
            event: text("event").into(),
            channel: channel(),
            data: EventData::of_text(&text("data")),
            user_id: json["user_id"].as_str().map(Into::into),
        },
        other => panic!("the crate has no frame {other}"),
    }
}
