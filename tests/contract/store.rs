//! What the store promises a server. Its cases know no SQL; what they need of a database beyond its public API, a
//! [`Home`] does for them.

mod adding;
mod announcing;
mod brands;
mod changing;
mod faults;
mod home;
mod measuring;
mod model;
mod sending;

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::Poll,
    time::Duration,
};

use futures_util::future::{MaybeDone, maybe_done};
use tidings_store::{
    Added, Announcement, Announcements, BrandId, Content, Filter, NewNotification, Notification,
    NotificationId, Recipient, SharedStore, SourceKey, StoreError, UserKey, time::Timestamp,
};
use tokio::time::timeout;

use crate::harness::DEADLINE;

use home::Home;

/// Runs each of these cases for every implementation, under the name `case::implementation`.
macro_rules! cases {
    ($($case:ident),+ $(,)?) => {
        $(mod $case {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                super::$case(crate::contract::store::Home::sqlite(module_path!())).await;
            }
        })+
    };
}
use cases;

/// So many milliseconds into a day of 2026.
fn at(ms: i64) -> Timestamp {
    Timestamp::from_ms(1_780_000_000_000 + ms)
}

/// How long tombstones and senders' keys are kept.
const KEPT: Duration = Duration::from_hours(30 * 24);

fn brand(number: i64) -> BrandId {
    BrandId::new(number).expect("a brand's number")
}

fn titled(title: &str) -> Content {
    Content { title: title.to_owned(), ..Content::default() }
}

/// A notification of brand 7 for whom the operator calls so.
fn to(external_id: &str, content: Content) -> NewNotification {
    let recipient = Recipient::External { brand: brand(7), external_id: external_id.to_owned() };
    NewNotification { recipient, content, source_key: None }
}

/// The same, under its sender's key.
fn keyed(external_id: &str, key: &str) -> NewNotification {
    let source_key = SourceKey { source: "door", key: key.to_owned() };
    NewNotification { source_key: Some(source_key), ..to(external_id, titled(key)) }
}

/// Stores one.
async fn add(store: &SharedStore, new: NewNotification, now: Timestamp) -> Result<Added, StoreError> {
    store.add(vec![new], now).await?.pop().expect("an answer for each")
}

/// Stores one that is new, and gives its number.
async fn added(store: &SharedStore, new: NewNotification, now: Timestamp) -> NotificationId {
    match add(store, new, now).await.expect("stored") {
        Added::New(id) => id,
        Added::Known(id) => panic!("{id} was known"),
    }
}

async fn user(store: &SharedStore, brand: BrandId, external_id: &str) -> UserKey {
    let user = store.user_called(brand, external_id.to_owned()).await.expect("read");
    user.unwrap_or_else(|| panic!("{external_id} is known")).key
}

/// All of an inbox that is not archived, newest first.
async fn inbox(store: &SharedStore, owner: UserKey, now: Timestamp) -> Vec<Notification> {
    store.list(owner, Filter::default(), u32::MAX, now).await.expect("listed").notifications
}

fn titles(notifications: &[Notification]) -> Vec<&str> {
    notifications.iter().map(|notification| notification.content.title.as_str()).collect()
}

/// The next announcement, which comes in time.
async fn next(announcements: &mut Announcements) -> Announcement {
    timeout(DEADLINE, announcements.next()).await.expect("announced in time").expect("the store is open")
}

/// Something that was begun: what it does before it waits for the first time is done.
struct Begun<T>(Pin<Box<MaybeDone<Doing<T>>>>);

type Doing<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl<T: 'static> Begun<T> {
    async fn begin(doing: impl Future<Output = T> + Send + 'static) -> Self {
        let doing: Doing<T> = Box::pin(doing);
        let mut begun = Begun(Box::pin(maybe_done(doing)));
        poll_fn(|context| Poll::Ready(begun.0.as_mut().poll(context).is_ready())).await;
        begun
    }

    fn is_done(&self) -> bool {
        matches!(*self.0, MaybeDone::Done(_))
    }

    async fn end(mut self) -> T {
        timeout(3 * DEADLINE, self.0.as_mut()).await.expect("done in time");
        self.0.as_mut().take_output().expect("it is done")
    }
}
