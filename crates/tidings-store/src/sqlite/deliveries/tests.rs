use std::{env, fs, path::PathBuf, process};

use super::*;

/// A store in a directory of this test's own, gone at its end.
struct Kept {
    directory: PathBuf,
    store: SharedStore,
    target: TargetId,
}

const PORTION: Portion = Portion { lanes: 10, per_lane: 10, bytes: 1 << 20 };

impl Kept {
    async fn new(name: &str) -> Self {
        let directory = env::temp_dir().join(format!("tidings-deliveries-{}-{name}", process::id()));
        let _ = fs::remove_dir_all(&directory);
        let store = SharedStore::beside(&directory).expect("a store");
        let target = store.target(target("https://a.example")).await.expect("a target");
        Kept { directory, store, target }
    }

    /// Adds events, each as its lane and its body.
    async fn add(&self, events: &[(&str, &str)], at: i64) {
        let new = events.iter().map(|(lane, body)| NewDelivery {
            target: target("https://a.example"),
            lane: (*lane).to_owned(),
            event_id: format!("id-{body}"),
            event: "client_event",
            body: (*body).to_owned(),
        });
        let new = NewDeliveries { events: new.collect(), told: Vec::new() };
        self.store.add_deliveries(Arc::new(new), now(at)).await.expect("added");
    }

    async fn due(&self, served: &[&str], portion: Portion, at: i64) -> Due {
        let served = served.iter().map(|lane| (*lane).to_owned()).collect();
        self.store
            .due_deliveries(self.target, served, First::LongestDue, portion, now(at))
            .await
            .expect("read")
    }

    /// The lanes that are due: each as its name and its bodies.
    async fn lanes(&self, at: i64) -> Vec<(String, Vec<String>)> {
        let due = self.due(&[], PORTION, at).await;
        let bodies = |lane: &Lane| lane.deliveries.iter().map(|delivery| delivery.body.clone()).collect();
        due.lanes.iter().map(|lane| (lane.name.clone(), bodies(lane))).collect()
    }

    /// The first of the lane has been tried, and that came to this; the lane must be due.
    async fn settle_first(&self, lane: &str, then: Option<Then>, at: i64) {
        let due = self.due(&[], PORTION, at).await;
        let found = due.lanes.iter().find(|due| due.name == lane).expect("the lane is due");
        let id = found.deliveries[0].id;
        let failed = then.map(|then| Failed { id, error: "status 500".to_owned(), then });
        let taken = if failed.is_none() { vec![id] } else { Vec::new() };
        let settled = vec![Settled { lane: lane.to_owned(), taken, failed }];
        self.store.settle_deliveries(self.target, settled, now(at)).await.expect("settled");
    }

    async fn dead(&self) -> Vec<StoredDelivery> {
        self.store.deliveries(DeliveryState::Dead, None, None, 100).await.expect("read")
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn target(url: &str) -> Target {
    Target { app_id: "1".into(), url: url.into() }
}

fn now(seconds: i64) -> Timestamp {
    Timestamp::from_ms(seconds * 1000)
}

fn lane(name: &str, bodies: &[&str]) -> (String, Vec<String>) {
    (name.to_owned(), bodies.iter().map(|body| (*body).to_owned()).collect())
}

#[tokio::test]
async fn each_lane_in_its_order() {
    let kept = Kept::new("order").await;
    kept.add(&[("a", "a1"), ("b", "b1"), ("a", "a2")], 1).await;
    kept.add(&[("a", "a3")], 2).await;
    assert_eq!(kept.lanes(0).await, []);
    assert_eq!(kept.lanes(1).await, [lane("a", &["a1", "a2", "a3"]), lane("b", &["b1"])]);
    assert_eq!(kept.due(&["a"], PORTION, 1).await.lanes.len(), 1, "a is being served");
    kept.settle_first("a", None, 3).await;
    assert_eq!(kept.lanes(3).await, [lane("b", &["b1"]), lane("a", &["a2", "a3"])]);
    kept.settle_first("b", None, 3).await;
    kept.settle_first("a", None, 3).await;
    kept.settle_first("a", None, 3).await;
    assert_eq!(kept.due(&[], PORTION, 9).await, Due::default());
    assert_eq!(kept.store.backlogs().await.expect("read"), []);
}

#[tokio::test]
async fn a_failure_holds_up_its_lane_and_no_other() {
    let kept = Kept::new("failure").await;
    kept.add(&[("a", "a1"), ("a", "a2"), ("b", "b1")], 1).await;
    kept.settle_first("a", Some(Then::Retry { at: now(60) }), 2).await;
    kept.add(&[("a", "a3")], 3).await;
    assert_eq!(kept.lanes(59).await, [lane("b", &["b1"])]);
    assert_eq!(kept.due(&[], PORTION, 59).await.next, Some(now(60)));
    let due = kept.due(&["b"], PORTION, 60).await;
    let first = &due.lanes[0].deliveries[0];
    assert_eq!((first.body.as_str(), first.attempts, first.queued_at), ("a1", 1, now(1)));
    assert_eq!(due.lanes[0].deliveries.len(), 3);
    kept.settle_first("a", Some(Then::Retry { at: now(900) }), 60).await;
    kept.store.hurry_deliveries(kept.target, now(61)).await.expect("written");
    assert_eq!(kept.lanes(61).await[1], lane("a", &["a1", "a2", "a3"]));
}

#[tokio::test]
async fn where_a_target_may_be_back_what_it_never_took_comes_last() {
    let kept = Kept::new("probe").await;
    kept.add(&[("poison", "p1")], 1).await;
    kept.settle_first("poison", Some(Then::Retry { at: now(2) }), 1).await;
    kept.add(&[("fresh", "f1")], 5).await;
    for (first, expected) in [(First::LongestDue, "poison"), (First::LeastTried, "fresh")] {
        let portion = Portion { lanes: 1, ..PORTION };
        let due = kept.store.due_deliveries(kept.target, Vec::new(), first, portion, now(9)).await;
        let names: Vec<_> = due.expect("read").lanes.into_iter().map(|lane| lane.name).collect();
        assert_eq!(names, [expected]);
    }
}

#[tokio::test]
async fn no_more_is_read_than_fits() {
    let kept = Kept::new("portion").await;
    kept.add(&[("a", "aa1"), ("a", "aa2"), ("a", "aa3"), ("b", "bb1"), ("c", "cc1")], 1).await;
    let sizes = async |lanes, per_lane, bytes| {
        let due = kept.due(&[], Portion { lanes, per_lane, bytes }, 1).await;
        due.lanes.iter().map(|lane| lane.deliveries.len()).collect::<Vec<_>>()
    };
    assert_eq!(sizes(2, 2, 1000).await, [2, 1]);
    assert_eq!(sizes(9, 9, 10).await, [3, 1]);
    assert_eq!(sizes(9, 9, 1).await, [1]);
}

#[tokio::test]
async fn a_dead_letter_goes_back_to_its_place() {
    let kept = Kept::new("replay").await;
    kept.add(&[("a", "a1"), ("a", "a2"), ("a", "a3")], 1).await;
    kept.settle_first("a", Some(Then::Die), 2).await;
    assert_eq!(kept.lanes(2).await, [lane("a", &["a2", "a3"])]);
    let dead = kept.dead().await;
    assert_eq!(dead.len(), 1);
    assert_eq!((dead[0].body.as_str(), dead[0].event_id.as_str(), dead[0].attempts), ("a1", "id-a1", 1));
    assert_eq!(dead[0].last_error.as_deref(), Some("status 500"));
    assert_eq!((dead[0].died_at, dead[0].due_at), (Some(now(2)), None));
    assert_eq!(kept.store.backlogs().await.expect("read")[0].dead, 1);
    // The one behind it fails meanwhile, and waits.
    kept.settle_first("a", Some(Then::Retry { at: now(100) }), 3).await;
    let replayed = kept.store.replay_dead_letters(Replay::One(dead[0].id), now(4)).await.expect("replayed");
    assert_eq!((replayed, kept.dead().await.len()), (1, 0));
    assert_eq!(kept.lanes(4).await, [lane("a", &["a1", "a2", "a3"])]);
    let back = kept.store.delivery(dead[0].id).await.expect("read").expect("it is there");
    assert_eq!((back.attempts, back.queued_at, back.due_at), (0, now(4), Some(now(4))));
    kept.settle_first("a", None, 5).await;
    assert_eq!(kept.lanes(5).await, [lane("a", &["a2", "a3"])]);
    assert_eq!(kept.store.delivery(dead[0].id).await.expect("read"), None);
    assert_eq!(kept.store.replay_dead_letters(Replay::All, now(6)).await.expect("replayed"), 0);
}

#[tokio::test]
async fn what_is_replayed_while_its_lane_is_served_comes_next() {
    let kept = Kept::new("meanwhile").await;
    kept.add(&[("a", "a1"), ("a", "a2")], 1).await;
    kept.settle_first("a", Some(Then::Die), 2).await;
    let served = kept.due(&[], PORTION, 2).await.lanes.remove(0).deliveries.remove(0);
    kept.store.replay_dead_letters(Replay::OfApp("1".to_owned()), now(3)).await.expect("replayed");
    let failed = Failed { id: served.id, error: "late".to_owned(), then: Then::Retry { at: now(50) } };
    let settled = vec![Settled { lane: "a".to_owned(), taken: Vec::new(), failed: Some(failed) }];
    kept.store.settle_deliveries(kept.target, settled, now(4)).await.expect("settled");
    assert_eq!(kept.lanes(4).await, [lane("a", &["a1", "a2"])]);
    kept.settle_first("a", None, 5).await;
    assert_eq!(kept.lanes(5).await, [lane("a", &["a2"])]);
}

#[tokio::test]
async fn what_is_too_old_is_buried_and_forgotten() {
    let kept = Kept::new("bury").await;
    kept.add(&[("a", "a1"), ("b", "b1")], 1).await;
    kept.add(&[("a", "a2")], 10).await;
    let buried = kept.store.bury_deliveries(kept.target, now(10), "it waited for too long", now(20)).await;
    assert_eq!(buried.expect("buried"), 2);
    assert_eq!(kept.store.waiting_deliveries().await.expect("read"), 1);
    assert_eq!(kept.lanes(20).await, [lane("a", &["a2"])]);
    let dead = kept.dead().await;
    assert_eq!(dead.iter().map(|dead| dead.body.as_str()).collect::<Vec<_>>(), ["b1", "a1"]);
    assert_eq!(dead[0].last_error.as_deref(), Some("it waited for too long"));
    let older = kept.store.deliveries(DeliveryState::Dead, Some("1".to_owned()), Some(dead[0].id), 100).await;
    assert_eq!(older.expect("read"), dead[1..]);
    let others = kept.store.deliveries(DeliveryState::Dead, Some("2".to_owned()), None, 100).await;
    assert_eq!(others.expect("read"), []);
    kept.store.forget_dead_letters(now(21)).await.expect("forgotten");
    assert_eq!(kept.dead().await, []);
    let waiting = kept.store.deliveries(DeliveryState::Waiting, None, None, 100).await.expect("read");
    assert_eq!(waiting.len(), 1);
}

#[tokio::test]
async fn a_target_keeps_its_number() {
    let kept = Kept::new("targets").await;
    let other = kept.store.target(target("https://b.example")).await.expect("a target");
    assert_ne!(other, kept.target);
    assert_eq!(kept.store.target(target("https://a.example")).await.expect("a target"), kept.target);
    assert_eq!(kept.store.targets().await.expect("read").len(), 2);
}

#[tokio::test]
async fn what_backends_believe_is_kept() {
    let kept = Kept::new("told").await;
    let channel = Told::Channel { app_id: "1".into(), channel: "presence-a".to_owned() };
    let member = |user: &str| Told::Member {
        app_id: "1".into(),
        channel: "presence-a".to_owned(),
        user_id: user.into(),
    };
    let tell = async |changes: Vec<ToldChange>| {
        let new = NewDeliveries { events: Vec::new(), told: changes };
        kept.store.add_deliveries(Arc::new(new), now(0)).await.expect("told");
        kept.store.told().await.expect("read")
    };
    let came = |told: &Told| ToldChange::Came(told.clone());
    assert_eq!(
        tell(vec![came(&channel), came(&member("ann")), came(&channel)]).await,
        [member("ann"), channel.clone()]
    );
    assert_eq!(
        tell(vec![ToldChange::Went(channel), came(&member("")), ToldChange::Went(member("ann"))]).await,
        [member("")]
    );
}
