//! The inbox at this server: what it asks of the node, and the tasks that keep it going.

use std::{pin::Pin, sync::Arc, time::Duration};

use rustls::ClientConfig;
use tidings_inbox::{Announce, Brands, Inbox, Outside, announce};
use tidings_protocol::{App, ChannelName, Publication};
use tidings_store::{Announcements, SharedStore, time::Timestamp};

use crate::{node::Node, random};

/// How often it is looked for what is due.
const TICK: Duration = Duration::from_secs(1);

/// What the inbox lives on.
#[derive(Debug)]
pub struct InboxParts {
    /// Where everything is kept.
    pub store: SharedStore,
    /// What is to be told to open pages.
    pub announcements: Announcements,
    /// Whose pages and senders are served; they may be replaced meanwhile.
    pub brands: Arc<Brands>,
    /// Whose certificates are believed of operators.
    pub tls: ClientConfig,
}

impl Announce for Node {
    fn app(&self, id: &str) -> Option<Arc<App>> {
        self.apps.by_id(id).map(|live| live.app())
    }

    fn is_occupied(&self, app_id: &str, channel: &ChannelName) -> bool {
        let live = self.apps.by_id(app_id);
        live.is_some_and(|live| live.hub.info(channel, self.clock.now()).subscribers > 0)
    }

    fn publish(&self, app_id: &str, publication: &Publication) {
        if let Some(live) = self.apps.by_id(app_id) {
            Node::publish(self, &live, [publication.clone()]);
        }
    }

    fn room(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(Node::room(self))
    }
}

/// Starts the inbox's tasks; they end with the runtime, or when the store is closed.
pub(crate) fn start(node: &Arc<Node>, parts: InboxParts) -> Arc<Inbox> {
    let InboxParts { store, announcements, brands, tls } = parts;
    node.metrics.follow(&store);
    let clock = node.clock.clone();
    let outside =
        Outside { now: Arc::new(move || Timestamp::from_unix(clock.unix())), random: random::bytes };
    tokio::spawn(announce::tell(node.clone(), brands.clone(), announcements));
    let inbox = Arc::new(Inbox::new(store, brands, node.clone(), tls, outside));
    tokio::spawn(tick(node.clone(), inbox.clone()));
    inbox
}

async fn tick(node: Arc<Node>, inbox: Arc<Inbox>) {
    loop {
        node.clock.tick(TICK).await;
        loop {
            match inbox.tick().await {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    tracing::error!(%error, "the inbox could not do what is due; it tries again");
                    break;
                }
            }
        }
    }
}
