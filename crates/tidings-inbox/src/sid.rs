//! The operator's login check: an outside call, `POST {"sid": ".."}`, answered with `{"user_id": ..}`.
//!
//! Source: `facts/notifications.md`, 1.6.

use std::{
    collections::HashMap,
    iter,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Request, StatusCode, Uri, header, http::uri::Authority};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::ClientConfig;
use serde_json::{Value, json};
use tidings_store::EXTERNAL_ID_MAX;
use tokio::sync::Semaphore;

/// The operator has so long for an answer.
const TIMEOUT: Duration = Duration::from_secs(3);
/// So many checks may be under way at one operator; more are refused, so that a slow one costs no more than these, and
/// nobody else's.
const CHECKS: usize = 64;
/// An answer has a few bytes.
const ANSWER_MAX: usize = 64 * 1024;

/// Whether it is an address on the web, as that of a login check.
#[must_use]
pub fn is_web_address(text: &str) -> bool {
    let uri: Option<Uri> = text.parse().ok();
    // The client would take the scheme's own port for one that is no number of a port.
    let is_good = |authority: &Authority| {
        let host_and_port = authority.as_str().rsplit('@').next().unwrap_or_default();
        host_and_port.len() == authority.host().len() || authority.port().is_some()
    };
    uri.is_some_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.authority().is_some_and(is_good)
    })
}

/// Asks operators.
pub(crate) struct Checker {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    /// One for each operator's address: as many as brands have.
    rooms: Mutex<HashMap<String, Arc<Semaphore>>>,
}

/// Why a sid is not accepted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SidError {
    /// The operator says so.
    #[error("not accepted")]
    NotAccepted,
    /// Too many wait for the operator already.
    #[error("{CHECKS} checks are under way already")]
    Crowded,
    /// No answer in time.
    #[error("no answer within {} s", TIMEOUT.as_secs())]
    Late,
    /// The address is none, or nobody answers there.
    #[error("{0}")]
    Unreachable(String),
    /// An answer that neither accepts nor refuses.
    #[error("it answered with status {0}")]
    Status(StatusCode),
    /// An answer without a user.
    #[error("its answer has no user_id that is a number or a text")]
    NoUser,
}

impl Checker {
    pub(crate) fn new(tls: ClientConfig) -> Self {
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
        Checker { client: Client::builder(TokioExecutor::new()).build(connector), rooms: Mutex::default() }
    }

    /// Who the operator says it is.
    pub(crate) async fn check(&self, url: &str, sid: &str) -> Result<String, SidError> {
        let _place = self.room(url).try_acquire_owned().map_err(|_| SidError::Crowded)?;
        tokio::time::timeout(TIMEOUT, self.ask(url, sid)).await.unwrap_or(Err(SidError::Late))
    }

    fn room(&self, url: &str) -> Arc<Semaphore> {
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        rooms.entry(url.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(CHECKS))).clone()
    }

    async fn ask(&self, url: &str, sid: &str) -> Result<String, SidError> {
        let unreachable = |error: &dyn std::fmt::Display| SidError::Unreachable(error.to_string());
        let uri: Uri = url.parse().map_err(|error| unreachable(&error))?;
        let request = Request::post(uri)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(json!({"sid": sid}).to_string())))
            .map_err(|error| unreachable(&error))?;
        let answer =
            self.client.request(request).await.map_err(|error| SidError::Unreachable(causes(&error)))?;
        match answer.status() {
            StatusCode::OK => {}
            status if status.is_client_error() => return Err(SidError::NotAccepted),
            status => return Err(SidError::Status(status)),
        }
        let body = Limited::new(answer.into_body(), ANSWER_MAX).collect().await;
        let body = body.map_err(|error| unreachable(&error))?.to_bytes();
        user_id(&body).ok_or(SidError::NoUser)
    }
}

/// What went wrong, down to the reason: an outer error says little.
fn causes(error: &dyn std::error::Error) -> String {
    iter::successors(Some(error), |error| error.source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

/// The operator's word for the user, as text: some write it as a number.
fn user_id(body: &[u8]) -> Option<String> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    let id = match answer.get("user_id")? {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) if !number.is_f64() => number.to_string(),
        _ => return None,
    };
    (1..=EXTERNAL_ID_MAX).contains(&id.chars().count()).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_numbers_and_texts() {
        let check = |body: &str, expected: Option<&str>| {
            assert_eq!(user_id(body.as_bytes()).as_deref(), expected, "{body}");
        };
        check(r#"{"user_id":123}"#, Some("123"));
        check(r#"{"user_id":"u-88","more":1}"#, Some("u-88"));
        for bad in
            ["", "{}", r#"{"user_id":null}"#, r#"{"user_id":""}"#, r#"{"user_id":1.5}"#, r#"{"user_id":[1]}"#]
        {
            check(bad, None);
        }
    }
}
