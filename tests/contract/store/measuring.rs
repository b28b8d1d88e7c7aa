//! What the store counts of its work.

use tidings_store::{
    metrics::Histogram,
    sending::{Audience, NewBroadcast},
};

use super::{Begun, Home, added, at, brand, cases, home::Harm, keyed, titled, user};

cases!(
    a_commit_holds_what_waited_for_it,
    what_is_undone_is_not_counted_as_created,
    who_is_sent_a_broadcast_is_counted_once_it_is_committed,
    what_nobody_asked_for_is_not_counted,
);

/// How many were measured, and their sum.
fn all(histogram: &Histogram) -> (u64, f64) {
    (histogram.cumulative().last().expect("a last bucket").1, histogram.sum())
}

async fn a_commit_holds_what_waited_for_it(home: Home) {
    let (store, _announcements) = home.serve();
    added(&store, keyed("ann", "alone"), at(0)).await;
    assert_eq!(all(&store.metrics().commits().rows), (1, 1.0));
    let lock = home.lock();
    let mut waiting = Vec::new();
    for key in ["1", "2", "3", "4", "5"] {
        let store = store.clone();
        waiting.push(Begun::begin(async move { added(&store, keyed("ann", key), at(0)).await }).await);
    }
    drop(lock);
    for add in waiting {
        add.end().await;
    }
    let commits = store.metrics().commits();
    let count = all(&commits.rows).0;
    // The first may have one of its own.
    assert!((2..=3).contains(&count), "{count}");
    assert_eq!(all(&commits.rows), (count, 6.0));
    let (timed, seconds) = all(&commits.seconds);
    assert_eq!(timed, count);
    assert!(seconds > 0.0);
    assert_eq!(store.metrics().created(), 6);

    let reads = all(&store.metrics().read_seconds()).0;
    let ann = user(&store, brand(7), "ann").await;
    assert_eq!(store.clone().counts(ann, at(0)).await.expect("counted").total, 6);
    assert_eq!(all(&store.metrics().read_seconds()).0, reads + 2);
}

async fn what_is_undone_is_not_counted_as_created(home: Home) {
    let (store, _announcements) = home.serve();
    home.refuse("bad", Harm::Change);
    let three = ["good", "bad", "better"].map(|key| keyed("ann", key)).to_vec();
    let stored = store.add(three, at(0)).await.expect("some are stored");
    assert_eq!(stored.iter().filter(|added| added.is_ok()).count(), 2);
    assert_eq!(store.metrics().created(), 2);
    assert_eq!(all(&store.metrics().commits().rows), (1, 1.0));

    home.accept("bad");
    home.refuse("bad", Harm::Transaction);
    let two = ["fine", "bad"].map(|key| keyed("ann", key)).to_vec();
    store.add(two, at(1)).await.expect_err("all of it is undone");
    assert_eq!(store.metrics().created(), 2);
    let commits = store.metrics().commits();
    // It took its time, and held nothing.
    assert_eq!((all(&commits.seconds).0, all(&commits.rows)), (2, (1, 1.0)));
}

async fn who_is_sent_a_broadcast_is_counted_once_it_is_committed(home: Home) {
    let (store, _announcements) = home.serve();
    home.refuse("bad", Harm::Transaction);
    let broadcast = NewBroadcast {
        brand: brand(7),
        audience: Audience::Users(["ann", "bob"].map(str::to_owned).to_vec()),
        payload: String::new(),
        due_at: at(0),
        key: None,
    };
    store.add_broadcast(broadcast, at(0)).await.expect("stored");
    let send = |to_bob: &'static str| {
        store.advance_broadcast(at(1), move |_, user| {
            Some(titled(if user.external_id == "ann" { "good" } else { to_bob }))
        })
    };
    send("bad").await.expect_err("with bob's all of it is undone");
    assert_eq!(store.metrics().created(), 0);
    send("good").await.expect("sent");
    assert_eq!(store.metrics().created(), 2);
}

async fn what_nobody_asked_for_is_not_counted(home: Home) {
    let (store, mut announcements) = home.serve();
    added(&store, keyed("ann", "one"), at(0)).await;
    let told = super::next(&mut announcements).await;
    announcements.told(told.seq);
    // The writer forgets what has been told with a commit of its own.
    let forgotten = async { while !store.is_all_told().await.expect("read") {} };
    tokio::time::timeout(crate::harness::DEADLINE, forgotten).await.expect("forgotten in time");
    assert_eq!(all(&store.metrics().commits().rows), (1, 1.0));
    assert_eq!(all(&store.metrics().commits().seconds).0, 1);
}
