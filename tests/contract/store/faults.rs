//! When the store cannot do what it should.

use std::{future::poll_fn, task::Poll};

use futures_util::future::{join_all, maybe_done};
use tidings_store::{
    Added, Content, Filter, News, SharedStore, StoreError,
    sending::{Audience, NewBroadcast},
};

use super::{
    Begun, Home, add, added, at, brand, cases, home::Harm, inbox, keyed, next, titled, titles, to, user,
};

cases!(
    what_undoes_the_transaction_fails_everyone_in_it,
    another_process_that_does_not_end_is_named_and_reading_goes_on,
    what_was_left_over_stays_so_while_the_store_is_locked,
    more_than_can_wait_is_refused_at_once,
    more_bytes_than_can_wait_are_refused_at_once,
    more_reads_than_can_wait_are_refused_at_once,
    a_large_list_is_refused_while_others_leave_no_room,
    a_writer_that_panics_is_told,
);

async fn what_undoes_the_transaction_fails_everyone_in_it(home: Home) {
    let (store, mut announcements) = home.serve();
    let before = added(&store, keyed("ann", "before"), at(0)).await;
    home.refuse("bad", Harm::Transaction);
    // What comes while another process writes waits, and is then one transaction, or two: what the writer had taken up
    // when it began to wait is one of its own.
    let lock = home.lock();
    let keys = ["first", "good", "bad", "better"];
    let mut waiting = Vec::new();
    for key in keys {
        waiting.push(Begun::begin(later(&store, key)).await);
    }
    drop(lock);
    let mut failed = Vec::new();
    for add in waiting {
        failed.push(match add.end().await {
            Ok(_) => false,
            Err(StoreError::Sqlite { .. }) => true,
            Err(other) => panic!("{other:?}"),
        });
    }
    let transactions = failed.chunk_by(PartialEq::eq).collect::<Vec<_>>();
    let of_bad = transactions.iter().find(|of_one| of_one[0]).expect("the bad one failed");
    assert!(failed[2] && transactions.len() <= 2 && of_bad.len() >= 2, "whoever was in it: {failed:?}");
    let (not_stored, mut expected): (Vec<_>, Vec<_>) =
        keys.iter().zip(failed).partition(|(_, failed)| *failed);
    expected.insert(0, (&"before", false));
    let mut expected: Vec<_> = expected.into_iter().map(|(key, _)| *key).rev().collect();
    let ann = user(&store, brand(7), "ann").await;
    assert_eq!(titles(&inbox(&store, ann, at(0)).await), expected, "nothing of it is stored");

    home.accept("bad");
    for (key, _) in not_stored {
        let id = added(&store, keyed("ann", key), at(1)).await;
        assert!(id > before, "nothing of it is known, either");
        expected.insert(0, key);
    }
    assert_eq!(titles(&inbox(&store, ann, at(1)).await), expected);
    expected.reverse();
    for title in expected {
        let told = next(&mut announcements).await;
        assert!(matches!(&told.news, News::Created(new) if new.content.title == title), "{told:?}");
    }
}

/// An addition that is made when it is first waited for.
fn later(
    store: &SharedStore,
    key: &'static str,
) -> impl Future<Output = Result<Added, StoreError>> + Send + 'static {
    let store = store.clone();
    async move { add(&store, keyed("ann", key), at(0)).await }
}

async fn another_process_that_does_not_end_is_named_and_reading_goes_on(home: Home) {
    let (store, _announcements) = home.serve();
    added(&store, keyed("ann", "before"), at(0)).await;
    let ann = user(&store, brand(7), "ann").await;
    let lock = home.lock();
    let blocked = Begun::begin(later(&store, "blocked")).await;
    for _ in 0..100 {
        assert_eq!(titles(&inbox(&store, ann, at(0)).await), ["before"]);
        assert_eq!(store.counts(ann, at(0)).await.expect("counted").total, 1);
    }
    assert!(!blocked.is_done(), "it waits for the other to end");
    let answer = blocked.end().await;
    assert!(matches!(answer, Err(StoreError::Locked { .. })), "{answer:?}");
    assert_eq!(titles(&inbox(&store, ann, at(0)).await), ["before"]);
    drop(lock);
    added(&store, keyed("ann", "blocked"), at(1)).await;
    assert_eq!(titles(&inbox(&store, ann, at(1)).await), ["blocked", "before"]);
}

async fn what_was_left_over_stays_so_while_the_store_is_locked(home: Home) {
    let (store, announcements) = home.serve();
    let id = added(&store, to("ann", titled("left over")), at(0)).await;
    drop((store, announcements));
    let lock = home.lock();
    let (store, mut announcements) = home.serve();
    let blocked = Begun::begin(later(&store, "blocked")).await.end().await;
    assert!(matches!(blocked, Err(StoreError::Locked { .. })), "{blocked:?}");
    drop(lock);
    let told = next(&mut announcements).await;
    assert!(matches!(&told.news, News::Created(new) if new.id == id), "{told:?}");
    assert!(told.is_left_over, "{told:?}");
}

async fn more_reads_than_can_wait_are_refused_at_once(home: Home) {
    const MANY: usize = 3000;
    const MAY: usize = 1024;
    let (store, _announcements) = home.serve();
    added(&store, to("ann", titled("x")), at(0)).await;
    let ann = user(&store, brand(7), "ann").await;
    let mut reads: Vec<_> = (0..MANY).map(|_| Box::pin(maybe_done(store.counts(ann, at(1))))).collect();
    // All begin before any is looked at again.
    poll_fn(|cx| {
        for read in &mut reads {
            let _ = read.as_mut().poll(cx);
        }
        Poll::Ready(())
    })
    .await;
    let mut at_once = (0, 0);
    for read in &mut reads {
        match read.as_mut().output_mut() {
            Some(Ok(_)) => at_once.0 += 1,
            Some(Err(StoreError::Overloaded)) => at_once.1 += 1,
            Some(Err(error)) => panic!("{error}"),
            None => {}
        }
    }
    let (done, refused) = at_once;
    assert_eq!(refused, MANY - MAY - done, "so many may read or wait");
    join_all(reads.iter_mut().map(|read| read.as_mut())).await;
    let answers = reads.iter_mut().map(|read| read.as_mut().take_output().expect("it has ended"));
    assert_eq!(answers.flatten().count(), MANY - refused);
    assert_eq!(store.counts(ann, at(1)).await.expect("read").total, 1, "there is room again");
}

async fn more_than_can_wait_is_refused_at_once(home: Home) {
    /// More than wait and are in one commit.
    const MANY: usize = 4096 + 512 + 100;
    let (store, announcements) = home.serve();
    // Nobody is told anything here.
    drop(announcements);
    let lock = home.lock();
    let mut adds = Vec::new();
    for n in 0..MANY {
        let store = store.clone();
        // Many users: each inbox is short.
        let name = format!("user {}", n % 500);
        adds.push(Begun::begin(async move { add(&store, to(&name, titled("x")), at(0)).await }).await);
    }
    let refused = adds.iter().filter(|add| add.is_done()).count();
    assert!(refused >= 100, "{refused} were refused at once");
    drop(lock);
    let answers = join_all(adds.into_iter().map(Begun::end)).await;
    let overloaded = answers.iter().filter(|answer| matches!(answer, Err(StoreError::Overloaded))).count();
    let stored = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!((overloaded, stored), (refused, MANY - refused));
    assert_eq!(home.rows("notifications"), i64::try_from(stored).expect("few"), "what waited is stored");
    added(&store, to("ann", titled("after")), at(1)).await;
}

async fn a_large_list_is_refused_while_others_leave_no_room(home: Home) {
    const MIB: usize = 1024 * 1024;
    /// What is not large.
    const SMALL: usize = MIB;
    let (store, announcements) = home.serve();
    // Nobody is told anything here.
    drop(announcements);
    let large = || Content { body: "x".repeat(4 * MIB), ..Content::default() };
    for (name, count) in [("ann", 9), ("bob", 9), ("huge", 18)] {
        for _ in 0..count {
            added(&store, to(name, large()), at(0)).await;
        }
    }
    added(&store, to("small", Content { body: "x".repeat(SMALL / 2), ..Content::default() }), at(0)).await;
    let read = async |name| {
        let owner = user(&store, brand(7), name).await;
        store.list(owner, Filter::default(), u32::MAX, at(1)).await
    };
    let ann = read("ann").await.expect("there is room");
    let bob = read("bob").await;
    assert!(matches!(bob, Err(StoreError::Overloaded)), "ann's list leaves it no room");
    assert_eq!(read("small").await.expect("it needs no room").notifications.len(), 1);
    drop(ann);
    let huge = read("huge").await.expect("one alone may be larger than the room");
    assert_eq!(huge.notifications.len(), 18);
    assert!(matches!(read("bob").await, Err(StoreError::Overloaded)), "it fills the room");
    drop(huge);
    assert_eq!(read("bob").await.expect("there is room again").notifications.len(), 9);
}

async fn more_bytes_than_can_wait_are_refused_at_once(home: Home) {
    const MIB: usize = 1024 * 1024;
    /// What may wait, in MiB.
    const MAY: usize = 64;
    let (store, announcements) = home.serve();
    // Nobody is told anything here.
    drop(announcements);
    let lock = home.lock();
    let begin = async |mib| {
        let (store, content) = (store.clone(), Content { body: "x".repeat(mib * MIB), ..Content::default() });
        Begun::begin(async move { add(&store, to("ann", content), at(0)).await }).await
    };
    let mut adds = Vec::new();
    for _ in 0..MAY + 2 {
        adds.push(begin(1).await);
    }
    let refused = adds.iter().filter(|add| add.is_done()).count();
    assert_eq!(refused, 3, "with what it takes beside its text, one less than fit has room");
    let mark = Begun::begin(later(&store, "short")).await;
    assert!(!mark.is_done(), "what is short finds room");
    drop(lock);
    let answers = join_all(adds.into_iter().map(Begun::end)).await;
    let overloaded = answers.iter().filter(|answer| matches!(answer, Err(StoreError::Overloaded))).count();
    let stored = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!((overloaded, stored), (refused, MAY + 2 - refused));
    mark.end().await.expect("stored");
    let huge = begin(MAY + 1).await.end().await;
    huge.expect("one alone may be larger than the room, and there is room again");
}

async fn a_writer_that_panics_is_told(home: Home) {
    let (store, _announcements) = home.serve();
    added(&store, to("ann", titled("before")), at(0)).await;
    let broken = Begun::begin(store.broken()).await;
    let all = NewBroadcast {
        brand: brand(7),
        audience: Audience::All,
        payload: String::new(),
        due_at: at(0),
        key: None,
    };
    store.add_broadcast(all, at(0)).await.expect("stored");
    assert!(!broken.is_done());
    let answer = store.advance_broadcast(at(1), |_, _| panic!("a bug")).await;
    assert!(matches!(answer, Err(StoreError::Stopped)), "{answer:?}");
    broken.end().await;
    let answer = add(&store, to("ann", titled("after")), at(1)).await;
    assert!(matches!(answer, Err(StoreError::Stopped)), "{answer:?}");
    let ann = user(&store, brand(7), "ann").await;
    assert_eq!(titles(&inbox(&store, ann, at(1)).await), ["before"], "what is committed can be read");
}
