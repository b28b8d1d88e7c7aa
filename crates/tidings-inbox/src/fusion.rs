//! The CRM's front end: config, login, channel authorization, user authentication, list, read, mark, delete.
//!
//! Source: `facts/notifications.md`, section 1. Failures are answers with status 200: pages look for them there.

use std::{borrow::Cow, sync::Arc, time::Duration};

use hyper::{Method, StatusCode, header::HOST};
use serde_json::{Value, json};
use tidings_protocol::{
    SocketId,
    auth::{channel, request::percent_decode, user},
};
use tidings_store::{
    Brand, Filter, Listed, NewLogin, NotificationId, Set, StoreError, User, UserKey, Which,
    notifications::Kind,
};

use crate::{
    Entrance, Inbox, brands,
    http::{self, AuthFailure, Call, Reply},
    sid::SidError,
    wire,
};

/// So long a login lasts.
const LOGIN: Duration = Duration::from_hours(24);
/// The sid that logs in the test user where the brand allows it.
const TEST_SID: &str = "99999999-9999-9999-9999-999999999999-9999";
/// What the operator would call the test user.
const TEST_USER: &str = "test";
/// Tokens and sids that are longer are nobody's.
const CREDENTIAL_MAX: usize = 2048;

/// Why a call is not carried out. The texts are shown to nobody but developers.
enum Refusal {
    SidNotAccepted,
    LoginServiceUnavailable,
    NotAuthenticated,
    MessageIdMissing,
    NotFound,
    UnknownBrand,
    UnknownPath,
    Method(&'static str),
    Store(StoreError),
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Refusal::Store(error)
    }
}

/// What `Data` is where there is nothing to tell: pages look at it as at what they expect.
#[derive(Clone, Copy)]
enum Nothing {
    Null,
    False,
    Array,
}

/// What pusher-js wants signed.
#[derive(Clone, Copy)]
enum Wanted {
    /// The subscription to a channel.
    Channel,
    /// The signin of a user.
    User,
}

impl Inbox {
    pub(crate) async fn fusion(&self, call: Call) -> Reply {
        let segments: Vec<&str> = call.segments.iter().map(String::as_str).collect();
        let method = &call.parts.method;
        let on = |allowed: &Method, name| if method == allowed { Ok(()) } else { Err(Refusal::Method(name)) };
        match segments[..] {
            ["api", "v1", "config", brand] => {
                let config = on(&Method::GET, "GET").and_then(|()| self.config(&call, brand));
                config.unwrap_or_else(|refusal| refused(&refusal, Nothing::Null))
            }
            ["external", "pusher", brand] => self.sign(&call, brand, Wanted::Channel).await,
            ["external", "pusher", brand, "user-auth"] => self.sign(&call, brand, Wanted::User).await,
            ["Platform", "LoginAuthToken"] => {
                let login = match on(&Method::POST, "POST") {
                    Ok(()) => self.login(&call).await,
                    Err(refusal) => Err(refusal),
                };
                // Pages read `Errors` of a failed login alone: null is what the documented sample has.
                answer(login, &Value::Null, Nothing::Null)
            }
            ["Notifications", "v2", "user-notifications"] => {
                let list = match on(&Method::GET, "GET") {
                    Ok(()) => self.list(&call).await,
                    Err(refusal) => Err(refusal),
                };
                list.unwrap_or_else(|refusal| refused(&refusal, Nothing::Array))
            }
            ["Notifications", "v2", "user-notification", id] if method == Method::DELETE => {
                answer(self.set(&call, parse_id(id), Set::Deleted).await, &json!([]), Nothing::False)
            }
            ["Notifications", "v2", "user-notification", id] => {
                let one = match on(&Method::GET, "GET, DELETE") {
                    Ok(()) => self.one(&call, id).await,
                    Err(refusal) => Err(refusal),
                };
                answer(one, &Value::Null, Nothing::Null)
            }
            ["Notifications", "MarkNotificationAsRead"] => {
                let marked = match (on(&Method::POST, "POST"), message_id(&call.body)) {
                    (Err(refusal), _) => Err(refusal),
                    (Ok(()), None) => self.owner(&call).await.and(Err(Refusal::MessageIdMissing)),
                    (Ok(()), Some(id)) => self.set(&call, NotificationId::new(id), Set::Read).await,
                };
                // Here pages read `Errors.length` of a success as well.
                answer(marked, &json!([]), Nothing::False)
            }
            _ => refused(&Refusal::UnknownPath, Nothing::Null),
        }
    }

    /// `GET /api/v1/config/{brand}`
    fn config(&self, call: &Call, name: &str) -> Result<Reply, Refusal> {
        let brand = self.brands.by_name(&percent_decode(name)).ok_or(Refusal::UnknownBrand)?;
        let app = self.server.app(&brand.app_id).ok_or(Refusal::UnknownBrand)?;
        let here = Here::of(call);
        let base = format!("{}://{}/b/{}", here.scheme(), here.authority, brand.name);
        Ok(http::json(
            StatusCode::OK,
            &json!({
                "crmUrl": base,
                "fusionUrl": base,
                "prismaUrl": base,
                "pusherKey": app.key,
                "pusherRegion": brand.region,
                "wsHost": here.host(),
                "wsPort": here.ws_port(),
                "wssPort": here.wss_port(),
                "forceTLS": here.is_tls(),
            }),
        ))
    }

    /// `POST /Platform/LoginAuthToken`
    async fn login(&self, call: &Call) -> Result<Value, Refusal> {
        let brand = self.brand(call)?;
        let sid = credential(call).ok_or(Refusal::SidNotAccepted)?;
        let user = self.exchange(&brand, sid).await?;
        let token = format!("tk_{}", data_encoding::BASE64URL_NOPAD.encode(&(self.outside.random)()));
        let now = self.now();
        let login = NewLogin {
            brand: brand.id,
            external_id: user.external_id,
            is_test: user.is_test,
            token_hash: brands::hash(&token),
            sid_hash: user.is_fresh.then(|| brands::hash(sid)),
            expires_at: now.after(LOGIN),
        };
        let user = self.store.add_login(login, now).await?;
        Ok(logged_in(&user, &token))
    }

    /// Who the operator says a sid is, or who it was at a login that still lasts.
    async fn exchange(&self, brand: &Brand, sid: &str) -> Result<Accepted, Refusal> {
        if sid == TEST_SID {
            let accepted = Accepted { external_id: TEST_USER.to_owned(), is_test: true, is_fresh: true };
            return if brand.test_sid { Ok(accepted) } else { Err(Refusal::SidNotAccepted) };
        }
        // The operator is asked again in time, so that a page may go on with its sid for half a day at least.
        let lasting = self.now().after(LOGIN / 2);
        if let Some(known) = self.store.sid_owner(brand.id, brands::hash(sid), lasting).await? {
            return Ok(Accepted { external_id: known.external_id, is_test: known.is_test, is_fresh: false });
        }
        let Some(url) = brand.sid_url.as_deref() else {
            tracing::warn!(brand = brand.name, "nobody can log in: the brand has no sid_url");
            return Err(Refusal::SidNotAccepted);
        };
        match self.sids.check(url, sid).await {
            Ok(external_id) => Ok(Accepted { external_id, is_test: false, is_fresh: true }),
            Err(SidError::NotAccepted) => Err(Refusal::SidNotAccepted),
            Err(error) => {
                tracing::warn!(brand = brand.name, %error, "the operator's login check failed");
                Err(Refusal::LoginServiceUnavailable)
            }
        }
    }

    /// `GET /Notifications/v2/user-notifications`
    async fn list(&self, call: &Call) -> Result<Reply, Refusal> {
        let owner = self.owner(call).await?;
        let query = call.parts.uri.query().unwrap_or("");
        let is_on = |name| value(query, name).is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let filter = Filter {
            read: is_on("unread-only").then_some(false),
            kind: is_on("inbox-only").then_some(Kind::Inbox),
            ..Filter::default()
        };
        let Listed { notifications, size, mut held } =
            self.store.list(owner, filter, tidings_store::INBOX_MAX, self.now()).await?;
        // One goes as the next is written: a large list is in memory once, not three times.
        let mut json = String::with_capacity(size + size / 8);
        json += r#"{"Data":["#;
        for (at, notification) in notifications.into_iter().enumerate() {
            json += if at == 0 { "" } else { "," };
            json += &wire::notification(&notification).to_string();
            // What is a byte in the store may be six here.
            held.grow_to_list(json.len())?;
        }
        json += r#"],"Errors":null,"Success":true}"#;
        Ok(http::list(json, held))
    }

    /// `GET /Notifications/v2/user-notification/{id}`
    async fn one(&self, call: &Call, id: &str) -> Result<Value, Refusal> {
        let owner = self.owner(call).await?;
        let id = parse_id(id).ok_or(Refusal::NotFound)?;
        let found = self.store.notification(owner, id, self.now()).await?;
        found.as_ref().map(wire::notification).ok_or(Refusal::NotFound)
    }

    /// Marks one, or deletes it.
    async fn set(&self, call: &Call, id: Option<NotificationId>, set: Set) -> Result<Value, Refusal> {
        let owner = self.owner(call).await?;
        let id = id.ok_or(Refusal::NotFound)?;
        let changed = self.store.change(owner, Which::One(id), set, self.now()).await?;
        if changed.found == 0 { Err(Refusal::NotFound) } else { Ok(true.into()) }
    }

    /// `POST|GET /external/pusher/{brand}?authToken=<token>`, and below it `/user-auth`
    async fn sign(&self, call: &Call, name: &str, wanted: Wanted) -> Reply {
        let query = call.parts.uri.query().unwrap_or("");
        let callback = value(query, "callback");
        let done = match callback.as_deref() {
            Some(name) if !is_callback(name) => Ok(Err("the callback is not one of pusher-js".into())),
            _ => self.signature(call, name, wanted, query).await,
        };
        match (done, callback) {
            (Ok(Ok(auth)), None) => http::json(StatusCode::OK, &auth),
            (Ok(Ok(auth)), Some(callback)) => {
                http::reply(StatusCode::OK, "application/javascript", format!("{callback}({auth});"))
            }
            // A script whose status is another than 200 does not run: over JSONP a page is told of no refusal.
            (Ok(Err(reason)), _) => {
                http::because(http::json(StatusCode::FORBIDDEN, &json!({"error": "forbidden"})), reason)
            }
            (Err(error), _) => unavailable(&error, &json!({"error": "internal error"})),
        }
    }

    /// The signature for the caller's own channel or user, and for no other; or why there is none, in the log's words.
    async fn signature(
        &self,
        call: &Call,
        name: &str,
        wanted: Wanted,
        query: &str,
    ) -> Result<Result<Value, Cow<'static, str>>, StoreError> {
        let no = |reason: &'static str| Ok(Err(reason.into()));
        let body = match call.parts.method {
            Method::POST => str::from_utf8(&call.body).unwrap_or(""),
            Method::GET => query,
            _ => return no("use GET or POST"),
        };
        let Some(brand) = self.brands.by_name(&percent_decode(name)) else { return no("unknown brand") };
        if call.mount.as_ref().is_some_and(|mount| mount.id != brand.id) {
            return no("the path names two brands");
        }
        let Some(app) = self.server.app(&brand.app_id).filter(|app| app.enabled) else {
            return no("the brand's app is not there, or disabled");
        };
        let Some(credential) = raw_value(query, "authToken") else { return no("authToken is missing") };
        let owner = self.owner_of(&brand, &percent_decode(credential)).await?;
        let Some(owner) = owner.filter(|owner| owner.brand == brand.id) else {
            return no("authToken is neither a token nor a sid of a login that lasts");
        };
        let socket_id = value(body, "socket_id").and_then(|id| id.parse::<SocketId>().ok());
        let Some(socket_id) = socket_id else { return no("socket_id is missing, or none") };
        match wanted {
            Wanted::Channel => {
                let own = wire::channel(owner);
                if value(body, "channel_name").as_deref() != Some(own.as_str()) {
                    return Ok(Err(format!("this login may join {own} and no other channel").into()));
                }
                Ok(Ok(json!({"auth": channel::sign(&app, socket_id, own.as_str(), None)})))
            }
            Wanted::User if !app.features.user_authentication => no("the app has user_authentication off"),
            Wanted::User => {
                let user_data = json!({"id": wire::signed_in(owner)}).to_string();
                Ok(Ok(json!({"auth": user::sign(&app, socket_id, &user_data), "user_data": user_data})))
            }
        }
    }

    /// Whose inbox the call is about.
    pub(crate) async fn owner_in(
        &self,
        call: &Call,
        credential: &str,
    ) -> Result<Option<UserKey>, StoreError> {
        let Some(brand) = call.mount.clone().or_else(|| self.brands.first()) else { return Ok(None) };
        let owner = self.owner_of(&brand, credential).await?;
        // Where the path names a brand, the token must be that brand's.
        Ok(owner.filter(|owner| call.mount.as_ref().is_none_or(|mount| mount.id == owner.brand)))
    }

    async fn owner(&self, call: &Call) -> Result<UserKey, Refusal> {
        let credential = credential(call).ok_or(Refusal::NotAuthenticated)?;
        self.owner_in(call, credential).await?.ok_or(Refusal::NotAuthenticated)
    }

    /// Whose a token is, or a sid that has logged in to the brand.
    async fn owner_of(&self, brand: &Brand, credential: &str) -> Result<Option<UserKey>, StoreError> {
        if credential.is_empty() || credential.len() > CREDENTIAL_MAX {
            return Ok(None);
        }
        let (hash, now) = (brands::hash(credential), self.now());
        if let Some(owner) = self.store.token_owner(hash, now).await? {
            return Ok(Some(owner));
        }
        if credential == TEST_SID && !brand.test_sid {
            return Ok(None);
        }
        Ok(self.store.sid_owner(brand.id, hash, now).await?.map(|user| user.key))
    }

    fn brand(&self, call: &Call) -> Result<Arc<Brand>, Refusal> {
        call.mount.clone().or_else(|| self.brands.first()).ok_or(Refusal::UnknownBrand)
    }
}

/// Whom a sid was accepted for.
struct Accepted {
    external_id: String,
    is_test: bool,
    /// The operator has just said so.
    is_fresh: bool,
}

/// The address by which a page reaches this server: as it has just done.
struct Here<'a> {
    entrance: Entrance,
    authority: &'a str,
}

impl<'a> Here<'a> {
    /// What these headers say goes back to their sender alone.
    fn of(call: &'a Call) -> Self {
        let headers = &call.parts.headers;
        let forwarded = http::header(headers, "x-forwarded-proto");
        let entrance = match forwarded.and_then(|scheme| scheme.split(',').next()).map(str::trim) {
            // Whoever forwards has ports of its own.
            Some("https") => Entrance::Tls { plain_port: None },
            Some(_) => Entrance::Plain { tls_port: None },
            None => call.parts.extensions.get().copied().unwrap_or(Entrance::Plain { tls_port: None }),
        };
        let authority = http::header(headers, HOST.as_str()).unwrap_or("localhost");
        Here { entrance, authority }
    }

    fn is_tls(&self) -> bool {
        matches!(self.entrance, Entrance::Tls { .. })
    }

    fn scheme(&self) -> &'static str {
        if self.is_tls() { "https" } else { "http" }
    }

    fn ws_port(&self) -> u16 {
        match self.entrance {
            Entrance::Tls { plain_port: Some(port) } => port,
            Entrance::Tls { plain_port: None } | Entrance::Plain { .. } => self.port(),
        }
    }

    fn wss_port(&self) -> u16 {
        match self.entrance {
            Entrance::Plain { tls_port: Some(port) } => port,
            Entrance::Plain { tls_port: None } | Entrance::Tls { .. } => self.port(),
        }
    }

    fn host(&self) -> &'a str {
        self.split().0
    }

    fn port(&self) -> u16 {
        self.split().1.unwrap_or(if self.is_tls() { 443 } else { 80 })
    }

    fn split(&self) -> (&'a str, Option<u16>) {
        match self.authority.rsplit_once(':') {
            // The colons of an address in brackets are its own.
            Some((host, port)) if !port.contains(']') => (host, port.parse().ok()),
            _ => (self.authority, None),
        }
    }
}

fn logged_in(user: &User, token: &str) -> Value {
    json!({
        "JwtToken": token,
        // The documented sample has the colon within the name; pages may read either.
        "Authentication": {"IsAuthenticated": true, "IsAuthenticated:": true, "AuthToken": token},
        "User": {
            "UserId": user.key.user.get(),
            "BrandId": user.key.brand.get(),
            "IsTestUser": user.is_test,
            "Firstname": user.profile.first_name,
            "Lastname": user.profile.last_name,
        },
    })
}

fn credential(call: &Call) -> Option<&str> {
    let text = http::header(&call.parts.headers, "authtoken")?.trim();
    (!text.is_empty() && text.len() <= CREDENTIAL_MAX).then_some(text)
}

fn parse_id(text: &str) -> Option<NotificationId> {
    text.parse().ok().and_then(NotificationId::new)
}

/// The id in the body of a mark: JSON whatever the content type says, or else a form. Nothing, if there is none.
fn message_id(body: &[u8]) -> Option<i64> {
    let text = str::from_utf8(body).ok()?.trim();
    if text.starts_with('{') {
        let json: Value = serde_json::from_str(text).ok()?;
        let id = json.get("MessageId")?;
        return id.as_i64().or_else(|| id.as_str()?.trim().parse().ok());
    }
    value(text, "MessageId")?.trim().parse().ok()
}

/// The raw value of a parameter. JSONP appends its own after a second question mark.
fn raw_value<'q>(query: &'q str, name: &str) -> Option<&'q str> {
    query.split(['&', '?']).find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

/// The value of a parameter, as forms encode it.
fn value(query: &str, name: &str) -> Option<String> {
    raw_value(query, name).map(|value| percent_decode(&value.replace('+', " ")).into_owned())
}

/// Whether it is what pusher-js names its callbacks, `Pusher.auth_callbacks['1']`: nothing else may stand in a script.
///
/// Source: `facts/pusher-protocol.md`, 7.1.
fn is_callback(name: &str) -> bool {
    let number = name.strip_prefix("Pusher.auth_callbacks['").and_then(|rest| rest.strip_suffix("']"));
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

fn answer(done: Result<Value, Refusal>, no_errors: &Value, nothing: Nothing) -> Reply {
    match done {
        Ok(data) => http::json(StatusCode::OK, &json!({"Data": data, "Success": true, "Errors": no_errors})),
        Err(refusal) => refused(&refusal, nothing),
    }
}

fn refused(refusal: &Refusal, nothing: Nothing) -> Reply {
    let data = match nothing {
        Nothing::Null => Value::Null,
        Nothing::False => false.into(),
        Nothing::Array => json!([]),
    };
    let body = |error: &str| json!({"Data": data, "Success": false, "Errors": [error]});
    let (class, error) = match refusal {
        Refusal::SidNotAccepted => (401, "sid not accepted"),
        Refusal::LoginServiceUnavailable => (502, "login service unavailable"),
        Refusal::NotAuthenticated => (401, "not authenticated"),
        Refusal::MessageIdMissing => (400, "MessageId missing"),
        Refusal::NotFound => (404, "notification not found"),
        Refusal::UnknownBrand => {
            return http::unknown_brand();
        }
        Refusal::UnknownPath => {
            let reply = http::json(StatusCode::NOT_FOUND, &body("not found"));
            return http::because(reply, "there is no such path");
        }
        Refusal::Method(allowed) => {
            let reply = http::json(StatusCode::METHOD_NOT_ALLOWED, &body("method not allowed"));
            return http::use_method(http::because(reply, format!("use {allowed}")), allowed);
        }
        Refusal::Store(error) => {
            let body = json!({"Data": null, "Success": false, "Errors": ["internal error"]});
            return unavailable(error, &body);
        }
    };
    tracing::info!(class, reason = error, "inbox call refused");
    let mut reply = http::json(StatusCode::OK, &body(error));
    if class == 401 {
        reply.extensions_mut().insert(AuthFailure::Login);
    }
    reply
}

/// Our own trouble: passing or not.
fn unavailable(error: &StoreError, body: &Value) -> Reply {
    let reply = if http::is_passing(error) {
        tracing::warn!(%error, "the inbox has no time for a call");
        http::later(http::json(StatusCode::SERVICE_UNAVAILABLE, body))
    } else {
        tracing::error!(%error, "the inbox cannot carry out a call");
        http::json(StatusCode::INTERNAL_SERVER_ERROR, body)
    };
    http::because(reply, "the store did not carry it out")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_id_whatever_the_body_looks_like() {
        let check =
            |body: &str, expected: Option<i64>| assert_eq!(message_id(body.as_bytes()), expected, "{body}");
        check(r#"{"MessageId":5001}"#, Some(5001));
        check(r#" {"MessageId":"5001"} "#, Some(5001));
        check("MessageId=5001", Some(5001));
        check("a=b&MessageId=5001", Some(5001));
        for bad in
            ["", "{}", "{", "[5001]", "5001", r#"{"MessageId":5.5}"#, r#"{"messageid":1}"#, "MessageId=x"]
        {
            check(bad, None);
        }
    }

    #[test]
    fn cuts_the_token_where_jsonp_appends_its_own() {
        let query = "authToken=tk_a%2Bb?callback=Pusher.auth_callbacks%5B'1'%5D&socket_id=1.2";
        assert_eq!(raw_value(query, "authToken"), Some("tk_a%2Bb"));
        assert_eq!(value(query, "callback").as_deref(), Some("Pusher.auth_callbacks['1']"));
    }

    #[test]
    fn calls_what_pusher_js_names_and_nothing_else() {
        for good in ["Pusher.auth_callbacks['1']", "Pusher.auth_callbacks['1205']"] {
            assert!(is_callback(good), "{good}");
        }
        for bad in [
            "",
            "alert",
            "a.b['1']",
            "Pusher.auth_callbacks['']",
            "Pusher.auth_callbacks['x']",
            "Pusher.auth_callbacks['1'",
            "Pusher.auth_callbacks[1]",
            "Pusher.auth_callbacks['1']['2']",
            "Pusher.auth_callbacks['1'];alert('1']",
            "Pusher.auth_callbacks['1']\n",
            "Pusher.auth_callbacks['\u{661}']",
        ] {
            assert!(!is_callback(bad), "{bad}");
        }
    }

    #[test]
    fn tells_where_it_was_reached() {
        let check = |authority: &str, host: &str, port: u16| {
            let here = Here { entrance: Entrance::Tls { plain_port: None }, authority };
            assert_eq!((here.host(), here.wss_port()), (host, port), "{authority}");
        };
        check("127.0.0.1:6001", "127.0.0.1", 6001);
        check("notify.example", "notify.example", 443);
        check("[::1]:6001", "[::1]", 6001);
        check("[::1]", "[::1]", 443);
        let check = |entrance, authority, ws: u16, wss: u16| {
            let here = Here { entrance, authority };
            assert_eq!((here.ws_port(), here.wss_port()), (ws, wss), "{entrance:?}");
        };
        check(Entrance::Plain { tls_port: None }, "a:6001", 6001, 6001);
        check(Entrance::Plain { tls_port: Some(6443) }, "a:6001", 6001, 6443);
        check(Entrance::Tls { plain_port: Some(6001) }, "a:6443", 6001, 6443);
        check(Entrance::Tls { plain_port: None }, "a", 443, 443);
    }
}
