use tidings_protocol::{App, app::AppSecret, auth::request::body_md5};
use tidings_store::AppSettings;

use super::{
    Explanation,
    findings::{BodyCause, Finding},
    request::Request,
    socket::Signed,
};

const SOCKET_ID: &str = "1234.1234";
/// As PHP and JavaScript write it, with a slash and a letter that PHP escapes.
const DATA: &str = r#"{"user_id":"10","user_info":{"name":"Zoë","page":"a/b"}}"#;
/// The time of the requests.
const NOW_S: u64 = 1_353_088_179;

fn app(id: &str, key: &str, secret: &str) -> App {
    AppSettings::default().to_app(id.into(), key.into(), AppSecret::new(secret))
}

fn ours() -> App {
    app("3", "278d425bdf160c739803", "7ad3773142a6692b25b8")
}

fn apps() -> [App; 2] {
    [ours(), app("4", "fourth", "the secret of the fourth")]
}

fn hmac(secret: &str, text: &str) -> String {
    AppSecret::new(secret).sign(&[text.as_bytes()])
}

/// The `auth` of one who signed this text with our secret.
fn auth_of(text: &str) -> String {
    format!("{}:{}", ours().key, hmac(ours().secret.reveal(), text))
}

fn explain(signed: Signed<'_>, auth: Option<&str>) -> Explanation {
    signed.explain(SOCKET_ID, auth, &ours(), &apps())
}

/// Checks what is found wrong with an `auth`.
fn check(signed: Signed<'_>, auth: &str, expected: &[Finding]) {
    assert_eq!(explain(signed, Some(auth)).findings, expected, "{signed:?} {auth}");
}

fn channel<'a>(channel: &'a str, channel_data: Option<&'a str>) -> Signed<'a> {
    Signed::Channel { channel, channel_data }
}

const PRIVATE: Signed<'static> = Signed::Channel { channel: "private-foobar", channel_data: None };
const PRESENCE: Signed<'static> = Signed::Channel { channel: "presence-foobar", channel_data: Some(DATA) };

#[test]
fn right_signatures_of_pushers_libraries() {
    let check = |key, secret, socket_id: &str, signed: Signed<'_>, string, auth: &str| {
        let app = app("1", key, secret);
        let explanation = signed.explain(socket_id, Some(auth), &app, &[]);
        assert_eq!((&*explanation.signed, &*explanation.expected), (string, auth));
        assert!(explanation.is_right());
    };
    let (key, secret) = ("278d425bdf160c739803", "7ad3773142a6692b25b8");
    check(
        key,
        secret,
        SOCKET_ID,
        PRIVATE,
        "1234.1234:private-foobar",
        "278d425bdf160c739803:58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4",
    );
    check(
        key,
        secret,
        SOCKET_ID,
        channel("presence-foobar", Some(r#"{"user_id":10,"user_info":{"name":"Mr. Pusher"}}"#)),
        r#"1234.1234:presence-foobar:{"user_id":10,"user_info":{"name":"Mr. Pusher"}}"#,
        "278d425bdf160c739803:afaed3695da2ffd16931f457e338e6c9f2921fa133ce7dac49f529792be6304c",
    );
    check(
        "thisisaauthkey",
        "thisisasecret",
        "45055.28877557",
        channel("-azAZ9_=@,.;", Some(r#"{"user_id": "123"}"#)),
        r#"45055.28877557:-azAZ9_=@,.;:{"user_id": "123"}"#,
        "thisisaauthkey:3b3f1dcc4d7d2f95dd10ed05562397b3287b102d4cccfacbf30eed2f1ffa3d69",
    );
    check(
        key,
        secret,
        SOCKET_ID,
        Signed::User { user_data: r#"{"id":"12345"}"# },
        r#"1234.1234::user::{"id":"12345"}"#,
        "278d425bdf160c739803:4708d583dada6a56435fb8bc611c77c359a31eebde13337c16ab43aa6de336ba",
    );
}

#[test]
fn what_auth_looks_like() {
    let right = auth_of("1234.1234:private-foobar");
    let (key, digits) = right.split_once(':').expect("a colon");
    assert_eq!(explain(PRIVATE, None).findings, [Finding::NoSignature]);
    check(PRIVATE, digits, &[Finding::NoColon]);
    check(PRIVATE, &format!("{key}:{}", digits.to_uppercase()), &[Finding::UpperCase]);
    check(PRIVATE, &format!("{key}:{digits}\n"), &[Finding::WhiteSpace]);
    check(PRIVATE, &format!("{key}:{}", &digits[1..]), &[Finding::Length { len: 63 }]);
    check(PRIVATE, &format!("{key}:{}", "0".repeat(40)), &[Finding::Length { len: 40 }]);
    check(PRIVATE, &format!("{key}:{}", "x".repeat(64)), &[Finding::NotHex]);
    check(PRIVATE, &format!("{key}:{}", "0".repeat(64)), &[Finding::Unexplained]);
    let digest = data_encoding::HEXLOWER.decode(digits.as_bytes()).expect("hex");
    check(PRIVATE, &format!("{key}:{}", data_encoding::BASE64.encode(&digest)), &[Finding::Base64]);
    let other_key = Finding::OtherKey { given: "other".into(), app: "3".into(), key: key.into() };
    check(PRIVATE, &format!("other:{digits}"), &[other_key]);
    let explanation = PRIVATE.explain("12", Some(&auth_of("12:private-foobar")), &ours(), &[]);
    assert_eq!(explanation.findings, [Finding::SocketId("12".into())]);
}

#[test]
fn other_secrets() {
    let auth = |secret: &str| format!("{}:{}", ours().key, hmac(secret, "1234.1234:private-foobar"));
    check(PRIVATE, &auth("the secret of the fourth"), &[Finding::SecretOfApp("4".into())]);
    check(PRIVATE, &auth(&ours().key), &[Finding::KeyAsSecret]);
    check(PRIVATE, &auth("7ad3773142a6692b25b8\n"), &[Finding::SecretWithWhiteSpace]);
    check(PRIVATE, &auth("7ad3773142a6692b25b8\r\n"), &[Finding::SecretWithWhiteSpace]);
    check(PRIVATE, &auth("nobody's"), &[Finding::Unexplained]);
}

#[test]
fn other_texts_of_channels() {
    let json = [Finding::OtherJson("channel_data")];
    let presence = |data: &str| auth_of(&format!("1234.1234:presence-foobar:{data}"));
    check(PRESENCE, &presence(DATA), &[]);
    check(PRESENCE, &auth_of("1234.1234:presence-foobar"), &[Finding::Without("channel_data")]);
    let python = r#"{"user_id": "10", "user_info": {"name": "Zo\u00eb", "page": "a/b"}}"#;
    check(PRESENCE, &presence(python), &json);
    check(channel("presence-foobar", Some(python)), &presence(DATA), &json);
    check(PRESENCE, &presence(r#"{"user_id":"10","user_info":{"name":"Zo\u00eb","page":"a\/b"}}"#), &json);
    check(
        PRESENCE,
        &presence(r#""{\"user_id\":\"10\",\"user_info\":{\"name\":\"Zoë\",\"page\":\"a/b\"}}""#),
        &[Finding::JsonTwice("channel_data")],
    );
    check(PRESENCE, &auth_of(&format!("1234.1234::user::{DATA}")), &[Finding::AsUser]);
    let sorted = r#"{"a":1,"b":2}"#;
    check(channel("presence-foobar", Some(r#"{"b":2,"a":1}"#)), &presence(sorted), &json);
    let without = channel("presence-foobar", None);
    check(without, &auth_of("1234.1234:presence-foobar"), &[]);
    check(without, &presence(DATA), &[Finding::Unexplained, Finding::NoChannelData]);
    check(PRIVATE, &auth_of("private-foobar:1234.1234"), &[Finding::Swapped]);
    check(PRIVATE, &auth_of("private-foobar"), &[Finding::Without("the socket id")]);
    check(PRIVATE, &auth_of("1234.1234:foobar"), &[Finding::OtherChannel("foobar".into())]);
    check(PRIVATE, &auth_of("1234.1234:private-foobar\n"), &[Finding::TextWithWhiteSpace]);
    let encoded = Finding::OtherChannel("private-a%3Db".into());
    check(channel("private-a=b", None), &auth_of("1234.1234:private-a%3Db"), &[encoded]);
}

#[test]
fn two_mistakes_at_once() {
    let signature = hmac("the secret of the fourth", "1234.1234:foobar").to_uppercase();
    let findings =
        [Finding::UpperCase, Finding::OtherChannel("foobar".into()), Finding::SecretOfApp("4".into())];
    check(PRIVATE, &format!("{}:{signature}", ours().key), &findings);
}

#[test]
fn other_texts_of_users() {
    let user = Signed::User { user_data: r#"{"id":"1"}"# };
    check(user, &auth_of(r#"1234.1234:{"id":"1"}"#), &[Finding::AsChannel]);
    check(user, &auth_of(r#"1234.1234:user:{"id":"1"}"#), &[Finding::AsChannel]);
    check(user, &auth_of(r#"1234.1234::user::{"id": "1"}"#), &[Finding::OtherJson("user_data")]);
    check(user, &auth_of(r#"1234.1234::user::"{\"id\":\"1\"}""#), &[Finding::JsonTwice("user_data")]);
}

const BODY: &str = r#"{"name":"foo","channels":["project-3"],"data":"{\"some\":\"data\"}"}"#;
const PATH: &str = "/apps/3/events";
const QUERY: &str = "auth_key=278d425bdf160c739803&auth_timestamp=1353088179&auth_version=1.0\
    &body_md5=ec365a775a4cd0599faeb73354201b6f";

fn post<'a>(query: &'a str, body: &'a str) -> Request<'a> {
    Request { method: "POST", path: PATH, query, body: Some(body.as_bytes()) }
}

/// The query with the signature of one who signed this text.
fn signed_query(query: &str, text: &str) -> String {
    format!("{query}&auth_signature={}", hmac(ours().secret.reveal(), text))
}

/// Checks what is found wrong with a request.
fn check_request(request: Request<'_>, expected: &[Finding]) {
    assert_eq!(request.explain(&ours(), &apps(), NOW_S).findings, expected, "{request:?}");
}

/// Checks what is found wrong with the usual request if another text was signed.
fn check_signed(text: &str, expected: &[Finding]) {
    check_request(post(&signed_query(QUERY, text), BODY), expected);
}

#[test]
fn the_right_request_of_pushers_documentation() {
    let query =
        format!("{QUERY}&auth_signature=da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c");
    let explanation = post(&query, BODY).explain(&ours(), &apps(), NOW_S + 600);
    assert!(explanation.is_right(), "{explanation:?}");
    assert_eq!(explanation.signed, format!("POST\n{PATH}\n{QUERY}"));
    assert_eq!(explanation.given.as_ref(), Some(&explanation.expected));
}

#[test]
fn methods_that_are_not_given() {
    assert_eq!(Request::usual_method("/apps/3/channels", None), "GET");
    assert_eq!(Request::usual_method("/apps/3/channels", Some(b"{}")), "POST");
    assert_eq!(Request::usual_method("/apps/3/events", None), "POST");
    assert_eq!(Request::usual_method("/apps/3/users/u1/terminate_connections", None), "POST");
}

#[test]
fn a_request_signed_over_its_decoded_path_is_right() {
    let query = "auth_key=278d425bdf160c739803&auth_timestamp=1353088179&auth_version=1.0";
    let query = signed_query(query, &format!("GET\n/apps/3/users/a=b\n{query}"));
    check_request(Request { method: "GET", path: "/apps/3/users/a%3Db", query: &query, body: None }, &[]);
}

#[test]
fn other_texts_of_requests() {
    let without_md5 = QUERY.split("&body_md5").next().expect("a part");
    check_signed(&format!("post\n{PATH}\n{QUERY}"), &[Finding::OtherMethod("post".into())]);
    check_signed(&format!("GET\n{PATH}\n{QUERY}"), &[Finding::OtherMethod("GET".into())]);
    check_signed(&format!("POST\n/events\n{QUERY}"), &[Finding::OtherPath("/events".into())]);
    check_signed(&format!("POST\n{PATH}/\n{QUERY}"), &[Finding::OtherPath("/apps/3/events/".into())]);
    check_signed(&format!("POST\n{PATH}\n{without_md5}"), &[Finding::Without("body_md5")]);
    check_signed(&format!("POST\n{PATH}\n"), &[Finding::Without("the query")]);
    check_signed(&format!("POST\\n{PATH}\\n{QUERY}"), &[Finding::OtherLineEnds("a backslash and an n")]);
    check_signed(&format!("POST{PATH}{QUERY}"), &[Finding::OtherLineEnds("nothing")]);
    check_signed(&format!("POST\n{PATH}\n{QUERY}\n"), &[Finding::TextWithWhiteSpace]);
    check_signed("something else", &[Finding::Unexplained]);
    check_request(post(QUERY, BODY), &[Finding::NoSignature]);
}

#[test]
fn queries_written_otherwise() {
    let get = |query: &str, signed: &str, expected: &[Finding]| {
        let query = signed_query(query, &format!("GET\n/apps/3/channels\n{signed}"));
        check_request(
            Request { method: "GET", path: "/apps/3/channels", query: &query, body: None },
            expected,
        );
    };
    let auth = "auth_key=278d425bdf160c739803&auth_timestamp=1353088179&auth_version=1.0";
    get(&format!("{auth}&info=a%2Cb"), &format!("{auth}&info=a,b"), &[]);
    get(&format!("{auth}&info=a%2Cb"), &format!("{auth}&info=a%2Cb"), &[Finding::EncodedValues]);
    get(&format!("info=a&{auth}"), &format!("info=a&{auth}"), &[Finding::Unsorted]);
    get(&format!("info=a&{auth}"), &format!("{auth}&info=a"), &[]);
}

/// Checks what is found besides the signature, which is right.
fn check_query(query: &str, expected: &[Finding]) {
    let mut pairs: Vec<_> = query.split('&').collect();
    pairs.sort_unstable();
    let signed = format!("GET\n/apps/3/channels\n{}", pairs.join("&"));
    let query = signed_query(query, &signed);
    check_request(Request { method: "GET", path: "/apps/3/channels", query: &query, body: None }, expected);
}

#[test]
fn parameters() {
    let (key, at, version) =
        ("auth_key=278d425bdf160c739803", "auth_timestamp=1353088179", "auth_version=1.0");
    check_query(&format!("{key}&{at}&{version}"), &[]);
    check_query(&format!("{key}&{at}"), &[Finding::MissingParameter("auth_version")]);
    check_query(&format!("{key}&{at}&auth_version=2"), &[Finding::Version("2".into())]);
    check_query(&format!("{key}&{version}"), &[Finding::MissingParameter("auth_timestamp")]);
    check_query(&format!("{key}&auth_timestamp=x&{version}"), &[Finding::Timestamp("x".into())]);
    check_query(&format!("{key}&auth_timestamp=1353088179000&{version}"), &[Finding::TimestampMilliseconds]);
    let given = NOW_S - 601;
    let old = Finding::TimestampWindow { given, now: NOW_S };
    assert_eq!(
        old.to_string(),
        "auth_timestamp 1353087578 is 601 s old, and 600 s are allowed; compare the clocks"
    );
    check_query(&format!("{key}&auth_timestamp={given}&{version}"), &[old]);
    check_query(&format!("{at}&{version}"), &[Finding::MissingParameter("auth_key")]);
    let other = Finding::OtherKey { given: "fourth".into(), app: "3".into(), key: ours().key };
    check_query(&format!("auth_key=fourth&{at}&{version}"), &[other]);
}

#[test]
fn a_path_of_another_app() {
    let query = QUERY.split("&body_md5").next().expect("a part");
    let query = signed_query(query, &format!("GET\n/apps/4/channels\n{query}"));
    let other = Finding::OtherApp { given: "4".into(), app: "3".into() };
    check_request(Request { method: "GET", path: "/apps/4/channels", query: &query, body: None }, &[other]);
}

/// Checks what is found if the digest of another body was sent.
fn check_body(md5_of: &str, cause: Option<BodyCause>) {
    check_md5(&body_md5(md5_of.as_bytes()), cause);
}

fn check_md5(md5: &str, cause: Option<BodyCause>) {
    let query = format!("{}{md5}", QUERY.split("ec365").next().expect("a part"));
    let query = signed_query(&query, &format!("POST\n{PATH}\n{query}"));
    let finding = Finding::BodyMd5 { given: md5.to_owned(), actual: body_md5(BODY.as_bytes()), cause };
    check_request(post(&query, BODY), &[finding]);
}

#[test]
fn digests_of_other_bodies() {
    check_md5(&body_md5(BODY.as_bytes()).to_uppercase(), Some(BodyCause::UpperCase));
    check_body("", Some(BodyCause::Empty));
    check_body(&format!("{BODY}\n"), Some(BodyCause::WhiteSpaceAtEnd));
    let spaced = r#"{"name": "foo", "channels": ["project-3"], "data": "{\"some\":\"data\"}"}"#;
    check_body(spaced, Some(BodyCause::OtherJson));
    check_body("something else", None);
    let query = QUERY.split("&body_md5").next().expect("a part");
    let query = signed_query(query, &format!("POST\n{PATH}\n{query}"));
    check_request(post(&query, BODY), &[Finding::MissingParameter("body_md5")]);
}

#[test]
fn tells_it_in_lines_and_in_json() {
    let explanation =
        explain(PRIVATE, Some(&auth_of("1234.1234:foobar").to_uppercase().replace("278D", "278d")));
    let text = explanation.to_text();
    assert!(
        text.starts_with("to sign    1234.1234:private-foobar\nexpected   278d425bdf160c739803:58df"),
        "{text}"
    );
    assert!(text.contains("\nwrong      the digits of the signature must be in lower case\n"), "{text}");
    let json = explanation.to_json();
    assert_eq!((&json["signed"], &json["ok"]), (&"1234.1234:private-foobar".into(), &false.into()));
    assert!(json["findings"].as_array().expect("a list").iter().any(|found| found["code"] == "upper_case"));
}
