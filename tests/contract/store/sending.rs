//! Templates and broadcasts: nobody twice, nobody left out.

use std::collections::BTreeMap;

use tidings_store::{
    Content, Filter, Profile, SharedStore, User,
    sending::{
        Audience, AudienceKind, Broadcast, BroadcastState, NewBroadcast, StoredTemplate, TemplateName,
    },
};

use super::{Home, KEPT, at, brand, cases, home::Harm, inbox, titled, user};

cases!(
    templates_are_kept_by_name,
    a_broadcast_reaches_every_user_once,
    a_broadcast_reaches_those_with_the_tag,
    a_broadcast_reaches_those_who_are_listed,
    a_broadcast_goes_on_where_it_was_over_restarts,
    a_cancelled_broadcast_reaches_no_more,
    a_broadcast_waits_for_its_time,
    a_large_broadcast_keeps_no_other_waiting,
    a_broadcast_that_is_over_is_forgotten_in_time,
    a_broadcast_is_kept_once_under_its_key,
    what_was_said_under_a_key_is_kept_as_long_as_it_may_be_repeated,
    broadcasts_are_listed_by_brand,
    who_is_passed_over_is_not_counted,
    who_cannot_be_sent_to_is_passed_over,
    a_store_that_fails_passes_nobody_over,
);

async fn a_broadcast_that_is_over_is_forgotten_in_time(home: Home) {
    let (store, _announcements) = home.serve();
    people(&store, 3).await;
    let over = NewBroadcast { due_at: at(5), ..to_all(Audience::All) };
    let over = store.add_broadcast(over, at(0)).await.expect("stored");
    let waiting = NewBroadcast { due_at: at(6).after(KEPT), ..to_all(Audience::All) };
    store.add_broadcast(waiting, at(0)).await.expect("stored");
    while store.advance_broadcast(at(5), |_, _| Some(titled("T"))).await.expect("sent") {}
    while store.sweep(at(4).after(KEPT)).await.expect("swept") {}
    assert_eq!(home.rows("broadcasts"), 2);
    while store.sweep(at(5).after(KEPT)).await.expect("swept") {}
    assert_eq!(store.broadcast(brand(7), over.id).await.expect("read"), None);
    assert_eq!(home.rows("broadcasts"), 1, "what waits is kept");
}

async fn templates_are_kept_by_name(home: Home) {
    let (store, _announcements) = home.serve();
    let template = |name: &str, body: &str, ms| StoredTemplate {
        name: TemplateName::parse(name).expect(name),
        body: body.to_owned(),
        updated_at: at(ms),
    };
    let all = [
        template("action:5", "{}", 1),
        template("activity:31", "{}", 2),
        template("default", "{}", 3),
        template("name:welcome", "{}", 4),
    ];
    for one in &all {
        store.put_template(brand(7), one.clone()).await.expect("stored");
    }
    assert_eq!(store.templates(brand(7)).await.expect("read"), all);
    assert_eq!(store.templates(brand(8)).await.expect("read"), []);
    let names = |names: &[&str]| -> Vec<TemplateName> {
        names.iter().map(|name| TemplateName::parse(name).expect(name)).collect()
    };
    for (asked, found) in [
        (vec!["action:5", "activity:31", "default"], Some("action:5")),
        (vec!["action:31", "activity:31", "default"], Some("activity:31")),
        (vec!["action:6", "activity:5", "default"], Some("default")),
        (vec!["action:6"], None),
        (vec![], None),
    ] {
        let template = store.template(brand(7), names(&asked)).await.expect("read");
        assert_eq!(template.map(|template| template.name.to_string()).as_deref(), found, "{asked:?}");
        assert_eq!(store.template(brand(8), names(&asked)).await.expect("read"), None);
    }
    let changed = template("default", r#"{"title":"Hi"}"#, 9);
    store.put_template(brand(7), changed.clone()).await.expect("stored");
    assert_eq!(store.template(brand(7), names(&["default"])).await.expect("read"), Some(changed.clone()));
    assert!(!store.delete_template(brand(8), changed.name.clone()).await.expect("no error"));
    assert!(store.delete_template(brand(7), changed.name.clone()).await.expect("deleted"));
    assert!(!store.delete_template(brand(7), changed.name.clone()).await.expect("no error"));
    assert_eq!(store.template(brand(7), vec![changed.name]).await.expect("read"), None);
}

/// Makes so many users of brand 7; every third has the tag `third`.
async fn people(store: &SharedStore, many: usize) {
    for n in 0..many {
        let tags = if n % 3 == 0 { vec!["third".to_owned()] } else { Vec::new() };
        let name = format!("user {n}");
        store.put_user(brand(7), name, Profile::default(), tags, at(0)).await.expect("stored");
    }
    let stranger = "user 0".to_owned();
    let tags = vec!["third".to_owned()];
    store.put_user(brand(8), stranger, Profile::default(), tags, at(0)).await.expect("stored");
}

fn to_all(audience: Audience) -> NewBroadcast {
    NewBroadcast { brand: brand(7), audience, payload: "Hello".to_owned(), due_at: at(10), key: None }
}

/// Greets a user by the operator's name for them.
#[expect(clippy::unnecessary_wraps, reason = "a broadcast may say nothing to a user")]
fn greet(payload: &str, user: &User) -> Option<Content> {
    Some(titled(&format!("{payload} {}", user.external_id)))
}

async fn begin(store: &SharedStore, new: NewBroadcast) -> Broadcast {
    let before = store.broadcasts(new.brand, None, u32::MAX).await.expect("listed");
    let broadcast = store.add_broadcast(new, at(1)).await.expect("stored");
    assert!(before.iter().all(|other| other.id != broadcast.id), "it is new");
    assert_eq!((broadcast.state, broadcast.sent, broadcast.last_user), (BroadcastState::Scheduled, 0, None));
    broadcast
}

async fn as_kept(store: &SharedStore, broadcast: &Broadcast) -> Broadcast {
    store.broadcast(broadcast.brand, broadcast.id).await.expect("read").expect("is there")
}

/// How often each user of brand 7 was greeted; nobody was told anything else.
async fn greeted(store: &SharedStore) -> BTreeMap<String, usize> {
    let mut greeted = BTreeMap::new();
    let users = store.users(brand(7), None, u32::MAX).await.expect("listed");
    for user in users {
        let got = inbox(store, user.key, at(10)).await;
        for one in &got {
            assert_eq!(one.content.title, format!("Hello {}", user.external_id));
        }
        if !got.is_empty() {
            greeted.insert(user.external_id, got.len());
        }
    }
    greeted
}

fn each_once(names: impl Iterator<Item = usize>) -> BTreeMap<String, usize> {
    names.map(|n| (format!("user {n}"), 1)).collect()
}

async fn finish(store: &SharedStore) -> usize {
    let mut chunks = 0;
    while store.advance_broadcast(at(10), greet).await.expect("advanced") {
        chunks += 1;
    }
    chunks
}

async fn a_broadcast_reaches_every_user_once(home: Home) {
    let (store, announcements) = home.serve();
    drop(announcements);
    people(&store, 450).await;
    let broadcast = begin(&store, to_all(Audience::All)).await;
    assert!(store.advance_broadcast(at(10), greet).await.expect("advanced"));
    let running = as_kept(&store, &broadcast).await;
    assert_eq!(running.state, BroadcastState::Running);
    assert!((1..450).contains(&running.sent), "in chunks: {running:?}");
    assert!(finish(&store).await >= 1);
    let done = as_kept(&store, &broadcast).await;
    assert_eq!((done.state, done.sent), (BroadcastState::Done, 450));
    assert_eq!(greeted(&store).await, each_once(0..450));
    let stranger = user(&store, brand(8), "user 0").await;
    assert_eq!(inbox(&store, stranger, at(10)).await, []);
}

async fn a_broadcast_reaches_those_with_the_tag(home: Home) {
    let (store, announcements) = home.serve();
    drop(announcements);
    people(&store, 30).await;
    let broadcast = begin(&store, to_all(Audience::Tag("third".to_owned()))).await;
    assert_eq!(broadcast.audience, AudienceKind::Tag("third".to_owned()));
    let none = begin(&store, to_all(Audience::Tag("all".to_owned()))).await;
    finish(&store).await;
    assert_eq!(as_kept(&store, &broadcast).await.sent, 10);
    assert_eq!(
        (as_kept(&store, &none).await.state, as_kept(&store, &none).await.sent),
        (BroadcastState::Done, 0)
    );
    assert_eq!(greeted(&store).await, each_once((0..30).step_by(3)));
}

async fn a_broadcast_reaches_those_who_are_listed(home: Home) {
    let (store, announcements) = home.serve();
    drop(announcements);
    people(&store, 20).await;
    // Some twice, some unknown, in no order; more than a chunk.
    let names = (10..500).rev().chain(10..15).map(|n| format!("user {n}")).collect();
    let broadcast = begin(&store, to_all(Audience::Users(names))).await;
    assert_eq!(broadcast.audience, AudienceKind::Listed);
    finish(&store).await;
    let done = as_kept(&store, &broadcast).await;
    assert_eq!((done.state, done.sent), (BroadcastState::Done, 490));
    assert_eq!(greeted(&store).await, each_once(10..500));
    assert_eq!(home.rows("broadcast_users"), 0, "the list is not needed any more");
}

async fn a_broadcast_goes_on_where_it_was_over_restarts(home: Home) {
    let (store, announcements) = home.serve();
    people(&store, 900).await;
    let broadcast = begin(&store, to_all(Audience::All)).await;
    drop((store, announcements));
    let mut chunks = 0;
    loop {
        // A process that ends in the middle, and one beside it that goes on at the same time.
        let (store, announcements) = home.serve();
        drop(announcements);
        let other = home.beside();
        let (ours, theirs) =
            tokio::join!(store.advance_broadcast(at(10), greet), other.advance_broadcast(at(10), greet));
        let (ours, theirs) = (ours.expect("advanced"), theirs.expect("advanced"));
        if !ours && !theirs {
            break;
        }
        chunks += usize::from(ours) + usize::from(theirs);
    }
    assert!(chunks > 2, "{chunks}");
    let (store, _announcements) = home.serve();
    let done = as_kept(&store, &broadcast).await;
    assert_eq!((done.state, done.sent), (BroadcastState::Done, 900));
    assert_eq!(greeted(&store).await, each_once(0..900));
}

async fn a_cancelled_broadcast_reaches_no_more(home: Home) {
    let (store, announcements) = home.serve();
    drop(announcements);
    people(&store, 3).await;
    let names = (0..450).map(|n| format!("user {n}")).collect();
    let broadcast = begin(&store, to_all(Audience::Users(names))).await;
    assert!(store.advance_broadcast(at(10), greet).await.expect("advanced"));
    let sent = as_kept(&store, &broadcast).await.sent;
    assert_eq!(store.cancel_broadcast(brand(8), broadcast.id).await.expect("no error"), None);
    let cancelled = store.cancel_broadcast(brand(7), broadcast.id).await.expect("stored").expect("is there");
    assert_eq!((cancelled.state, cancelled.sent), (BroadcastState::Cancelled, sent));
    assert_eq!(finish(&store).await, 0);
    let has_it = greeted(&store).await;
    assert_eq!(u64::try_from(has_it.len()).expect("few"), sent, "who has it keeps it");
    assert_eq!(home.rows("broadcast_users"), 0, "the list is not needed any more");

    let done = begin(&store, to_all(Audience::Tag("third".to_owned()))).await;
    finish(&store).await;
    let still = store.cancel_broadcast(brand(7), done.id).await.expect("no error").expect("is there");
    assert_eq!(still.state, BroadcastState::Done, "what is done is done");
}

async fn a_broadcast_waits_for_its_time(home: Home) {
    let (store, _announcements) = home.serve();
    people(&store, 2).await;
    let later = begin(&store, to_all(Audience::All)).await;
    let sooner =
        begin(&store, NewBroadcast { due_at: at(5), ..to_all(Audience::Tag("third".to_owned())) }).await;
    assert!(!store.advance_broadcast(at(4), greet).await.expect("no error"));
    assert!(store.advance_broadcast(at(5), greet).await.expect("advanced"));
    assert!(!store.advance_broadcast(at(9), greet).await.expect("no error"));
    assert_eq!(as_kept(&store, &sooner).await.state, BroadcastState::Done);
    assert_eq!(as_kept(&store, &later).await.state, BroadcastState::Scheduled);
    finish(&store).await;
    assert_eq!(as_kept(&store, &later).await.state, BroadcastState::Done);
    let first = user(&store, brand(7), "user 0").await;
    assert_eq!(store.list(first, Filter::default(), 9, at(10)).await.expect("listed").notifications.len(), 2);
}

async fn a_large_broadcast_keeps_no_other_waiting(home: Home) {
    let (store, announcements) = home.serve();
    drop(announcements);
    people(&store, 650).await;
    let large = begin(&store, NewBroadcast { due_at: at(5), ..to_all(Audience::All) }).await;
    assert!(store.advance_broadcast(at(10), greet).await.expect("advanced"));
    let small = begin(&store, NewBroadcast { brand: brand(8), ..to_all(Audience::All) }).await;
    assert!(store.advance_broadcast(at(10), greet).await.expect("advanced"));
    assert_eq!(as_kept(&store, &small).await.state, BroadcastState::Done);
    assert_eq!(as_kept(&store, &large).await.state, BroadcastState::Running);
    finish(&store).await;
    assert_eq!(greeted(&store).await, each_once(0..650));
}

async fn a_broadcast_is_kept_once_under_its_key(home: Home) {
    let (store, _announcements) = home.serve();
    let under = |key: &str, number| NewBroadcast {
        brand: brand(number),
        key: Some(key.to_owned()),
        ..to_all(Audience::Users(vec!["ann".to_owned()]))
    };
    let first = begin(&store, under("spring", 7)).await;
    finish(&store).await;
    let same = store.add_broadcast(under("spring", 7), at(2)).await.expect("no error");
    assert_eq!((same.id, same.state), (first.id, BroadcastState::Done));
    let called = async |key: &str| store.broadcast_called(brand(7), key.to_owned()).await.expect("read");
    assert_eq!((called("spring").await, called("summer").await), (Some(same), None));
    let others = [begin(&store, under("summer", 7)).await, begin(&store, under("spring", 8)).await];
    assert!(others.iter().all(|other| other.id != first.id));
    let unnamed = to_all(Audience::All);
    assert_ne!(begin(&store, unnamed.clone()).await.id, begin(&store, unnamed).await.id);
    finish(&store).await;
    assert_eq!(greeted(&store).await, BTreeMap::from([("ann".to_owned(), 4)]));
}

async fn what_was_said_under_a_key_is_kept_as_long_as_it_may_be_repeated(home: Home) {
    let (store, _announcements) = home.serve();
    let keep = async |number, key: &str, said| {
        store.keep_said(brand(number), key.to_owned(), [said; 32], at(5)).await.expect("stored")
    };
    assert_eq!(keep(7, "a", 1).await, [1; 32]);
    assert_eq!(keep(7, "a", 2).await, [1; 32], "the first counts");
    assert_eq!(keep(7, "b", 3).await, [3; 32]);
    assert_eq!(keep(8, "a", 4).await, [4; 32]);
    let said = async |number, key: &str| store.said_under(brand(number), key.to_owned()).await.expect("read");
    while store.sweep(at(4).after(KEPT)).await.expect("swept") {}
    assert_eq!(
        [said(7, "a").await, said(8, "a").await, said(8, "b").await],
        [Some([1; 32]), Some([4; 32]), None]
    );
    while store.sweep(at(5).after(KEPT)).await.expect("swept") {}
    assert_eq!(said(7, "a").await, None);
    assert_eq!(home.rows("calls"), 0);
}

async fn broadcasts_are_listed_by_brand(home: Home) {
    let (store, _announcements) = home.serve();
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(begin(&store, to_all(Audience::All)).await.id);
        begin(&store, NewBroadcast { brand: brand(8), ..to_all(Audience::All) }).await;
    }
    ids.reverse();
    let first = store.broadcasts(brand(7), None, 3).await.expect("listed");
    let second = store.broadcasts(brand(7), Some(first[2].id), 3).await.expect("listed");
    let listed: Vec<_> = first.iter().chain(&second).map(|broadcast| broadcast.id).collect();
    assert_eq!(listed, ids);
    assert_eq!(store.broadcast(brand(8), ids[0]).await.expect("read"), None);
}

async fn who_is_passed_over_is_not_counted(home: Home) {
    let (store, _announcements) = home.serve();
    people(&store, 4).await;
    let broadcast = begin(&store, to_all(Audience::All)).await;
    let some = |payload: &str, user: &User| {
        (user.external_id != "user 1").then(|| titled(&format!("{payload} {}", user.external_id)))
    };
    while store.advance_broadcast(at(10), some).await.expect("advanced") {}
    let done = as_kept(&store, &broadcast).await;
    assert_eq!((done.state, done.sent), (BroadcastState::Done, 3));
    assert_eq!(greeted(&store).await, each_once([0, 2, 3].into_iter()));
}

async fn who_cannot_be_sent_to_is_passed_over(home: Home) {
    let (store, _announcements) = home.serve();
    people(&store, 250).await;
    home.refuse("Hello user 3", Harm::Change);
    let broadcast = begin(&store, to_all(Audience::All)).await;
    finish(&store).await;
    let done = as_kept(&store, &broadcast).await;
    assert_eq!((done.state, done.sent), (BroadcastState::Done, 249));
    assert_eq!(greeted(&store).await, each_once((0..250).filter(|user| *user != 3)));
}

async fn a_store_that_fails_passes_nobody_over(home: Home) {
    let (store, _announcements) = home.serve();
    people(&store, 3).await;
    let broadcast = begin(&store, to_all(Audience::All)).await;
    // The first, and the last, after whom nobody would notice.
    for user in ["Hello user 0", "Hello user 2"] {
        home.refuse(user, Harm::Transaction);
        store.advance_broadcast(at(10), greet).await.expect_err("it cannot be stored");
        assert_eq!(as_kept(&store, &broadcast).await, broadcast);
        home.accept(user);
    }
    finish(&store).await;
    assert_eq!(greeted(&store).await, each_once(0..3));
}
