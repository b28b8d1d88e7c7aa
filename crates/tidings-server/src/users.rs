//! Who is signed in to an app on this node, and who watches whom.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use tidings_protocol::{SocketId, frame::server::ServerFrame, user::User};

use crate::{
    lock,
    ws::{frame::Frame, socket::Socket},
};

/// The signed-in users of one app.
#[derive(Debug, Default)]
pub(crate) struct Users(Mutex<HashMap<Arc<str>, Sockets>>);

/// A user that is online or watched.
#[derive(Debug, Default)]
struct Sockets {
    /// Signed in as this user.
    own: HashMap<SocketId, Arc<Socket>>,
    /// To be told when this user comes or goes.
    watching: HashMap<SocketId, Arc<Socket>>,
}

/// Whether users with this in their watchlist are told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Online,
    Offline,
}

impl Users {
    /// Registers a socket as the user's. It is told how those on the watchlist are, and is told of changes from then
    /// on; returns the sockets that are to be flushed.
    pub(crate) fn sign_in(&self, socket: &Arc<Socket>, user: &User) -> Vec<Arc<Socket>> {
        let User { id: user_id, watchlist, .. } = user;
        let mut users = lock(&self.0);
        let user = users.entry(user_id.clone()).or_default();
        user.own.insert(socket.id(), socket.clone());
        let owed = if user.own.len() == 1 { tell(user, user_id, Status::Online) } else { Vec::new() };
        if !watchlist.is_empty() {
            let (online, offline) = watchlist
                .iter()
                .cloned()
                .partition(|id| users.get(id.as_str()).is_some_and(|user| !user.own.is_empty()));
            for id in watchlist {
                users.entry(id.as_str().into()).or_default().watching.insert(socket.id(), socket.clone());
            }
            let frame = ServerFrame::WatchlistEvents { online, offline };
            socket.push(&[Frame::text(&frame.encode())]);
        }
        owed
    }

    /// The user's socket is gone; returns the sockets that are to be flushed.
    pub(crate) fn sign_out(&self, socket: &Arc<Socket>, user: &User) -> Vec<Arc<Socket>> {
        let User { id: user_id, watchlist, .. } = user;
        let mut users = lock(&self.0);
        for id in watchlist {
            if let Some(watched) = users.get_mut(id.as_str()) {
                watched.watching.remove(&socket.id());
                if watched.own.is_empty() && watched.watching.is_empty() {
                    users.remove(id.as_str());
                }
            }
        }
        let Some(user) = users.get_mut(user_id) else { return Vec::new() };
        user.own.remove(&socket.id());
        if !user.own.is_empty() {
            return Vec::new();
        }
        let owed = tell(user, user_id, Status::Offline);
        if user.watching.is_empty() {
            users.remove(user_id);
        }
        owed
    }

    /// The sockets that are signed in as a user.
    pub(crate) fn sockets(&self, user_id: &str) -> Vec<Arc<Socket>> {
        lock(&self.0).get(user_id).map_or_else(Vec::new, |user| user.own.values().cloned().collect())
    }
}

fn tell(user: &Sockets, user_id: &Arc<str>, status: Status) -> Vec<Arc<Socket>> {
    if user.watching.is_empty() {
        return Vec::new();
    }
    let (online, offline) = match status {
        Status::Online => (vec![user_id.to_string()], vec![]),
        Status::Offline => (vec![], vec![user_id.to_string()]),
    };
    let frame = [Frame::text(&ServerFrame::WatchlistEvents { online, offline }.encode())];
    user.watching.values().filter(|socket| socket.push(&frame)).cloned().collect()
}
