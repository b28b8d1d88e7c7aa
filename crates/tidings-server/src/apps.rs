//! The apps in operation.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Instant,
};

use tidings_protocol::{
    App, Close,
    limit::{Limit, Rate},
    user::User,
};

use crate::{
    http::idempotency::Idempotency,
    hub::{Hub, Rules, fanout::Fanout},
    lock,
    metrics::{Counters, SharedTraffic},
    users::Users,
    webhooks::{Backend, Happenings},
    ws::socket::Socket,
};

/// An app in operation: its rules, which may change, and all that goes on in it.
#[derive(Debug)]
pub(crate) struct LiveApp {
    id: Arc<str>,
    app: RwLock<Arc<App>>,
    pub(crate) hub: Hub,
    users: Users,
    pub(crate) idempotency: Idempotency,
    connections: AtomicUsize,
    opened_connections: AtomicU64,
    pub(crate) closed_connections: Counters,
    /// What its clients have sent.
    pub(crate) received: SharedTraffic,
    /// Its backends' requests that were carried out.
    pub(crate) api_received: SharedTraffic,
    /// The answers to those.
    pub(crate) api_sent: SharedTraffic,
    backend_events: Mutex<Rate>,
    reads: Mutex<Rate>,
}

/// All apps, by id and by key.
#[derive(Debug)]
pub(crate) struct Apps {
    fanout: Arc<Fanout>,
    happenings: Arc<Happenings>,
    index: RwLock<Index>,
}

#[derive(Debug, Default)]
struct Index {
    by_id: HashMap<String, Arc<LiveApp>>,
    by_key: HashMap<String, Arc<LiveApp>>,
}

impl Apps {
    pub(crate) fn new(apps: Vec<App>, fanout: Arc<Fanout>, happenings: Arc<Happenings>) -> Self {
        let new = Apps { fanout, happenings, index: RwLock::default() };
        new.replace(apps);
        new
    }

    /// Takes these apps and no others. Who is connected to an app that stays, stays; returns the ids of those that
    /// may no longer be used.
    pub(crate) fn replace(&self, apps: Vec<App>) -> Vec<Arc<str>> {
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        let mut old = std::mem::take(&mut *index);
        let mut closed = Vec::new();
        for app in apps {
            let app = Arc::new(app);
            let live = match old.by_id.remove(&app.id) {
                Some(live) => {
                    *live.app.write().unwrap_or_else(PoisonError::into_inner) = app.clone();
                    live
                }
                None => Arc::new(LiveApp::new(app.clone(), self.fanout.clone(), self.happenings.clone())),
            };
            if !app.enabled {
                closed.push(live.id.clone());
            }
            index.by_id.insert(app.id.clone(), live.clone());
            index.by_key.insert(app.key.clone(), live);
        }
        for live in old.by_id.into_values() {
            // For those that are connecting at this moment.
            let mut app = live.app.write().unwrap_or_else(PoisonError::into_inner);
            *app = Arc::new(App { enabled: false, ..App::clone(&app) });
            closed.push(live.id.clone());
        }
        closed
    }

    pub(crate) fn by_id(&self, id: &str) -> Option<Arc<LiveApp>> {
        self.index.read().unwrap_or_else(PoisonError::into_inner).by_id.get(id).cloned()
    }

    pub(crate) fn by_key(&self, key: &str) -> Option<Arc<LiveApp>> {
        self.index.read().unwrap_or_else(PoisonError::into_inner).by_key.get(key).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<LiveApp>> {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = index.by_id.values().cloned().collect();
        all.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        all
    }
}

impl LiveApp {
    fn new(app: Arc<App>, fanout: Arc<Fanout>, happenings: Arc<Happenings>) -> Self {
        let id: Arc<str> = app.id.as_str().into();
        LiveApp {
            id: id.clone(),
            app: RwLock::new(app),
            hub: Hub::new(fanout, Backend::new(id, happenings)),
            users: Users::default(),
            idempotency: Idempotency::default(),
            connections: AtomicUsize::new(0),
            opened_connections: AtomicU64::new(0),
            closed_connections: Counters::default(),
            received: SharedTraffic::default(),
            api_received: SharedTraffic::default(),
            api_sent: SharedTraffic::default(),
            backend_events: Mutex::default(),
            reads: Mutex::default(),
        }
    }

    pub(crate) fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// The rules at present.
    pub(crate) fn app(&self) -> Arc<App> {
        self.app.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What joins and leaves go by.
    pub(crate) fn rules(app: &App) -> Rules {
        Rules {
            presence_members: app.limits.presence_members,
            subscription_count: app.features.subscription_count,
            webhooks: app.webhooks.wanted(),
        }
    }

    /// Counts a connection in, if there is room for it; the caller counts it out with
    /// [`disconnected`](Self::disconnected).
    pub(crate) fn connected(&self, connections: Limit) -> bool {
        let there = self.connections.fetch_add(1, Ordering::Relaxed);
        let room = connections.allows(there + 1);
        if room {
            self.opened_connections.fetch_add(1, Ordering::Relaxed);
        } else {
            self.disconnected();
        }
        room
    }

    /// How many connections are open.
    pub(crate) fn open_connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// How many connections were opened since the start.
    pub(crate) fn opened_connections(&self) -> u64 {
        self.opened_connections.load(Ordering::Relaxed)
    }

    pub(crate) fn disconnected(&self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }

    /// Registers a socket as a user's.
    pub(crate) fn sign_in(&self, socket: &Arc<Socket>, user: &User) {
        self.hub.flush(&self.users.sign_in(socket, user));
    }

    /// The user's socket is gone.
    pub(crate) fn sign_out(&self, socket: &Arc<Socket>, user: &User) {
        self.hub.flush(&self.users.sign_out(socket, user));
    }

    /// Closes all connections that are signed in as the user.
    pub(crate) fn terminate(&self, user_id: &str) {
        for socket in self.users.sockets(user_id) {
            socket.want_close(Close::Terminated);
        }
    }

    /// Whether the backend may publish so many events now.
    pub(crate) fn may_publish(&self, events: usize, per_second: Limit, now: Instant) -> bool {
        let events = u32::try_from(events).unwrap_or(u32::MAX);
        per_second == Limit::NONE || lock(&self.backend_events).take_many(events, per_second, now)
    }

    /// Whether the backend may read now.
    pub(crate) fn may_read(&self, per_second: Limit, now: Instant) -> bool {
        per_second == Limit::NONE || lock(&self.reads).take(per_second, now)
    }
}
