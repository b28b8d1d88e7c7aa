//! `/pusher/..`: what pusher-js uses where websockets are blocked. Receiving and sending requests make up a session,
//! which is served as a socket is.
//!
//! ```text
//! /pusher/app/{key}/{server}/{session}/{verb}    xhr_streaming, xhr, xhr_send
//! /pusher/{server}/{session}/{verb}              the same and eventsource, for SockJS: the first message names the app
//! /pusher/info, /pusher/iframe.html              what SockJS asks for before
//! ```

use std::{future::poll_fn, sync::Arc, time::Duration};

use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, CACHE_CONTROL, CONTENT_SECURITY_POLICY,
        CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue,
    },
};
use serde_json::json;
use tidings_protocol::{
    Close,
    auth::request::Query,
    frame::fallback::{self, Destination},
};
use tokio::time::timeout;

use super::{Body, Reply, allow, error::HttpError, json, reply, signed::read_body};
use crate::{
    drain::Phase,
    node::Node,
    random,
    ws::{
        self,
        connection::{log_refused, serve_session},
        session::{self, Opened, Receiver, Receiving, Sent, Session},
    },
};

const SCRIPT: &str = "application/javascript; charset=UTF-8";
const EVENT_STREAM: &str = "text/event-stream; charset=UTF-8";
const NEVER_STORED: HeaderValue =
    HeaderValue::from_static("no-store, no-cache, no-transform, must-revalidate, max-age=0");
/// Keeps nginx from holding back what it is given.
const UNBUFFERED: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));

/// The page through which SockJS reaches us from another origin. It runs no script but its own.
const IFRAME: &str = include_str!("../assets/sockjs.html");
const IFRAME_MAY: HeaderValue =
    HeaderValue::from_static("default-src 'none'; script-src 'unsafe-inline'; connect-src 'self'");

/// A SockJS session has this long to name its app, and to be told that it may not have it.
const NAMED_WITHIN: Duration = Duration::from_secs(10);
const TOLD_WITHIN: Duration = Duration::from_secs(5);

/// The folder in which it all is: pusher-js's `httpPath`.
pub(super) const FOLDER: &str = "/pusher/";

/// Whether a path is one of ours. Who knows that of a session may use the session: it does not go into the log.
pub(super) fn is_ours(path: &str) -> bool {
    path.starts_with(FOLDER)
}

/// Lets the page read an answer: it is of another origin.
pub(super) fn open_to_pages(reply: &mut Reply) {
    reply.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
}

/// Answers what comes to `/pusher/..`; `segments` are what follows.
pub(super) async fn route(
    node: &Arc<Node>,
    request: Request<Incoming>,
    segments: &[&str],
) -> Result<Reply, HttpError> {
    let method = request.method().clone();
    if method == Method::OPTIONS {
        expect_send(node, &request);
        return Ok(preflight(request.headers()));
    }
    let (key, server, session, verb) = match *segments {
        ["info"] => {
            allow(&method, &Method::GET)?;
            return Ok(info());
        }
        ["iframe.html"] => {
            allow(&method, &Method::GET)?;
            return Ok(iframe());
        }
        ["app", key, server, session, verb] => (Some(key), server, session, verb),
        [server, session, verb] => (None, server, session, verb),
        _ => return Err(HttpError::NotFound),
    };
    if !is_name(server) || !is_name(session) {
        return Err(HttpError::NotFound);
    }
    let verb = Verb::parse(verb).ok_or(HttpError::NotFound)?;
    allow(&method, &verb.method())?;
    match verb {
        Verb::Receive(kind) => receive(node, &request, kind, key),
        Verb::Send => send(node, request).await,
    }
}

/// Whether clients name a server or a session so.
fn is_name(name: &str) -> bool {
    const MAX: usize = 64;
    (1..=MAX).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// What a request of a session does.
#[derive(Clone, Copy, Debug)]
enum Verb {
    Receive(Receiving),
    Send,
}

impl Verb {
    fn parse(verb: &str) -> Option<Self> {
        match verb {
            "xhr_streaming" => Some(Verb::Receive(Receiving::Stream)),
            "xhr" => Some(Verb::Receive(Receiving::Poll)),
            "eventsource" => Some(Verb::Receive(Receiving::EventSource)),
            "xhr_send" => Some(Verb::Send),
            _ => None,
        }
    }

    fn method(self) -> Method {
        match self {
            Verb::Receive(Receiving::EventSource) => Method::GET,
            Verb::Receive(Receiving::Stream | Receiving::Poll) | Verb::Send => Method::POST,
        }
    }
}

/// Answers a receiving request: the first opens the session. Without the app's key its first message names it.
fn receive(
    node: &Arc<Node>,
    request: &Request<Incoming>,
    kind: Receiving,
    key: Option<&str>,
) -> Result<Reply, HttpError> {
    let path = session_path(request.uri().path());
    let query = request.uri().query().unwrap_or("");
    let number = request_number(query);
    loop {
        let Some(session) = node.sessions.get(path) else { return open(node, request, kind, key) };
        // A session that ends at this moment is about to be forgotten.
        if let Some(receiver) = session.receive(kind, number) {
            return Ok(receiving(kind, receiver));
        }
        std::thread::yield_now();
    }
}

fn open(
    node: &Arc<Node>,
    request: &Request<Incoming>,
    kind: Receiving,
    key: Option<&str>,
) -> Result<Reply, HttpError> {
    if node.phase() >= Phase::Closing {
        return Err(HttpError::Leaving);
    }
    let path = session_path(request.uri().path());
    let query = request.uri().query().unwrap_or("");
    let admitted = match key {
        Some(key) => match ws::admit(node, Some(key), query, ws::origin(request.headers())) {
            Ok(live) => Some(live),
            Err(close) => return Ok(refused(node, kind, &close)),
        },
        None => None,
    };
    let (session, opened) = node.sessions.open(path, &node.clock).ok_or(HttpError::TooManySessions)?;
    let receiver = session.receive(kind, request_number(query)).ok_or(HttpError::UnknownSession)?;
    match (opened, admitted) {
        (Opened::Before, _) => {}
        (Opened::Now, Some(live)) => {
            if let Err(close) = serve_session(node, live, &session) {
                node.sessions.end(&session);
                return Ok(refused(node, kind, &close));
            }
        }
        (Opened::Now, None) => {
            let origin = page_origin(request.headers(), query);
            tokio::spawn(serve_when_named(node.clone(), session, origin));
        }
    }
    Ok(receiving(kind, receiver))
}

/// Serves a SockJS session as a connection of the app that its first message names.
async fn serve_when_named(node: Arc<Node>, session: Arc<Session>, origin: Option<String>) {
    let first = match timeout(NAMED_WITHIN, poll_fn(|cx| session.poll_sent(cx))).await {
        Ok(Sent::Text(text)) => text,
        Ok(Sent::TooLong) | Err(_) => String::new(),
    };
    let Destination { key, query } = Destination::parse(&first);
    let admitted = ws::admit(&node, key.as_deref(), &query, origin.as_deref());
    if let Err(close) = admitted.and_then(|live| serve_session(&node, live, &session)) {
        node.metrics.connection_refused(&close);
        log_refused(&close);
        session.refuse(&close);
        // A client that is gone needs no answer.
        let _ = timeout(TOLD_WITHIN, poll_fn(|cx| session.poll_told(cx))).await;
        node.sessions.end(&session);
    }
}

/// Answers a sending request.
async fn send(node: &Node, request: Request<Incoming>) -> Result<Reply, HttpError> {
    let path = session_path(request.uri().path());
    let session = node.sessions.get(path).ok_or(HttpError::UnknownSession)?;
    let number = request_number(request.uri().query().unwrap_or(""));
    let body = match read_body(request.into_body(), session.body_max()).await {
        Err(error @ HttpError::BodyTooLarge { .. }) => {
            session.send_too_long();
            return Err(error);
        }
        body => body?,
    };
    let texts = fallback::parse_sent(&body).ok_or(HttpError::NoMessages)?;
    if session.send(number, texts).await { Ok(no_content()) } else { Err(HttpError::UnknownSession) }
}

/// A browser asks before it sends, and so tells what is on its way.
fn expect_send<B>(node: &Node, request: &Request<B>) {
    if let Some((path, "xhr_send")) = request.uri().path().rsplit_once('/')
        && let Some(session) = node.sessions.get(path)
        && let Some(number) = request_number(request.uri().query().unwrap_or(""))
    {
        session.promise(number);
    }
}

/// The path without the verb: a session belongs to it, and so to an app's key where it names one.
fn session_path(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(session, _)| session)
}

/// The `n` of a request: pusher-js counts all those of a page.
fn request_number(query: &str) -> Option<u64> {
    Query::parse(query).value("n")?.parse().ok()
}

/// The origin of the page behind a request. Our own iframe sends what it is told on behalf of the page around it,
/// and says for which; a browser lets no other page speak in the iframe's name.
fn page_origin(headers: &HeaderMap, query: &str) -> Option<String> {
    let origin = ws::origin(headers);
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let own = |origin: &str| origin.split_once("://").map(|(_, authority)| authority) == host;
    match origin {
        Some(origin) if !own(origin) => Some(origin.to_owned()),
        Some(_) | None => Query::parse(query).value("origin").or(origin).map(str::to_owned),
    }
}

fn receiving(kind: Receiving, receiver: Receiver) -> Reply {
    let content_type = match kind {
        Receiving::Stream | Receiving::Poll => SCRIPT,
        Receiving::EventSource => EVENT_STREAM,
    };
    let mut reply = Response::new(Body::Receiver(receiver));
    let headers = reply.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, NEVER_STORED);
    let (name, value) = UNBUFFERED;
    headers.insert(name, value);
    reply
}

/// A session that is refused: opened, or the client would not read why, and closed.
fn refused(node: &Node, kind: Receiving, close: &Close) -> Reply {
    node.metrics.connection_refused(close);
    log_refused(close);
    let lines = format!("{}{}", fallback::OPEN, session::refusal(close));
    let (content_type, body) = match kind {
        Receiving::Stream | Receiving::Poll => (SCRIPT, lines),
        Receiving::EventSource => (EVENT_STREAM, session::as_events(&lines)),
    };
    reply(StatusCode::OK, content_type, body)
}

fn info() -> Reply {
    // SockJS draws its session names from the entropy where a browser has none to give.
    let entropy = random::below(u32::MAX);
    let mut info =
        json(&json!({"websocket": false, "origins": ["*:*"], "cookie_needed": false, "entropy": entropy}));
    info.headers_mut().insert(CACHE_CONTROL, NEVER_STORED);
    info
}

fn iframe() -> Reply {
    let mut page = reply(StatusCode::OK, "text/html; charset=utf-8", IFRAME);
    page.headers_mut().insert(CONTENT_SECURITY_POLICY, IFRAME_MAY);
    page
}

/// What a browser asks before it lets a page send: every request here may be sent.
fn preflight(asked: &HeaderMap) -> Reply {
    let mut allowed = no_content();
    let headers = allowed.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, OPTIONS"));
    let wanted = asked.get(ACCESS_CONTROL_REQUEST_HEADERS).cloned();
    let wanted = wanted.unwrap_or(HeaderValue::from_static("content-type"));
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted);
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    allowed
}

fn no_content() -> Reply {
    let mut reply = Response::new(Body::whole(Bytes::new()));
    *reply.status_mut() = StatusCode::NO_CONTENT;
    reply
}
