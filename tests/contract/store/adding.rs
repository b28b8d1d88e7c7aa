//! Storing: numbers, senders' keys, and what is stored together.

use std::collections::HashSet;

use futures_util::future::join_all;
use tidings_store::{
    Added, Content, EXTERNAL_ID_MAX, NewNotification, News, Recipient, Set, SharedStore, SourceKey, Which,
    notifications::{Button, Display, Kind},
};

use super::{
    Home, KEPT, add, added, at, brand, cases, home::Harm, inbox, keyed, next, titled, titles, to, user,
};

cases!(
    what_it_says_comes_back_as_it_was,
    numbers_grow_while_the_clock_goes_back,
    numbers_grow_over_restarts,
    a_number_is_never_given_again,
    numbers_grow_over_the_writers_of_two_processes,
    a_user_is_made_once,
    one_key_is_stored_once_however_many_send_it,
    a_key_is_known_within_one_call,
    a_key_belongs_to_its_brand_and_door,
    a_key_outlives_what_was_sent_under_it,
    one_that_cannot_be_stored_does_not_harm_the_others,
);

async fn what_it_says_comes_back_as_it_was(home: Home) {
    let (store, _announcements) = home.serve();
    let content = Content {
        kind: Kind::Shoutout,
        display: Display::Silent,
        title: "\u{1F4E6} \"Paket\" 'da'; DROP TABLE notifications; --".to_owned(),
        body: "<p>a\u{0}b\n\u{FEFF}</p>".to_owned(),
        preview: "%s _ \\".to_owned(),
        footer: "\u{202E}rtl".to_owned(),
        buttons: [
            Button { link: "https://a.example/?x=1&y=2".to_owned(), text: "A".to_owned() },
            Button { link: "b".to_owned(), text: String::new() },
        ],
        image_url: "https://a.example/i.png".to_owned(),
        data: r#"{"order":"A-19","n":12345678901234567890}"#.to_owned(),
        category: "Post".to_owned(),
        tags: vec!["b".to_owned(), "a".to_owned(), "ü\\".to_owned()],
        expires_at: Some(at(5)),
    };
    let id = added(&store, to("ann", content.clone()), at(1)).await;
    let ann = user(&store, brand(7), "ann").await;
    let kept = store.notification(ann, id, at(2)).await.expect("read").expect("is there");
    assert_eq!(kept.content, content);
    assert_eq!((kept.id, kept.owner, kept.created_at), (id, ann, at(1)));
    assert_eq!((kept.seen_at, kept.read_at, kept.archived_at), (None, None, None));
    assert_eq!(inbox(&store, ann, at(2)).await, [kept]);
    assert_eq!(inbox(&store, ann, at(5)).await, [], "it has expired");
    assert_eq!(store.notification(ann, id, at(5)).await.expect("read"), None);
}

async fn numbers_grow_while_the_clock_goes_back(home: Home) {
    let (store, _announcements) = home.serve();
    let mut last = added(&store, to("ann", titled("first")), at(1_000_000)).await;
    for (n, now) in [1_000_000, 999_999, 0, -500_000, 999_999, 1_000_001].into_iter().enumerate() {
        let id = added(&store, to("ann", titled(&n.to_string())), at(now)).await;
        assert!(id > last, "{id} after {last}");
        last = id;
    }
    let ann = user(&store, brand(7), "ann").await;
    assert_eq!(
        titles(&inbox(&store, ann, at(0)).await),
        ["5", "4", "3", "2", "1", "0", "first"],
        "newest first, whatever the clock said"
    );
}

async fn numbers_grow_over_restarts(home: Home) {
    let mut last = None;
    for now in [5000, 4000, 0, 5001] {
        let (store, _announcements) = home.serve();
        let id = added(&store, to("ann", titled("again")), at(now)).await;
        assert!(Some(id) > last, "{id} after {last:?}");
        last = Some(id);
    }
}

/// Not even when nothing is left that shows it was given.
async fn a_number_is_never_given_again(home: Home) {
    let (store, _announcements) = home.serve();
    let mut given = HashSet::new();
    for round in 0..5 {
        for new in [keyed("ann", &format!("key {round}")), to("ann", titled("no key"))] {
            let id = added(&store, new, at(0)).await;
            assert!(given.insert(id), "{id} was given before");
        }
        assert!(store.delete_user(brand(7), "ann".to_owned()).await.expect("deleted"));
    }
    let id = added(&store, to("bob", titled("deleted")), at(0)).await;
    given.insert(id);
    let bob = user(&store, brand(7), "bob").await;
    store.change(bob, Which::One(id), Set::Deleted, at(0)).await.expect("deleted");
    while store.sweep(at(1).after(KEPT)).await.expect("swept") {}
    assert_eq!(home.rows("notifications"), 0, "all is forgotten");
    let id = added(&store, to("bob", titled("the clock has gone back")), at(0)).await;
    assert!(given.insert(id), "{id} was given before");
}

async fn numbers_grow_over_the_writers_of_two_processes(home: Home) {
    const EACH: usize = 150;
    let (store, _announcements) = home.serve();
    let other = home.beside();
    let write = |store: SharedStore, name: &'static str| {
        tokio::spawn(async move {
            let mut ids = Vec::new();
            for n in 0..EACH {
                ids.push(added(&store, to(name, titled(&n.to_string())), at(0)).await);
            }
            ids
        })
    };
    let (ours, theirs) = (write(store.clone(), "ann"), write(other, "bob"));
    let (ours, theirs) = (ours.await.expect("written"), theirs.await.expect("written"));
    assert!(ours.is_sorted() && theirs.is_sorted());
    let all: HashSet<_> = ours.iter().chain(&theirs).collect();
    assert_eq!(all.len(), 2 * EACH, "no number twice");
    let last = added(&store, to("ann", titled("last")), at(0)).await;
    assert!(all.iter().all(|id| **id < last));
}

async fn a_user_is_made_once(home: Home) {
    let (store, _announcements) = home.serve();
    let other = home.beside();
    let longest = "ü".repeat(EXTERNAL_ID_MAX);
    let adds = (0..40).map(|n| {
        let (store, longest) = (if n % 2 == 0 { store.clone() } else { other.clone() }, longest.clone());
        async move { added(&store, to(&longest, titled("x")), at(0)).await }
    });
    assert_eq!(join_all(adds).await.len(), 40);
    let users = store.users(brand(7), None, 10).await.expect("listed");
    assert_eq!(users.iter().map(|user| &user.external_id).collect::<Vec<_>>(), [&longest]);
    assert_eq!(inbox(&store, users[0].key, at(0)).await.len(), 40);
}

async fn one_key_is_stored_once_however_many_send_it(home: Home) {
    let (store, _announcements) = home.serve();
    let other = home.beside();
    for round in 0..10 {
        let key = format!("key {round}");
        let sends = (0..32).map(|n| {
            let (store, key) = (if n % 4 == 0 { other.clone() } else { store.clone() }, key.clone());
            tokio::spawn(async move { add(&store, keyed("ann", &key), at(round)).await.expect("stored") })
        });
        let answers: Vec<Added> =
            join_all(sends).await.into_iter().map(|sent| sent.expect("no panic")).collect();
        let new: Vec<_> = answers.iter().filter(|added| matches!(added, Added::New(_))).collect();
        assert_eq!(new.len(), 1, "{answers:?}");
        assert!(answers.iter().all(|added| added.id() == new[0].id()), "{answers:?}");
    }
    let ann = user(&store, brand(7), "ann").await;
    assert_eq!(inbox(&store, ann, at(0)).await.len(), 10);
}

async fn a_key_is_known_within_one_call(home: Home) {
    let (store, _announcements) = home.serve();
    let new = ["a", "b", "a", "a", "b"].map(|key| keyed("ann", key)).to_vec();
    let answers = store.add(new, at(0)).await.expect("stored");
    let answers: Vec<Added> = answers.into_iter().map(|answer| answer.expect("stored")).collect();
    let (a, b) = (answers[0].id(), answers[1].id());
    assert_ne!(a, b);
    assert_eq!(answers, [Added::New(a), Added::New(b), Added::Known(a), Added::Known(a), Added::Known(b)]);
}

async fn a_key_belongs_to_its_brand_and_door(home: Home) {
    let (store, _announcements) = home.serve();
    let sent = |number: i64, source: &'static str, key: &str| NewNotification {
        recipient: Recipient::External { brand: brand(number), external_id: "ann".to_owned() },
        content: titled(key),
        source_key: Some(SourceKey { source, key: key.to_owned() }),
    };
    let all = [(7, "door", "1"), (8, "door", "1"), (7, "other", "1"), (7, "door", "1 "), (7, "door", "")];
    let mut ids = Vec::new();
    for (brand, source, key) in all {
        ids.push(added(&store, sent(brand, source, key), at(0)).await);
    }
    for ((brand, source, key), id) in all.into_iter().zip(ids) {
        assert_eq!(add(&store, sent(brand, source, key), at(1)).await.expect("stored"), Added::Known(id));
    }
}

async fn a_key_outlives_what_was_sent_under_it(home: Home) {
    let (store, _announcements) = home.serve();
    let id = added(&store, keyed("ann", "1"), at(0)).await;
    let ann = user(&store, brand(7), "ann").await;
    store.change(ann, Which::One(id), Set::Deleted, at(1)).await.expect("deleted");
    let almost = at(-1).after(KEPT);
    while store.sweep(almost).await.expect("swept") {}
    assert_eq!(add(&store, keyed("ann", "1"), almost).await.expect("stored"), Added::Known(id));
    assert_eq!(inbox(&store, ann, almost).await, [], "what was deleted does not come back");

    let later = at(0).after(KEPT);
    while store.sweep(later).await.expect("swept") {}
    let again = added(&store, keyed("ann", "1"), later).await;
    assert!(again > id);
}

async fn one_that_cannot_be_stored_does_not_harm_the_others(home: Home) {
    let (store, mut announcements) = home.serve();
    home.refuse("bad", Harm::Change);
    let bad = NewNotification { content: titled("bad"), ..keyed("nobody", "bad") };
    let new = vec![keyed("ann", "1"), bad.clone(), keyed("ann", "2"), bad.clone(), keyed("ann", "3")];
    let answers = store.add(new, at(0)).await.expect("the call succeeds");
    assert_eq!(answers.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true, false, true]);
    let ann = user(&store, brand(7), "ann").await;
    assert_eq!(titles(&inbox(&store, ann, at(0)).await), ["3", "2", "1"]);
    assert_eq!(
        store.user_called(brand(7), "nobody".to_owned()).await.expect("read"),
        None,
        "nothing of it is there, not even whom it would have been for"
    );
    for expected in ["1", "2", "3"] {
        let told = next(&mut announcements).await;
        assert!(matches!(&told.news, News::Created(new) if new.content.title == expected), "{told:?}");
    }

    home.accept("bad");
    let id = added(&store, bad, at(1)).await;
    let nobody = user(&store, brand(7), "nobody").await;
    assert_eq!(inbox(&store, nobody, at(1)).await[0].id, id);
}
