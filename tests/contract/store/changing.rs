//! Changing an inbox: only one's own, at most so full, and what is deleted is gone.

use tidings_store::{
    Content, Counts, Filter, INBOX_MAX, Ids, NewNotification, News, NotificationId, Recipient, Set, UserId,
    UserKey, Which,
};

use super::{Home, KEPT, added, at, brand, cases, inbox, next, titled, titles, to, user};

cases!(
    what_is_anothers_is_neither_found_nor_changed,
    nobody_gets_what_is_for_no_user_of_the_brand,
    a_full_inbox_loses_what_was_read_first_then_what_is_oldest,
    what_has_expired_takes_no_room,
    what_expires_is_buried_and_told,
    a_deleted_one_says_nothing_and_is_forgotten_in_time,
    a_forgotten_user_leaves_no_word,
    pages_follow_each_other_while_more_comes,
    a_tag_is_found_as_it_is,
);

const SETS: [Set; 6] = [Set::Seen, Set::Read, Set::Unread, Set::Archived, Set::Unarchived, Set::Deleted];

async fn what_is_anothers_is_neither_found_nor_changed(home: Home) {
    let (store, _announcements) = home.serve();
    let id = added(&store, to("ann", titled("ann's")), at(0)).await;
    added(&store, to("bob", titled("bob's")), at(0)).await;
    let ann = user(&store, brand(7), "ann").await;
    let bob = user(&store, brand(7), "bob").await;
    let elsewhere = NewNotification {
        recipient: Recipient::External { brand: brand(8), external_id: "ann".to_owned() },
        content: titled("in another brand"),
        source_key: None,
    };
    added(&store, elsewhere, at(0)).await;
    let namesake = user(&store, brand(8), "ann").await;
    let before = inbox(&store, ann, at(1)).await;
    let nobody = UserKey { brand: brand(7), user: UserId::new(1 << 40).expect("a number") };
    // The right number in the wrong brand as well.
    let ann_elsewhere = UserKey { brand: brand(8), user: ann.user };
    for other in [bob, namesake, nobody, ann_elsewhere] {
        assert_eq!(store.notification(other, id, at(1)).await.expect("read"), None, "{other:?}");
        for set in SETS {
            let changed = store.change(other, Which::One(id), set, at(1)).await.expect("no error");
            assert_eq!((changed.found, changed.changed), (0, 0), "{other:?} {set:?}");
        }
    }
    for (stranger, holds) in [(nobody, 0), (ann_elsewhere, 0), (bob, 1), (namesake, 1)] {
        assert_eq!(inbox(&store, stranger, at(1)).await.len(), holds, "{stranger:?}");
        let counts = store.counts(stranger, at(1)).await.expect("counted");
        assert_eq!(counts.total, u32::try_from(holds).expect("few"), "{stranger:?}");
        for set in SETS {
            let all = Which::All(Filter::default());
            let changed = store.change(stranger, all, set, at(1)).await.expect("no error");
            assert!(changed.found <= holds, "{stranger:?} {set:?}");
        }
    }
    assert_eq!(inbox(&store, ann, at(1)).await, before);
    assert_eq!(store.user(ann_elsewhere).await.expect("read"), None);
}

async fn nobody_gets_what_is_for_no_user_of_the_brand(home: Home) {
    let (store, mut announcements) = home.serve();
    added(&store, to("ann", titled("hers")), at(0)).await;
    next(&mut announcements).await;
    let ann = user(&store, brand(7), "ann").await;
    let for_key = |recipient| NewNotification {
        recipient: Recipient::User(recipient),
        content: titled("x"),
        source_key: None,
    };
    for wrong in
        [UserKey { brand: brand(8), ..ann }, UserKey { user: UserId::new(1 << 40).expect("a number"), ..ann }]
    {
        super::add(&store, for_key(wrong), at(1)).await.expect_err("there is no such user");
    }
    assert_eq!(home.rows("notifications"), 1);
    let id = added(&store, for_key(ann), at(1)).await;
    assert!(matches!(&next(&mut announcements).await.news, News::Created(new) if new.id == id));
}

async fn fill(store: &tidings_store::SharedStore, from: u32, to_: u32) -> Vec<NotificationId> {
    let new = (from..to_).map(|n| to("ann", titled(&n.to_string()))).collect();
    let answers = store.add(new, at(0)).await.expect("stored");
    answers.into_iter().map(|answer| answer.expect("stored").id()).collect()
}

async fn a_full_inbox_loses_what_was_read_first_then_what_is_oldest(home: Home) {
    let (store, mut announcements) = home.serve();
    let ids = fill(&store, 0, INBOX_MAX).await;
    let ann = user(&store, brand(7), "ann").await;
    for _ in 0..INBOX_MAX {
        next(&mut announcements).await;
    }
    for n in [500, 700] {
        store.change(ann, Which::One(ids[n]), Set::Read, at(1)).await.expect("changed");
        next(&mut announcements).await;
    }
    // Archived ones take room like others.
    store.change(ann, Which::One(ids[3]), Set::Archived, at(1)).await.expect("changed");
    next(&mut announcements).await;
    for goes in [500, 700, 0, 1, 2, 3, 4] {
        let id = added(&store, to("ann", titled("one more")), at(2)).await;
        let told = next(&mut announcements).await;
        assert_eq!(told.news, News::Changed { set: Set::Deleted, ids: Ids::These(vec![ids[goes]]) });
        assert!(matches!(&next(&mut announcements).await.news, News::Created(new) if new.id == id));
        assert_eq!(store.notification(ann, ids[goes], at(2)).await.expect("read"), None);
    }
    let counts = store.counts(ann, at(2)).await.expect("counted");
    assert_eq!(counts, Counts { unread: INBOX_MAX, unseen: INBOX_MAX, total: INBOX_MAX });
    assert_eq!(inbox(&store, ann, at(2)).await.len(), INBOX_MAX as usize);
}

async fn what_has_expired_takes_no_room(home: Home) {
    let (store, announcements) = home.serve();
    drop(announcements);
    let ids = fill(&store, 0, INBOX_MAX - 2).await;
    let ann = user(&store, brand(7), "ann").await;
    for _ in 0..2 {
        let content = Content { expires_at: Some(at(10)), ..titled("short-lived") };
        added(&store, to("ann", content), at(0)).await;
    }
    for _ in 0..2 {
        added(&store, to("ann", titled("in its place")), at(10)).await;
    }
    assert!(store.notification(ann, ids[0], at(10)).await.expect("read").is_some(), "the oldest is there");
    assert_eq!(store.counts(ann, at(10)).await.expect("counted").total, INBOX_MAX);
    added(&store, to("ann", titled("one more")), at(10)).await;
    assert_eq!(store.notification(ann, ids[0], at(10)).await.expect("read"), None);
    assert_eq!(store.counts(ann, at(10)).await.expect("counted").total, INBOX_MAX);
}

async fn what_expires_is_buried_and_told(home: Home) {
    let (store, mut announcements) = home.serve();
    let mut ids = Vec::new();
    for (name, title, ms) in [("ann", "1", 10), ("bob", "2", 11), ("ann", "3", 12), ("ann", "4", 20)] {
        let content = Content { expires_at: Some(at(ms)), ..titled(title) };
        ids.push(added(&store, to(name, content), at(0)).await);
        next(&mut announcements).await;
    }
    let ann = user(&store, brand(7), "ann").await;
    let bob = user(&store, brand(7), "bob").await;
    assert!(!store.sweep(at(9)).await.expect("swept"));
    assert_eq!(store.counts(ann, at(9)).await.expect("counted").total, 3);
    // What has expired is not there, swept or not.
    assert_eq!(titles(&inbox(&store, ann, at(12)).await), ["4"]);
    for set in SETS {
        let changed = store.change(ann, Which::One(ids[0]), set, at(12)).await.expect("no error");
        assert_eq!(changed.found, 0);
        assert_eq!(changed.counts, Counts { unread: 1, unseen: 1, total: 1 });
    }
    while store.sweep(at(12)).await.expect("swept") {}
    let mut told = Vec::new();
    while told.len() < 3 {
        let announcement = next(&mut announcements).await;
        let News::Changed { set: Set::Deleted, ids: Ids::These(ids) } = announcement.news else {
            panic!("{announcement:?}");
        };
        assert_eq!(announcement.counts.total, u32::from(announcement.owner == ann));
        told.extend(ids.into_iter().map(|id| (announcement.owner, id)));
    }
    assert_eq!(told, [(ann, ids[0]), (bob, ids[1]), (ann, ids[2])]);
    assert!(!store.sweep(at(12)).await.expect("swept"), "once");
}

async fn a_deleted_one_says_nothing_and_is_forgotten_in_time(home: Home) {
    let (store, _announcements) = home.serve();
    let id = added(&store, to("ann", wordy()), at(0)).await;
    let ann = user(&store, brand(7), "ann").await;
    assert!(home.says("SECRET"));
    let changed = store.change(ann, Which::One(id), Set::Deleted, at(5)).await.expect("deleted");
    assert_eq!((changed.found, changed.changed, changed.counts), (1, 1, Counts::default()));
    assert!(!home.says("SECRET"), "a tombstone says nothing");
    let again = store.change(ann, Which::One(id), Set::Deleted, at(6)).await.expect("no error");
    assert_eq!((again.found, again.changed), (0, 0));
    while store.sweep(at(4).after(KEPT)).await.expect("swept") {}
    assert_eq!(home.rows("notifications"), 1);
    while store.sweep(at(5).after(KEPT)).await.expect("swept") {}
    assert_eq!(home.rows("notifications"), 0);
}

async fn a_forgotten_user_leaves_no_word(home: Home) {
    let (store, _announcements) = home.serve();
    added(&store, to("ann", wordy()), at(0)).await;
    let ann = user(&store, brand(7), "ann").await;
    assert!(store.delete_user(brand(7), "ann".to_owned()).await.expect("deleted"));
    assert!(!store.delete_user(brand(7), "ann".to_owned()).await.expect("no error"));
    assert!(!home.says("SECRET"));
    assert_eq!(inbox(&store, ann, at(0)).await, []);
    assert_eq!(store.counts(ann, at(0)).await.expect("counted"), Counts::default());
    // Whoever comes under that name is somebody else.
    added(&store, to("ann", titled("new")), at(1)).await;
    let new = user(&store, brand(7), "ann").await;
    assert_ne!(new, ann);
    assert_eq!(titles(&inbox(&store, new, at(1)).await), ["new"]);
}

/// With a word in every text.
fn wordy() -> Content {
    let text = || "SECRET".to_owned();
    let button = || tidings_store::notifications::Button { link: text(), text: text() };
    Content {
        title: text(),
        body: text(),
        preview: text(),
        footer: text(),
        buttons: [button(), button()],
        image_url: text(),
        data: r#"{"SECRET":1}"#.to_owned(),
        category: text(),
        tags: vec![text()],
        ..Content::default()
    }
}

async fn pages_follow_each_other_while_more_comes(home: Home) {
    let (store, announcements) = home.serve();
    drop(announcements);
    let ids = fill(&store, 0, 100).await;
    let ann = user(&store, brand(7), "ann").await;
    let mut filter = Filter::default();
    let mut seen = Vec::new();
    loop {
        let page = store.list(ann, filter.clone(), 7, at(1)).await.expect("listed").notifications;
        seen.extend(page.iter().map(|notification| notification.id));
        let Some(last) = page.last() else { break };
        filter.before = Some(last.id);
        fill(&store, 1000, 1003).await;
        // What goes takes nothing else with it.
        store.change(ann, Which::One(page[0].id), Set::Deleted, at(1)).await.expect("deleted");
    }
    let mut expected = ids;
    expected.reverse();
    assert_eq!(seen, expected, "each once, newest first");
}

async fn a_tag_is_found_as_it_is(home: Home) {
    let (store, _announcements) = home.serve();
    let tags = ["a", "b", "ab", "a b", "a,b", ",", "ü", "a\\", "\\", "\"", "[", "%", "_", "", "\u{1}"];
    for tag in tags {
        let tags = vec![tag.to_owned(), "everyone's".to_owned()];
        added(&store, to("ann", Content { tags, ..titled(tag) }), at(0)).await;
    }
    let ann = user(&store, brand(7), "ann").await;
    for tag in tags {
        let filter = Filter { tag: Some(tag.to_owned()), ..Filter::default() };
        let found = store.list(ann, filter, 100, at(0)).await.expect("listed").notifications;
        assert_eq!(titles(&found), [tag]);
    }
    let filter = Filter { tag: Some("everyone's".to_owned()), ..Filter::default() };
    assert_eq!(store.list(ann, filter, 100, at(0)).await.expect("listed").notifications.len(), tags.len());
}
