//! The signature of an HTTP API request.

use tidings_protocol::{
    App,
    auth::request::{Query, TIMESTAMP_WINDOW_S, body_md5, percent_decode, string_to_sign},
};

use super::{
    Explanation, TakenOf,
    findings::{BodyCause, Finding},
    guess::{self, Attempt},
    json_text,
};

const SIGNATURE: &str = "auth_signature";
/// A time stamp above it is one of milliseconds: in seconds this is the year 5138.
const LATEST_S: u64 = 100_000_000_000;

/// A request as it was sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) query: &'a str,
    /// `None` if it is not known.
    pub(super) body: Option<&'a [u8]>,
}

impl Request<'_> {
    /// Whether a request of this path and query seems to be this app's.
    pub(super) fn seems_of(app: &App, path: &str, query: &str) -> bool {
        Query::parse(query).value("auth_key") == Some(&app.key) || app_in(path) == Some(&app.id)
    }

    /// The method that requests of this path and body have.
    pub(super) fn usual_method(path: &str, body: Option<&[u8]>) -> &'static str {
        let posted = ["/events", "/batch_events", "/terminate_connections"];
        if body.is_some() || posted.iter().any(|end| path.ends_with(end)) { "POST" } else { "GET" }
    }

    /// Explains its signature to the one who judges it at this time.
    pub(super) fn explain(self, app: &App, apps: &[App], now_s: u64) -> Explanation {
        let query = Query::parse(self.query);
        let signed = string_to_sign(self.method, self.path, &query);
        let expected = app.secret.sign(&[signed.as_bytes()]);
        let given = query.value(SIGNATURE).map(str::to_owned);
        let mut findings = Vec::new();
        findings.extend(check_app(self.path, &query, app));
        findings.extend(check_version(&query));
        findings.extend(check_timestamp(&query, now_s));
        findings.extend(self.check_body(&query));
        match &given {
            None => findings.push(Finding::NoSignature),
            Some(signature) => findings.extend(self.check_signature(signature, &signed, &query, app, apps)),
        }
        Explanation { signed, expected, given, findings, taken_of: TakenOf::Anybody }
    }

    fn check_signature(
        self,
        signature: &str,
        signed: &str,
        query: &Query<'_>,
        app: &App,
        apps: &[App],
    ) -> Vec<Finding> {
        // The server takes the decoded path as well.
        let decoded = string_to_sign(self.method, &percent_decode(self.path), query);
        if app.secret.verifies(&[decoded.as_bytes()], signature) {
            return Vec::new();
        }
        guess::check(signature, signed, self.attempts(query), app, apps)
    }

    fn attempts(self, query: &Query<'_>) -> Vec<Attempt> {
        let Request { method, path, .. } = self;
        let to_sign = query.to_signed();
        let lines = |method: &str, path: &str, query: &str| format!("{method}\n{path}\n{query}");
        let mut attempts = Vec::new();
        for other in [method.to_lowercase(), method.to_uppercase(), "GET".to_owned(), "POST".to_owned()] {
            attempts.push((lines(&other, path, &to_sign), Finding::OtherMethod(other)));
        }
        for other in other_paths(path) {
            attempts.push((lines(method, &other, &to_sign), Finding::OtherPath(other)));
        }
        let raw = self.raw_pairs();
        let mut sorted = raw.clone();
        sorted.sort_unstable();
        attempts.push((lines(method, path, &sorted.join("&")), Finding::EncodedValues));
        attempts.push((lines(method, path, &raw.join("&")), Finding::Unsorted));
        attempts.push((lines(method, path, &percent_decode(&raw.join("&"))), Finding::Unsorted));
        let without_md5: Vec<_> = to_sign.split('&').filter(|pair| !pair.starts_with("body_md5=")).collect();
        attempts.push((lines(method, path, &without_md5.join("&")), Finding::Without("body_md5")));
        attempts.push((lines(method, path, ""), Finding::Without("the query")));
        for (ends, name) in
            [("\r\n", r"\r\n"), ("\\n", r"a backslash and an n"), ("", "nothing"), (" ", "spaces")]
        {
            attempts.push(([method, path, &to_sign].join(ends), Finding::OtherLineEnds(name)));
        }
        attempts
    }

    /// The parameters but the signature, as they stand in the query.
    fn raw_pairs(&self) -> Vec<&str> {
        let is_signed = |pair: &&str| !pair.is_empty() && !pair.starts_with("auth_signature=");
        self.query.split('&').filter(is_signed).collect()
    }

    fn check_body(self, query: &Query<'_>) -> Option<Finding> {
        let body = self.body?;
        let Some(given) = query.value("body_md5") else {
            return (!body.is_empty()).then_some(Finding::MissingParameter("body_md5"));
        };
        let actual = body_md5(body);
        (given != actual).then(|| Finding::BodyMd5 {
            given: given.to_owned(),
            cause: body_cause(given, body),
            actual,
        })
    }
}

fn check_app(path: &str, query: &Query<'_>, app: &App) -> Vec<Finding> {
    let mut findings = Vec::new();
    match query.value("auth_key") {
        None => findings.push(Finding::MissingParameter("auth_key")),
        Some(given) if given != app.key => {
            let (app, key, given) = (app.id.clone(), app.key.clone(), given.to_owned());
            findings.push(Finding::OtherKey { given, app, key });
        }
        Some(_) => {}
    }
    if let Some(given) = app_in(path).filter(|id| *id != app.id) {
        findings.push(Finding::OtherApp { given: given.to_owned(), app: app.id.clone() });
    }
    findings
}

fn check_version(query: &Query<'_>) -> Option<Finding> {
    match query.value("auth_version") {
        None => Some(Finding::MissingParameter("auth_version")),
        Some("1.0") => None,
        Some(other) => Some(Finding::Version(other.to_owned())),
    }
}

fn check_timestamp(query: &Query<'_>, now_s: u64) -> Option<Finding> {
    let Some(text) = query.value("auth_timestamp") else {
        return Some(Finding::MissingParameter("auth_timestamp"));
    };
    match text.parse::<u64>() {
        Err(_) => Some(Finding::Timestamp(text.to_owned())),
        Ok(given) if given > LATEST_S => Some(Finding::TimestampMilliseconds),
        Ok(given) if given.abs_diff(now_s) > TIMESTAMP_WINDOW_S => {
            Some(Finding::TimestampWindow { given, now: now_s })
        }
        Ok(_) => None,
    }
}

/// The id in `/apps/{id}/…`.
fn app_in(path: &str) -> Option<&str> {
    path.strip_prefix("/apps/")?.split('/').next()
}

/// Paths that are easily taken for this one: with a slash more or less, without what stands before `/apps/`, with its
/// escapes written otherwise.
fn other_paths(path: &str) -> Vec<String> {
    let bare = path.trim_matches('/');
    let mut paths = vec![bare.to_owned(), format!("/{bare}"), format!("/{bare}/"), format!("{bare}/")];
    if let Some(at) = path.find("/apps/") {
        paths.push(path[at..].to_owned());
    }
    if let Some((_, of_app)) = bare.strip_prefix("apps/").and_then(|rest| rest.split_once('/')) {
        paths.push(format!("/{of_app}"));
    }
    paths
}

fn body_cause(given: &str, body: &[u8]) -> Option<BodyCause> {
    let is_of = |body: &[u8]| body_md5(body).eq_ignore_ascii_case(given);
    if is_of(body) {
        return Some(BodyCause::UpperCase);
    }
    if is_of(b"") {
        return Some(BodyCause::Empty);
    }
    let trimmed = body.trim_ascii_end();
    if ["", "\n", "\r\n"].iter().any(|end| is_of(&[trimmed, end.as_bytes()].concat())) {
        return Some(BodyCause::WhiteSpaceAtEnd);
    }
    let variants = json_text::variants(std::str::from_utf8(body).ok()?);
    variants.iter().any(|variant| is_of(variant.as_bytes())).then_some(BodyCause::OtherJson)
}
