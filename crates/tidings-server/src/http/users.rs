//! `POST /apps/{id}/users/{user_id}/terminate_connections`.

use tidings_protocol::auth::request::percent_decode;

use super::{Reply, empty_json, signed::Signed};

/// Closes the connections that are signed in as the user; a user that nobody is has none.
pub(super) fn terminate(signed: &Signed, user_id: &str) -> Reply {
    signed.live.terminate(&percent_decode(user_id));
    empty_json()
}
