//! The page on which a newcomer sees an event arrive.

use hyper::StatusCode;

use super::{Reply, error::HttpError, reply};
use crate::node::Node;

const PAGE: &str = include_str!("../assets/demo.html");

/// The demo page of the first app that is enabled; only on a server that nobody but this machine reaches.
pub(super) fn page(node: &Node) -> Result<Reply, HttpError> {
    let live = node.apps.all().into_iter().find(|live| live.app().enabled);
    let Some(live) = live.filter(|_| node.is_local) else { return Err(HttpError::NotFound) };
    // Keys and ids are letters, digits, - and _: nothing in them means anything to HTML or JavaScript.
    let page = PAGE.replace("{{key}}", &live.app().key).replace("{{id}}", live.id());
    Ok(reply(StatusCode::OK, "text/html; charset=utf-8", page))
}
