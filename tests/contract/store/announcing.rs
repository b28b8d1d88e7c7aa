//! Announcing: what is committed is told, in the order of commits, once, whoever committed it.

use std::time::Duration;

use futures_util::future::join_all;
use tidings_store::{
    Added, Announcement, Announcements, Counts, Filter, Ids, News, NotificationId, Set, SharedStore,
    StoreError, Which,
};
use tokio::time::timeout;

use super::{DEADLINE, Home, added, at, brand, cases, keyed, next, titled, to, user};

cases!(
    two_servers_do_not_share_a_store,
    all_is_told_in_the_order_of_commits,
    a_change_is_told_with_what_the_inbox_then_holds,
    what_changes_nothing_is_not_told,
    what_comes_too_late_is_known_and_not_told,
    what_was_not_told_is_told_by_the_next_process,
    what_was_told_is_not_told_again,
    what_has_gone_since_is_told_as_counts,
    what_another_process_stores_is_told_within_a_second,
);

/// The number of the new notification that this tells of.
fn created(announcement: &Announcement) -> NotificationId {
    match &announcement.news {
        News::Created(notification) => notification.id,
        other => panic!("{other:?} is no new notification"),
    }
}

/// Waits until what has been told is forgotten, as it is soon after.
async fn forgotten(home: &Home) {
    timeout(DEADLINE, async {
        while home.rows("announcements") > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("what is told is forgotten");
}

/// Ends a process that has told all up to here.
async fn end_having_told(home: &Home, store: SharedStore, announcements: Announcements, seq: i64) {
    announcements.told(seq);
    forgotten(home).await;
    drop((store, announcements));
}

async fn all_is_told_in_the_order_of_commits(home: Home) {
    const TASKS: usize = 8;
    const EACH: usize = 40;
    let (store, mut announcements) = home.serve();
    let tasks = (0..TASKS).map(|task| {
        let store = store.clone();
        tokio::spawn(async move {
            let name = format!("user {}", task % 3);
            let mut told = Vec::new();
            for n in 0..EACH {
                let id = added(&store, to(&name, titled(&n.to_string())), at(0)).await;
                told.push((id, "created"));
                if n % 4 == 0 {
                    let owner = user(&store, brand(7), &name).await;
                    store.change(owner, Which::One(id), Set::Read, at(1)).await.expect("changed");
                    told.push((id, "read"));
                }
            }
            told
        })
    });
    let mut expected: Vec<_> =
        join_all(tasks).await.into_iter().flat_map(|task| task.expect("no panic")).collect();
    let mut told = Vec::new();
    let (mut last_seq, mut last_id) = (0, None);
    while told.len() < expected.len() {
        let announcement = next(&mut announcements).await;
        assert!(announcement.seq > last_seq, "{} after {last_seq}", announcement.seq);
        assert!(!announcement.is_left_over);
        last_seq = announcement.seq;
        match &announcement.news {
            News::Created(new) => {
                assert!(Some(new.id) > last_id, "numbers grow in the order of commits");
                last_id = Some(new.id);
                told.push((new.id, "created"));
            }
            News::Changed { set: Set::Read, ids: Ids::These(ids) } => {
                assert!(Some(ids[0]) <= last_id, "what is changed was told");
                told.push((ids[0], "read"));
            }
            other => panic!("nobody did {other:?}"),
        }
    }
    told.sort_unstable();
    expected.sort_unstable();
    assert_eq!(told, expected, "each once");
    // Nothing more is told: the next thing is the next thing.
    let id = added(&store, to("ann", titled("marker")), at(2)).await;
    assert_eq!(created(&next(&mut announcements).await), id);
}

async fn a_change_is_told_with_what_the_inbox_then_holds(home: Home) {
    let (store, mut announcements) = home.serve();
    let mut counts = Vec::new();
    let mut ids = Vec::new();
    for title in ["a", "b", "c"] {
        ids.push(added(&store, to("ann", titled(title)), at(0)).await);
        counts.push(next(&mut announcements).await.counts);
    }
    let of = |unread, unseen, total| Counts { unread, unseen, total };
    assert_eq!(counts, [of(1, 1, 1), of(2, 2, 2), of(3, 3, 3)]);

    let ann = user(&store, brand(7), "ann").await;
    let one = |id| (Which::One(id), Ids::These(vec![id]));
    let all = (Which::All(Filter::default()), Ids::All);
    let unread = Which::All(Filter { read: Some(false), ..Filter::default() });
    for ((which, told), set, expected) in [
        (one(ids[0]), Set::Seen, of(3, 2, 3)),
        (one(ids[1]), Set::Read, of(2, 1, 3)),
        (one(ids[1]), Set::Unread, of(3, 1, 3)),
        (one(ids[2]), Set::Archived, of(2, 0, 2)),
        (all.clone(), Set::Read, of(0, 0, 2)),
        (one(ids[2]), Set::Unarchived, of(1, 1, 3)),
        ((unread, Ids::These(vec![ids[2]])), Set::Read, of(0, 0, 3)),
        (one(ids[0]), Set::Deleted, of(0, 0, 2)),
        ((all.0, Ids::These(vec![ids[2], ids[1]])), Set::Deleted, of(0, 0, 0)),
    ] {
        let changed = store.change(ann, which, set, at(1)).await.expect("changed");
        assert_eq!(changed.counts, expected, "{set:?}");
        let announcement = next(&mut announcements).await;
        assert_eq!((announcement.owner, announcement.counts), (ann, expected), "{set:?}");
        assert_eq!(announcement.news, News::Changed { set, ids: told });
    }
}

async fn what_changes_nothing_is_not_told(home: Home) {
    let (store, mut announcements) = home.serve();
    let id = added(&store, keyed("ann", "1"), at(0)).await;
    assert_eq!(created(&next(&mut announcements).await), id);
    let ann = user(&store, brand(7), "ann").await;
    super::add(&store, keyed("ann", "1"), at(1)).await.expect("known");
    for set in [Set::Unread, Set::Unarchived] {
        let changed = store.change(ann, Which::One(id), set, at(1)).await.expect("no error");
        assert_eq!((changed.found, changed.changed), (1, 0), "{set:?}");
    }
    store.change(ann, Which::One(id), Set::Read, at(2)).await.expect("changed");
    next(&mut announcements).await;
    for set in [Set::Read, Set::Seen] {
        let changed = store.change(ann, Which::One(id), set, at(3)).await.expect("no error");
        assert_eq!((changed.found, changed.changed), (1, 0), "{set:?}");
    }
    let kept = store.notification(ann, id, at(3)).await.expect("read").expect("is there");
    assert_eq!((kept.read_at, kept.seen_at), (Some(at(2)), Some(at(2))), "the first time counts");
    let marker = added(&store, to("ann", titled("marker")), at(4)).await;
    assert_eq!(created(&next(&mut announcements).await), marker);
}

async fn what_comes_too_late_is_known_and_not_told(home: Home) {
    let (store, mut announcements) = home.serve();
    let late = || {
        let mut late = keyed("ann", "late");
        late.content.expires_at = Some(at(5));
        late
    };
    let id = added(&store, late(), at(5)).await;
    assert_eq!(super::add(&store, late(), at(6)).await.expect("no error"), Added::Known(id));
    while store.sweep(at(7)).await.expect("swept") {}
    let marker = added(&store, to("ann", titled("marker")), at(8)).await;
    assert_eq!(created(&next(&mut announcements).await), marker);
}

async fn what_was_not_told_is_told_by_the_next_process(home: Home) {
    let (store, mut announcements) = home.serve();
    let told = added(&store, to("ann", titled("told")), at(0)).await;
    let received = added(&store, to("ann", titled("received, not told")), at(1)).await;
    let first = next(&mut announcements).await;
    assert_eq!((created(&first), first.is_left_over), (told, false));
    let second = next(&mut announcements).await;
    assert_eq!(created(&second), received);
    announcements.told(first.seq);
    drop(announcements);
    // Nobody listens any more.
    let unheard = added(&store, to("bob", titled("unheard")), at(2)).await;
    let ann = user(&store, brand(7), "ann").await;
    store.change(ann, Which::One(told), Set::Read, at(3)).await.expect("changed");
    drop(store);

    let (store, mut announcements) = home.serve();
    let third = next(&mut announcements).await;
    assert_eq!((created(&third), third.is_left_over), (received, true));
    assert_eq!(third.seq, second.seq, "its place is the same");
    let fourth = next(&mut announcements).await;
    assert_eq!((created(&fourth), fourth.is_left_over), (unheard, true));
    let fifth = next(&mut announcements).await;
    assert_eq!(fifth.news, News::Changed { set: Set::Read, ids: Ids::These(vec![told]) });
    assert_eq!((fifth.owner, fifth.is_left_over), (ann, true));
    assert_eq!(fifth.counts, Counts { unread: 1, unseen: 1, total: 2 });
    let new = added(&store, to("bob", titled("new")), at(4)).await;
    let sixth = next(&mut announcements).await;
    assert_eq!((created(&sixth), sixth.is_left_over), (new, false));
}

async fn what_was_told_is_not_told_again(home: Home) {
    for round in 0..3 {
        let (store, mut announcements) = home.serve();
        let mut last = 0;
        for n in 0..5 {
            let id = added(&store, to("ann", titled("x")), at(round * 10 + n)).await;
            let announcement = next(&mut announcements).await;
            assert_eq!((created(&announcement), announcement.is_left_over), (id, false), "round {round}");
            last = announcement.seq;
        }
        end_having_told(&home, store, announcements, last).await;
    }
}

async fn what_has_gone_since_is_told_as_counts(home: Home) {
    let (store, announcements) = home.serve();
    let id = added(&store, to("ann", titled("short-lived")), at(0)).await;
    let ann = user(&store, brand(7), "ann").await;
    store.change(ann, Which::One(id), Set::Deleted, at(1)).await.expect("deleted");
    drop((store, announcements));

    let (_store, mut announcements) = home.serve();
    let first = next(&mut announcements).await;
    assert_eq!((first.owner, first.news, first.counts), (ann, News::Counts, Counts::default()));
    let second = next(&mut announcements).await;
    assert_eq!(second.news, News::Changed { set: Set::Deleted, ids: Ids::These(vec![id]) });
}

async fn what_another_process_stores_is_told_within_a_second(home: Home) {
    let (store, mut announcements) = home.serve();
    let other = home.beside();
    for round in 0..5 {
        // While the server has something to do, and while it has nothing. What comes before its first commit is left over.
        let ours = if round % 2 == 1 {
            None
        } else {
            Some(added(&store, to("bob", titled("ours")), at(round)).await)
        };
        let theirs = added(&other, to("ann", titled("theirs")), at(round)).await;
        let told = timeout(Duration::from_secs(1), async {
            if let Some(ours) = ours {
                assert_eq!(created(&announcements.next().await.expect("open")), ours);
            }
            announcements.next().await.expect("open")
        });
        let told = told.await.expect("told within a second");
        assert_eq!((created(&told), told.is_left_over), (theirs, false));
    }
    // A reader's change is told as well.
    let ann = user(&store, brand(7), "ann").await;
    let changed = other.change(ann, Which::All(Filter::default()), Set::Read, at(9)).await.expect("changed");
    let told = timeout(Duration::from_secs(1), announcements.next()).await.expect("in time").expect("open");
    assert_eq!(told.news, News::Changed { set: Set::Read, ids: Ids::All });
    assert_eq!(told.counts, changed.counts);
}

async fn two_servers_do_not_share_a_store(home: Home) {
    let first = home.serve();
    let second = SharedStore::serve(home.data_dir());
    assert!(matches!(second, Err(StoreError::Served { .. })), "both would tell the same pages");
    drop(home.beside());
    drop(first);
    home.serve();
}
