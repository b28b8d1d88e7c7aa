//! Why a call of our own API is not carried out, told as `application/problem+json`.
//!
//! Source: RFC 9457. A problem says no more than its status and a sentence, so its type is `about:blank`.

use hyper::{
    StatusCode,
    header::{HeaderValue, WWW_AUTHENTICATE},
};
use serde_json::json;
use tidings_store::StoreError;

use crate::http::{self, BodyError, Reply};

#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    /// No credential, or one that opens nothing.
    #[error("{0}")]
    Unauthorized(&'static str),
    /// A credential that does not open this.
    #[error("{0}")]
    Forbidden(&'static str),
    /// What there is none of.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// The methods there are.
    #[error("use {0}")]
    Method(&'static str),
    /// What cannot be read at all: a body that is no JSON, a parameter that is none.
    #[error("{0}")]
    Unreadable(String),
    /// What can be read, and cannot be done.
    #[error("{0}")]
    Unacceptable(String),
    /// What is there stands against it.
    #[error("{0}")]
    Conflict(String),
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error("the store did not carry it out")]
    Store(#[from] StoreError),
}

impl Problem {
    pub(crate) fn reply(&self) -> Reply {
        let status = self.status();
        let title = status.canonical_reason().unwrap_or_default();
        let body = json!({
            "type": "about:blank",
            "title": title,
            "status": status.as_u16(),
            "detail": self.to_string(),
        });
        let reply = http::reply(status, "application/problem+json", body.to_string());
        let mut reply = http::because(reply, self.to_string());
        match self {
            Problem::Unauthorized(_) => {
                reply.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
                reply
            }
            Problem::Method(allowed) => http::use_method(reply, allowed),
            Problem::Store(error) => {
                tracing::error!(%error, "a call of the API could not be carried out");
                if http::is_passing(error) { http::later(reply) } else { reply }
            }
            _ => reply,
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Problem::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            Problem::Forbidden(_) => StatusCode::FORBIDDEN,
            Problem::NotFound(_) => StatusCode::NOT_FOUND,
            Problem::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Problem::Unreadable(_) => StatusCode::BAD_REQUEST,
            Problem::Unacceptable(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Problem::Conflict(_) => StatusCode::CONFLICT,
            Problem::Body(BodyError::TooLarge { .. }) => StatusCode::PAYLOAD_TOO_LARGE,
            Problem::Body(BodyError::Incomplete) => StatusCode::REQUEST_TIMEOUT,
            Problem::Store(error) if http::is_passing(error) => StatusCode::SERVICE_UNAVAILABLE,
            Problem::Store(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};

    use super::*;

    #[test]
    fn tells_the_status_and_what_to_do() {
        let reply = Problem::Method("GET, POST").reply();
        assert_eq!(reply.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(reply.headers()[ALLOW], "GET, POST");
        assert_eq!(reply.headers()[CONTENT_TYPE], "application/problem+json");
        let busy = Problem::Store(StoreError::Overloaded).reply();
        assert_eq!(busy.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(busy.headers().contains_key(RETRY_AFTER));
        assert_eq!(Problem::Unauthorized("who?").reply().headers()[WWW_AUTHENTICATE], "Bearer");
    }
}
