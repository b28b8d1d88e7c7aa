//! What the inbox asks of the server, and the task that tells open pages what was committed.

use std::{pin::Pin, sync::Arc, time::Duration};

use tidings_protocol::{
    App, ChannelName, Publication,
    event::{EventData, Origin},
    frame::server::ServerFrame,
};
use tidings_store::{Announcement, Announcements};

use crate::{brands::Brands, wire};

/// The one thing the inbox asks of the server: its apps, and to publish on their channels.
pub trait Announce: Send + Sync + 'static {
    /// The app of this id as it is now.
    fn app(&self, id: &str) -> Option<Arc<App>>;

    /// Whether anybody subscribes to the channel.
    fn is_occupied(&self, app_id: &str, channel: &ChannelName) -> bool;

    /// Publishes an event.
    fn publish(&self, app_id: &str, publication: &Publication);

    /// Returns when there is room for more events.
    fn room(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

/// Pages need so long to come back after a server has died; what it left untold waits for them.
const RETURN: Duration = Duration::from_secs(30);
/// How often it is looked whether they are back.
const LOOK: Duration = Duration::from_millis(500);

/// Tells open pages what is committed, in that order, until the store is closed.
pub async fn tell(server: Arc<dyn Announce>, brands: Arc<Brands>, mut announcements: Announcements) {
    let mut waiting = Vec::new();
    let mut looks_left = RETURN.as_millis() / LOOK.as_millis();
    loop {
        let next = if waiting.is_empty() {
            announcements.next().await
        } else {
            let Ok(next) = tokio::time::timeout(LOOK, announcements.next()).await else {
                looks_left = looks_left.saturating_sub(1);
                waiting.retain(|left| looks_left > 0 && !try_publish(&*server, &brands, left));
                continue;
            };
            next
        };
        let Some(announcement) = next else { return };
        // What the user's pages have not been told yet comes first.
        waiting.retain(|left| left.owner != announcement.owner || !try_publish(&*server, &brands, left));
        let is_told = try_publish(&*server, &brands, &announcement);
        announcements.told(announcement.seq);
        if announcement.is_left_over && !is_told {
            waiting.push(announcement);
        }
        server.room().await;
    }
}

/// Publishes an announcement to the user's pages; false if none is open.
fn try_publish(server: &dyn Announce, brands: &Brands, announcement: &Announcement) -> bool {
    let owner = announcement.owner;
    // A brand or app that is gone has no pages.
    let Some(brand) = brands.by_id(owner.brand) else { return true };
    let Some(app) = server.app(&brand.app_id) else { return true };
    let channel = wire::channel(owner);
    if !server.is_occupied(&app.id, &channel) {
        return false;
    }
    for (event, data) in wire::events(announcement, app.limits.event_bytes) {
        server.publish(&app.id, &publication(&channel, event, &data));
    }
    true
}

fn publication(channel: &ChannelName, event: &str, data: &str) -> Publication {
    Publication {
        channel: channel.clone(),
        frame: ServerFrame::Event {
            event: event.into(),
            channel: channel.clone(),
            data: EventData::of_text(data),
            user_id: None,
        },
        except: None,
        origin: Origin::Backend,
    }
}
