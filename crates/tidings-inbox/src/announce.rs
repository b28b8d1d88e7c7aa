//! What the inbox asks of the server, and the task that tells open pages what was committed.

use std::{pin::Pin, sync::Arc, time::Duration};

use tidings_protocol::{
    App, ChannelName, Publication,
    event::{EventData, Origin},
    frame::server::ServerFrame,
};
use tidings_store::{Announcement, Announcements};
use tokio::time::MissedTickBehavior;

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
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut looks_left = RETURN.as_millis() / LOOK.as_millis();
    loop {
        let next = tokio::select! {
            next = announcements.next() => next,
            // However much comes meanwhile.
            _ = looks.tick(), if !waiting.is_empty() => {
                looks_left = looks_left.saturating_sub(1);
                waiting.retain(|left| looks_left > 0 && !try_publish(&*server, &brands, left));
                server.room().await;
                continue;
            }
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

#[cfg(test)]
mod tests {
    use std::{
        env, fs, process,
        sync::{Mutex, MutexGuard, PoisonError},
    };

    use tidings_protocol::app::AppSecret;
    use tidings_store::{
        Added, AppSettings, Brand, BrandId, Content, NewNotification, Recipient, SharedStore,
        settings::Origins, time::Timestamp,
    };

    use super::*;

    /// A server at which pages come and go.
    #[derive(Default)]
    struct Recording(Mutex<Recorded>);

    #[derive(Default)]
    struct Recorded {
        occupied: Vec<String>,
        published: Vec<String>,
    }

    impl Recording {
        fn lock(&self) -> MutexGuard<'_, Recorded> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    impl Announce for Recording {
        fn app(&self, id: &str) -> Option<Arc<App>> {
            let secret = AppSecret::new("secret");
            Some(Arc::new(AppSettings::default().to_app(id.to_owned(), "key".to_owned(), secret)))
        }

        fn is_occupied(&self, _: &str, channel: &ChannelName) -> bool {
            self.lock().occupied.iter().any(|occupied| occupied == channel.as_str())
        }

        fn publish(&self, _: &str, publication: &Publication) {
            self.lock().published.push(publication.channel.to_string());
        }

        fn room(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
            Box::pin(std::future::ready(()))
        }
    }

    fn to(external_id: &str) -> Vec<NewNotification> {
        let brand = BrandId::new(7).expect("a number");
        let recipient = Recipient::External { brand, external_id: external_id.to_owned() };
        let content = Content { title: "T".to_owned(), ..Content::default() };
        vec![NewNotification { recipient, content, source_key: None }]
    }

    async fn add(store: &SharedStore, external_id: &str) {
        let now = Timestamp::from_ms(1_780_000_000_000);
        let added = store.add(to(external_id), now).await.expect("stored").pop();
        assert!(matches!(added, Some(Ok(Added::New(_)))), "{added:?}");
    }

    fn acorn() -> Brand {
        Brand {
            id: BrandId::new(7).expect("a number"),
            name: "acorn".to_owned(),
            app_id: "1".to_owned(),
            region: String::new(),
            sid_url: None,
            test_sid: false,
            allowed_origins: Origins::default(),
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_is_left_over_finds_its_page_however_much_comes_meanwhile() {
        let folder = env::temp_dir().join(format!("tidings-announce-{}", process::id()));
        let _ = fs::remove_dir_all(&folder);
        // The first user, whose channel is private-prisma-7-1.
        add(&SharedStore::beside(&folder).expect("a store"), "away").await;
        let (store, announcements) = SharedStore::serve(&folder).expect("a store");
        let brands = Arc::new(Brands::new(vec![acorn()], Vec::new()));
        brands.take(brands.begin_reading(), (Vec::new(), Vec::new()));
        let server = Arc::new(Recording::default());
        tokio::spawn(tell(server.clone(), brands, announcements));
        add(&store, "another").await;
        server.lock().occupied = vec!["private-prisma-7-1".to_owned()];
        let told = async {
            while server.lock().published.is_empty() {
                add(&store, "another").await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), told).await.expect("it is told");
        let _ = fs::remove_dir_all(&folder);
    }
}
