//! How those ask who decide whether to send anybody here, and whether to restart the process.

use hyper::StatusCode;
use serde_json::json;

use super::{Reply, json, reply};
use crate::node::Node;

/// The process answers.
pub(super) fn alive() -> Reply {
    json(&json!({"status": "ok"}))
}

/// Whether new clients are to be sent here; if not, why.
pub(super) fn ready(node: &Node) -> Reply {
    let reasons: Vec<String> = node.unready().iter().map(ToString::to_string).collect();
    if reasons.is_empty() {
        return json(&json!({"status": "ready"}));
    }
    let body = json!({"status": "not ready", "reasons": reasons}).to_string();
    reply(StatusCode::SERVICE_UNAVAILABLE, "application/json", body)
}
