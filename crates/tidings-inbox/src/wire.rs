//! What pages are shown and told: the notification as the CRM's pages know it, and the events on a user's channel.
//!
//! Source: `facts/notifications.md`, 1.3, 1.4 and 6.5.

use serde_json::{Value, json};
use tidings_protocol::{ChannelName, limit::Limit};
use tidings_store::{Announcement, Counts, Ids, News, Notification, Set, UserKey, time::Timestamp};

/// Events that begin so are the server's own.
const COUNTS: &str = "tidings:counts";
const UPDATED: &str = "tidings:updated";
const DELETED: &str = "tidings:deleted";
/// So many ids fit into one event of the smallest usual limit.
const IDS_PER_EVENT: usize = 400;

/// The channel of a user's pages.
///
/// # Panics
/// Never: numbers make a channel name.
pub(crate) fn channel(owner: UserKey) -> ChannelName {
    let name = format!("private-prisma-{}-{}", owner.brand, owner.user);
    ChannelName::parse(&name).expect("numbers make a channel name")
}

/// What a user is called who signs in to an app: not by the number alone, which may be that of one of the app's own users.
pub(crate) fn signed_in(owner: UserKey) -> String {
    format!("prisma-{}-{}", owner.brand, owner.user)
}

/// The notification as the CRM's pages know it.
pub(crate) fn notification(notification: &Notification) -> Value {
    let content = &notification.content;
    let [first, second] = &content.buttons;
    json!({
        "MessageId": notification.id.get(),
        "UserId": notification.owner.user.get(),
        "Event": content.kind.word(),
        "DisplayType": content.display.word(),
        "Title": content.title,
        "Message": content.body,
        "PreviewText": content.preview,
        "FooterText": content.footer,
        "Data": data(&content.data),
        "CTAButtonLink": first.link,
        "CTAButtonText": first.text,
        "CTAButton2Link": second.link,
        "CTAButton2Text": second.text,
        "ImageUrl": content.image_url,
        "IsRead": notification.read_at.is_some(),
        "Date": notification.created_at.with_space(),
        "Expires": content.expires_at.map(Timestamp::with_space),
    })
}

/// The brand's own fields, an empty object where there are none.
pub(crate) fn data(text: &str) -> Value {
    serde_json::from_str(text).ok().filter(Value::is_object).unwrap_or_else(|| json!({}))
}

/// What the user's pages are told: names of events and their data.
pub(crate) fn events(announcement: &Announcement, limit: Limit) -> Vec<(&'static str, String)> {
    let mut events = match &announcement.news {
        News::Created(created) => vec![(created.content.kind.word(), created_within(created, limit))],
        News::Changed { set, ids } => changed(*set, ids),
        News::Counts => Vec::new(),
    };
    events.push((COUNTS, counts(announcement.counts).to_string()));
    events
}

/// The notification, without its long parts where it is too long for an event: pages fetch it then.
fn created_within(created: &Notification, limit: Limit) -> String {
    let mut object = notification(created);
    let text = object.to_string();
    if limit.allows(text.len()) {
        return text;
    }
    object["Message"] = "".into();
    object["Data"] = json!({});
    object["Truncated"] = true.into();
    let text = object.to_string();
    if limit.allows(text.len()) {
        return text;
    }
    for long in ["PreviewText", "FooterText", "CTAButtonLink", "CTAButton2Link", "ImageUrl", "Title"] {
        object[long] = "".into();
    }
    object.to_string()
}

fn changed(set: Set, ids: &Ids) -> Vec<(&'static str, String)> {
    let event = |ids: &[_]| match set {
        Set::Deleted => (DELETED, json!({"MessageIds": ids}).to_string()),
        _ => (UPDATED, json!({"MessageIds": ids, "All": false, "Set": set.word()}).to_string()),
    };
    match ids {
        Ids::All => vec![(UPDATED, json!({"MessageIds": [], "All": true, "Set": set.word()}).to_string())],
        Ids::These(ids) => {
            let numbers: Vec<i64> = ids.iter().map(|id| id.get()).collect();
            numbers.chunks(IDS_PER_EVENT).map(event).collect()
        }
    }
}

fn counts(counts: Counts) -> Value {
    json!({"Unread": counts.unread, "Unseen": counts.unseen, "Total": counts.total})
}

#[cfg(test)]
mod tests {
    use tidings_store::{
        BrandId, Content, NotificationId, UserId,
        notifications::{Button, Display, Kind},
    };

    use super::*;

    fn owner() -> UserKey {
        UserKey { brand: BrandId::new(7).expect("id"), user: UserId::new(4211).expect("id") }
    }

    /// The sample of 1.4.
    fn parcel() -> Notification {
        Notification {
            id: NotificationId::new(5001).expect("id"),
            owner: owner(),
            content: Content {
                kind: Kind::Inbox,
                display: Display::Push,
                title: "Parcel on its way".into(),
                body: "<p>It left the depot.</p>".into(),
                preview: "It left the depot.".into(),
                buttons: [
                    Button { link: "https://shop.example/o/A-19".into(), text: "Track".into() },
                    Button::default(),
                ],
                data: r#"{"order":"A-19"}"#.into(),
                expires_at: Timestamp::parse("2026-02-01 00:00:00"),
                ..Content::default()
            },
            created_at: Timestamp::parse("2026-01-02 03:04:05").expect("a date"),
            seen_at: None,
            read_at: None,
            archived_at: None,
        }
    }

    #[test]
    fn the_object_is_the_one_that_pages_know() {
        let expected: Value = serde_json::from_str(
            "{\"MessageId\":5001,\"UserId\":4211,\"Event\":\"inbox\",\"DisplayType\":\"push\",\"Title\":\"Parcel on its way\",\"Message\":\"<p>It left the depot.</p>\",\"PreviewText\":\"It left the depot.\",\"FooterText\":\"\",\"Data\":{\"order\":\"A-19\"},\"CTAButtonLink\":\"https://shop.example/o/A-19\",\"CTAButtonText\":\"Track\",\"CTAButton2Link\":\"\",\"CTAButton2Text\":\"\",\"ImageUrl\":\"\",\"IsRead\":false,\"Date\":\"2026-01-02 03:04:05\",\"Expires\":\"2026-02-01 00:00:00\"}",
        )
        .expect("JSON");
        assert_eq!(notification(&parcel()), expected);
        assert_eq!(channel(owner()).as_str(), "private-prisma-7-4211");
    }

    #[test]
    fn what_is_too_long_for_an_event_is_cut() {
        let mut long = parcel();
        long.content.body = "é".repeat(6000);
        let text = created_within(&long, Limit::new(10 * 1024));
        let value: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(
            (&value["Message"], &value["Truncated"], &value["Data"]),
            (&json!(""), &json!(true), &json!({}))
        );
        assert_eq!(value["Title"], "Parcel on its way");
        long.content.preview = "x".repeat(20_000);
        assert!(created_within(&long, Limit::new(10 * 1024)).len() < 1024);
        assert!(created_within(&long, Limit::NONE).len() > 30_000);
    }

    #[test]
    fn changes_are_told_with_the_counts() {
        let id = NotificationId::new(5001).expect("id");
        let check = |news: News, expected: &str| {
            let counts = Counts { unread: 3, unseen: 1, total: 20 };
            let announcement = Announcement { seq: 1, owner: owner(), news, counts, is_left_over: false };
            let told: Vec<String> = events(&announcement, Limit::NONE)
                .into_iter()
                .map(|(event, data)| format!("{event} {data}"))
                .collect();
            let counts = r#"tidings:counts {"Total":20,"Unread":3,"Unseen":1}"#;
            assert_eq!(told.last().expect("counts"), counts);
            assert_eq!(told[..told.len() - 1].join("\n"), expected);
        };
        let these = || Ids::These(vec![id]);
        check(
            News::Changed { set: Set::Read, ids: these() },
            r#"tidings:updated {"All":false,"MessageIds":[5001],"Set":"read"}"#,
        );
        check(
            News::Changed { set: Set::Read, ids: Ids::All },
            r#"tidings:updated {"All":true,"MessageIds":[],"Set":"read"}"#,
        );
        check(News::Changed { set: Set::Deleted, ids: these() }, r#"tidings:deleted {"MessageIds":[5001]}"#);
        check(News::Counts, "");
    }
}
