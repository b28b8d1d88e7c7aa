//! `GET /timeline/v2/..`: pusher-js's reports on how connecting went, where a page turns them on. They are answered,
//! since pusher-js repeats what is not, and thrown away.

use hyper::StatusCode;

use super::{Reply, empty_json, error::HttpError, fallback::open_to_pages, reply};

/// The answer to a script tag: calls the receiver that waits for it. `receiver` is a number, and nothing else gets
/// into the script.
pub(super) fn script(receiver: &str) -> Result<Reply, HttpError> {
    let receiver: u32 = receiver.parse().map_err(|_| HttpError::NotFound)?;
    let script = format!("Pusher.ScriptReceivers[{receiver}](null, {{}});");
    Ok(reply(StatusCode::OK, "application/javascript; charset=UTF-8", script))
}

/// The answer to a request of Node's or a worker's.
pub(super) fn request() -> Reply {
    let mut reply = empty_json();
    open_to_pages(&mut reply);
    reply
}
