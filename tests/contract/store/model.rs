//! Operations in a random order, against a store of a few lines that keeps everything in memory. What is drawn depends
//! on the seed alone; a failure names it.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use futures_util::FutureExt as _;
use tidings_store::{
    Added, Announcement, Announcements, Changed, Content, Counts, Filter, INBOX_MAX, Ids, NewNotification,
    News, Notification, NotificationId, Recipient, Set, SharedStore, SourceKey, UserKey, Which,
    notifications::Kind, time::Timestamp,
};
use tokio::task::unconstrained;

use super::{Home, KEPT, added, at, brand, cases, next, titled, to};

cases!(a_server_alone_does_as_the_model_does, a_server_and_a_process_beside_it_do_as_the_model_does,);

async fn a_server_alone_does_as_the_model_does(home: Home) {
    for seed in 0..3 {
        let home = home.room(seed);
        let mut run = Run::start(&home, seed, None).await;
        if seed == 0 {
            for _ in 0..4 {
                run.add(500, Some((7, "ann"))).await;
                run.heed_at_once();
            }
        }
        for step in 0..150 {
            run.step(&home, step).await;
            run.heed_at_once();
            run.check().await;
        }
    }
}

async fn a_server_and_a_process_beside_it_do_as_the_model_does(home: Home) {
    for seed in 100..103 {
        let home = home.room(seed);
        let beside = home.beside();
        let mut run = Run::start(&home, seed, Some(beside)).await;
        for step in 0..150 {
            run.step(&home, step).await;
            if step % 5 == 0 {
                run.heed_up_to_here().await;
                run.check().await;
            }
        }
    }
}

const BRANDS: [i64; 2] = [7, 8];
const PEOPLE: [&str; 3] = ["ann", "bob", "cyd"];
const SETS: [Set; 6] = [Set::Seen, Set::Read, Set::Unread, Set::Archived, Set::Unarchived, Set::Deleted];

/// Numbers that look random (`SplitMix64`).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((mixed ^ (mixed >> 31)) % end as u64).expect("below an usize")
    }

    fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    fn content(&mut self, now: Timestamp) -> Content {
        let expires_at = match self.below(6) {
            0 => Some(now.before(Duration::from_millis(5))),
            1 | 2 => Some(now.after(Duration::from_millis(self.below(400) as u64))),
            _ => None,
        };
        let tags = ["x", "y", "z"].into_iter().filter(|_| self.one_in(3)).map(str::to_owned).collect();
        let category = (*self.of(&["", "a", "b"])).to_owned();
        Content { kind: *self.of(Kind::ALL), category, tags, expires_at, ..titled("random") }
    }

    fn filter(&mut self, ids: &[NotificationId]) -> Filter {
        if self.one_in(3) {
            return Filter::default();
        }
        let read = [None, Some(true), Some(false)];
        Filter {
            archived: self.one_in(4),
            read: *self.of(&read),
            kind: self.one_in(4).then(|| *self.of(Kind::ALL)),
            category: self.one_in(4).then(|| (*self.of(&["", "a", "b", "c"])).to_owned()),
            tag: self.one_in(4).then(|| (*self.of(&["x", "y", "z", "w"])).to_owned()),
            before: (self.one_in(4) && !ids.is_empty()).then(|| *self.of(ids)),
        }
    }
}

/// What the store should hold.
#[derive(Default)]
struct Model {
    kept: BTreeMap<NotificationId, Notification>,
    keys: HashMap<(i64, String), (NotificationId, Timestamp)>,
}

impl Model {
    fn there(&self, owner: UserKey, now: Timestamp) -> impl DoubleEndedIterator<Item = &Notification> {
        self.kept.values().filter(move |one| one.owner == owner && is_there(one, now))
    }

    fn counts(&self, owner: UserKey, now: Timestamp) -> Counts {
        count(self.there(owner, now))
    }

    fn list(&self, owner: UserKey, filter: &Filter, now: Timestamp) -> Vec<Notification> {
        self.there(owner, now).rev().filter(|one| fits(one, filter)).cloned().collect()
    }

    /// Gives way to what the store says it has added.
    fn add(&mut self, id: NotificationId, owner: UserKey, content: Content, now: Timestamp) {
        if content.expires_at.is_some_and(|end| end <= now) {
            return;
        }
        // More than one if the clock went back and some have not expired any more.
        while self.there(owner, now).count() >= INBOX_MAX as usize {
            let first = self.there(owner, now).min_by_key(|one| (one.read_at.is_none(), one.id));
            let goes = first.expect("it is full").id;
            self.kept.remove(&goes);
        }
        let new = Notification {
            id,
            owner,
            content,
            created_at: now,
            seen_at: None,
            read_at: None,
            archived_at: None,
        };
        self.kept.insert(id, new);
    }

    fn change(&mut self, owner: UserKey, which: &Which, set: Set, now: Timestamp) -> Changed {
        let ids: Vec<_> = match which {
            Which::One(id) => self.there(owner, now).map(|one| one.id).filter(|one| one == id).collect(),
            Which::All(filter) => self.list(owner, filter, now).into_iter().map(|one| one.id).collect(),
        };
        let mut changed = 0;
        for id in &ids {
            let one = self.kept.get_mut(id).expect("just found");
            let before = one.clone();
            apply(one, set, now);
            if set == Set::Deleted {
                self.kept.remove(id);
                changed += 1;
            } else if *one != before {
                changed += 1;
            }
        }
        Changed { found: ids.len(), changed, counts: self.counts(owner, now) }
    }

    fn sweep(&mut self, now: Timestamp) {
        self.kept.retain(|_, one| is_there(one, now));
        self.keys.retain(|_, (_, created_at)| *created_at > now.before(KEPT));
    }
}

fn is_there(one: &Notification, now: Timestamp) -> bool {
    one.content.expires_at.is_none_or(|end| end > now)
}

fn count<'a>(there: impl Iterator<Item = &'a Notification>) -> Counts {
    let mut counts = Counts::default();
    for one in there.filter(|one| one.archived_at.is_none()) {
        counts.total += 1;
        counts.unread += u32::from(one.read_at.is_none());
        counts.unseen += u32::from(one.seen_at.is_none());
    }
    counts
}

fn fits(one: &Notification, filter: &Filter) -> bool {
    one.archived_at.is_some() == filter.archived
        && filter.read.is_none_or(|read| one.read_at.is_some() == read)
        && filter.kind.is_none_or(|kind| one.content.kind == kind)
        && filter.category.as_ref().is_none_or(|category| one.content.category == *category)
        && filter.tag.as_ref().is_none_or(|tag| one.content.tags.contains(tag))
        && filter.before.is_none_or(|before| one.id < before)
}

/// What is so already stays as it is.
fn apply(one: &mut Notification, set: Set, now: Timestamp) {
    match set {
        Set::Seen => one.seen_at = one.seen_at.or(Some(now)),
        Set::Read if one.read_at.is_none() => {
            one.read_at = Some(now);
            one.seen_at = one.seen_at.or(Some(now));
        }
        Set::Unread => one.read_at = None,
        Set::Archived => one.archived_at = one.archived_at.or(Some(now)),
        Set::Unarchived => one.archived_at = None,
        Set::Read | Set::Deleted => {}
    }
}

/// What a page knows that was open from the beginning and heeds what it is told.
#[derive(Default)]
struct Page {
    shown: BTreeMap<NotificationId, Notification>,
}

impl Page {
    fn heed(&mut self, told: &Announcement, now: Timestamp) {
        match &told.news {
            News::Created(new) => {
                self.shown.insert(new.id, (**new).clone());
            }
            News::Changed { set, ids } => {
                let all = || {
                    let there = self.shown.values();
                    let there = there.filter(|one| one.owner == told.owner && one.archived_at.is_none());
                    there.filter(|one| is_there(one, now)).map(|one| one.id).collect()
                };
                let ids = match ids {
                    Ids::All => all(),
                    Ids::These(ids) => ids.clone(),
                };
                for id in ids {
                    if *set == Set::Deleted {
                        self.shown.remove(&id);
                    } else if let Some(one) = self.shown.get_mut(&id) {
                        apply(one, *set, now);
                    }
                }
            }
            News::Counts => {}
        }
    }
}

struct Run {
    seed: u64,
    random: Random,
    now: Timestamp,
    server: SharedStore,
    /// Nothing only while one server ends and the next begins.
    announcements: Option<Announcements>,
    beside: Option<SharedStore>,
    model: Model,
    page: Page,
    users: HashMap<(i64, &'static str), UserKey>,
    /// All numbers that were ever given.
    ids: Vec<NotificationId>,
}

impl Run {
    async fn start(home: &Home, seed: u64, beside: Option<SharedStore>) -> Self {
        let (server, announcements) = home.serve();
        let mut users = HashMap::new();
        for number in BRANDS {
            for name in PEOPLE {
                let put = server.put_user(
                    brand(number),
                    name.to_owned(),
                    tidings_store::Profile::default(),
                    Vec::new(),
                    at(0),
                );
                users.insert((number, name), put.await.expect("stored").key);
            }
        }
        Run {
            seed,
            random: Random(seed),
            now: at(0),
            server,
            announcements: Some(announcements),
            beside,
            model: Model::default(),
            page: Page::default(),
            users,
            ids: Vec::new(),
        }
    }

    /// The writer that does the next thing.
    fn store(&mut self) -> SharedStore {
        match &self.beside {
            Some(beside) if self.random.one_in(2) => beside.clone(),
            _ => self.server.clone(),
        }
    }

    fn someone(&mut self) -> (i64, &'static str) {
        (*self.random.of(&BRANDS), *self.random.of(&PEOPLE))
    }

    async fn step(&mut self, home: &Home, step: usize) {
        match self.random.below(20) {
            0..=7 => {
                let many = 1 + self.random.below(5);
                self.add(many, None).await;
            }
            // More than is heeded in between may wait to be told, else.
            8 if self.beside.is_none() && self.random.one_in(2) => self.add(600, Some((7, "ann"))).await,
            9..=14 => self.change().await,
            15 | 16 => self.list().await,
            17 => {
                let store = self.store();
                while store.sweep(self.now).await.expect("swept") {}
                self.model.sweep(self.now);
            }
            18 if self.beside.is_none() && self.random.one_in(3) => self.restart(home).await,
            // The clock moves only when all has been heeded.
            _ if self.beside.is_none() || step % 5 == 1 => self.move_clock(),
            _ => {}
        }
    }

    async fn add(&mut self, many: usize, to: Option<(i64, &'static str)>) {
        let mut new = Vec::new();
        let mut owners = Vec::new();
        for _ in 0..many {
            let (number, name) = to.unwrap_or_else(|| self.someone());
            let owner = self.users[&(number, name)];
            let recipient = if self.random.one_in(2) {
                Recipient::User(owner)
            } else {
                Recipient::External { brand: brand(number), external_id: name.to_owned() }
            };
            let key = self.random.one_in(2).then(|| format!("key {}", self.random.below(200)));
            let source_key = key.map(|key| SourceKey { source: "door", key });
            owners.push((number, owner));
            new.push(NewNotification { recipient, content: self.random.content(self.now), source_key });
        }
        let answers = self.store().add(new.clone(), self.now).await.expect("stored");
        assert_eq!(answers.len(), many);
        for ((new, (number, owner)), answer) in new.into_iter().zip(owners).zip(answers) {
            let answer = answer.expect("stored");
            let key = new.source_key.map(|SourceKey { key, .. }| (number, key));
            let known = key.as_ref().and_then(|key| self.model.keys.get(key));
            if let Some((id, _)) = known {
                assert_eq!(answer, Added::Known(*id), "seed {}", self.seed);
                continue;
            }
            let Added::New(id) = answer else { panic!("seed {}: {key:?} is not known", self.seed) };
            assert!(self.ids.last().is_none_or(|last| *last < id), "seed {}", self.seed);
            self.ids.push(id);
            if let Some(key) = key {
                self.model.keys.insert(key, (id, self.now));
            }
            self.model.add(id, owner, new.content, self.now);
        }
    }

    async fn change(&mut self) {
        let someone = self.someone();
        let owner = self.users[&someone];
        let which = if self.random.one_in(3) || self.ids.is_empty() {
            Which::All(self.random.filter(&self.ids))
        } else {
            // Of anybody, and of those that have gone.
            let from = self.ids.len().saturating_sub(if self.random.one_in(3) { 2000 } else { 30 });
            Which::One(*self.random.of(&self.ids[from..]))
        };
        let set = *self.random.of(&SETS);
        let changed = self.store().change(owner, which.clone(), set, self.now).await.expect("changed");
        let expected = self.model.change(owner, &which, set, self.now);
        assert_eq!(changed, expected, "seed {}: {which:?} {set:?}", self.seed);
    }

    async fn list(&mut self) {
        let someone = self.someone();
        let owner = self.users[&someone];
        let filter = self.random.filter(&self.ids);
        let limit = 1 + self.random.below(20);
        let page = u32::try_from(limit).expect("few");
        let listed =
            self.store().list(owner, filter.clone(), page, self.now).await.expect("listed").notifications;
        let mut expected = self.model.list(owner, &filter, self.now);
        expected.truncate(limit);
        assert_eq!(listed, expected, "seed {}: {filter:?}", self.seed);
        if let Some(&id) = self.ids.last() {
            let found = self.server.notification(owner, id, self.now).await.expect("read");
            let expected = self.model.there(owner, self.now).find(|one| one.id == id);
            assert_eq!(found.as_ref(), expected, "seed {}", self.seed);
        }
    }

    fn move_clock(&mut self) {
        let ms = self.random.below(100) as u64;
        self.now = match self.random.below(12) {
            0 | 1 => self.now.before(Duration::from_millis(ms)),
            2 => self.now.after(KEPT),
            _ => self.now.after(Duration::from_millis(ms)),
        };
    }

    fn announcements(&mut self) -> &mut Announcements {
        self.announcements.as_mut().expect("a server runs")
    }

    /// Another server takes over what this one has not been told to forget.
    async fn restart(&mut self, home: &Home) {
        self.heed_at_once();
        self.announcements = None;
        let (server, announcements) = home.serve();
        (self.server, self.announcements) = (server, Some(announcements));
        // What is told again changes nothing: the page has it already.
        let mut again = Vec::new();
        let marker = self.mark().await;
        loop {
            let told = next(self.announcements()).await;
            again.push(told.seq);
            self.announcements().told(told.seq);
            if matches!(&told.news, News::Created(new) if new.id == marker) {
                break;
            }
        }
        assert!(again.is_sorted_by(|one, other| one < other), "seed {}: {again:?}", self.seed);
    }

    /// Stores something that is none of the model's business, so that all before it has been told when it is.
    async fn mark(&mut self) -> NotificationId {
        let marker = added(&self.server, to("marker", titled("marker")), self.now).await;
        self.ids.push(marker);
        marker
    }

    /// Heeds what has been told; a server alone tells before it answers.
    fn heed_at_once(&mut self) {
        while let Some(told) = unconstrained(self.announcements().next()).now_or_never() {
            let told = told.expect("the store is open");
            self.announcements().told(told.seq);
            self.page.heed(&told, self.now);
            let there = self.page.shown.values().filter(|one| one.owner == told.owner);
            let counts = count(there.filter(|one| is_there(one, self.now)));
            assert_eq!(told.counts, counts, "seed {}: {told:?}", self.seed);
        }
    }

    async fn heed_up_to_here(&mut self) {
        let marker = self.mark().await;
        loop {
            let told = next(self.announcements()).await;
            if matches!(&told.news, News::Created(new) if new.id == marker) {
                break;
            }
            self.page.heed(&told, self.now);
        }
    }

    /// What the store holds, what a page shows and what it counts are what the model holds.
    async fn check(&self) {
        assert_eq!(self.page.shown, self.model.kept, "seed {}", self.seed);
        for &owner in self.users.values() {
            let counts = self.server.counts(owner, self.now).await.expect("counted");
            assert_eq!(counts, self.model.counts(owner, self.now), "seed {}", self.seed);
            for archived in [false, true] {
                let filter = Filter { archived, ..Filter::default() };
                let listed = self
                    .server
                    .list(owner, filter.clone(), u32::MAX, self.now)
                    .await
                    .expect("listed")
                    .notifications;
                assert_eq!(listed, self.model.list(owner, &filter, self.now), "seed {}", self.seed);
            }
        }
    }
}
