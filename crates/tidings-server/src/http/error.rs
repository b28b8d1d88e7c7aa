//! Why a request is refused, and the status that tells it.

use hyper::{Method, StatusCode};
use tidings_protocol::{api::ApiError, auth::request::RequestAuthError};

/// A refused request. The body of the answer is this text in one line, as hosted Pusher does it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    #[error("Not found")]
    NotFound,
    #[error("Method not allowed: use {allowed}")]
    Method { allowed: Method },
    #[error("Connect to this address with a websocket")]
    UpgradeRequired,
    #[error("{0}")]
    Handshake(String),
    #[error("The server is leaving: connect to another")]
    Leaving,
    #[error("The app {0} could not be found")]
    UnknownApp(String),
    #[error("The app is disabled")]
    AppDisabled,
    #[error(transparent)]
    Auth(#[from] RequestAuthError),
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error("The request body is over {max} bytes")]
    BodyTooLarge { max: usize },
    #[error("The request body did not arrive in time")]
    BodyTimeout,
    #[error("The request body could not be read: {0}")]
    Body(String),
    #[error("Too many events: the app's limit per second is reached")]
    TooManyEvents,
    #[error(
        "Too many events: this call has {events}, and the app's limit is {max} a second; send it in parts"
    )]
    TooManyEventsAtOnce { events: usize, max: u32 },
    #[error("Too many requests: the app's limit per second is reached")]
    TooManyReads,
    #[error("Invalid Idempotency-Key: 1 to 255 printable characters are allowed")]
    IdempotencyKey,
    #[error("This Idempotency-Key was used for another request")]
    IdempotencyConflict,
    #[error("There is no such session: it has ended, or a receiving request has to open it")]
    UnknownSession,
    #[error("Too many sessions wait for their clients: try again later")]
    TooManySessions,
    #[error("The request body is no JSON array of strings")]
    NoMessages,
}

impl HttpError {
    /// The status that tells it.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            HttpError::NotFound | HttpError::UnknownApp(_) | HttpError::UnknownSession => {
                StatusCode::NOT_FOUND
            }
            HttpError::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            HttpError::UpgradeRequired => StatusCode::UPGRADE_REQUIRED,
            HttpError::Handshake(_)
            | HttpError::Body(_)
            | HttpError::IdempotencyKey
            | HttpError::NoMessages => StatusCode::BAD_REQUEST,
            HttpError::Leaving | HttpError::TooManySessions => StatusCode::SERVICE_UNAVAILABLE,
            HttpError::AppDisabled => StatusCode::FORBIDDEN,
            HttpError::Auth(_) => StatusCode::UNAUTHORIZED,
            HttpError::Api(error) => {
                StatusCode::from_u16(error.status()).expect("ApiError has real statuses")
            }
            HttpError::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            HttpError::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            HttpError::TooManyEvents | HttpError::TooManyEventsAtOnce { .. } | HttpError::TooManyReads => {
                StatusCode::TOO_MANY_REQUESTS
            }
            HttpError::IdempotencyConflict => StatusCode::UNPROCESSABLE_ENTITY,
        }
    }
}
