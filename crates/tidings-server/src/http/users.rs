//! `POST /apps/{id}/users/{user_id}/terminate_connections`.

use tidings_protocol::auth::request::percent_decode;

use super::{Reply, empty_json, signed::Signed};
use crate::node::Node;

/// Closes the connections that are signed in as the user; a user that nobody is has none.
pub(super) fn terminate(node: &Node, signed: &Signed, user_id: &str) -> Reply {
    node.terminate(&signed.live, &percent_decode(user_id));
    empty_json()
}
