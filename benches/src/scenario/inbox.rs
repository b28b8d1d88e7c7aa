//! The inbox: senders store notifications, or visitors list and mark them.
//!
//! Every answer is read and checked, and every push that follows from a call must come to the user's socket once, and
//! in order.

use std::collections::HashSet;
use std::rc::Rc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use super::Outcome;
use super::load::{AT_ONCE, Span};
use crate::bench::Bench;
use crate::client::Subscription;
use crate::clock;
use crate::failure::Failure;
use crate::faults::Fault;
use crate::figure::Figure;
use crate::latency::Latency;
use crate::ledger::Ledger;
use crate::meter::Meter;
use crate::number::{count, float};
use crate::process::Process;
use crate::sink::{Event, Sink};
use crate::stamp::Stamp;
use crate::target::{BRAND_ID, SENDER_KEY};
use crate::timeline::Timeline;

const TURN: Duration = Duration::from_millis(50);
/// What has not come after so long never will.
const STALLED: Duration = Duration::from_secs(10);
/// Notifications of one batch while an inbox is filled before the measuring.
const FILLING: u32 = 500;
/// Connections over which that is done.
const FILLERS: usize = 8;
/// Inboxes of others hold so many, below the server's limit.
const OTHERS_EACH: u32 = 900;
/// What a notification says beside its title.
const MESSAGE: &str =
    "<p>It left the depot and should be with you on the day after tomorrow, in the morning.</p>";

/// Settings of `inbox`.
#[derive(Clone, Debug, Args, Serialize)]
pub(crate) struct Inbox {
    /// What is called.
    #[arg(long, value_enum, default_value_t = Operation::Single)]
    operation: Operation,
    /// Callers at once, each with a connection; the next call of each follows the answer to its last.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    senders: u16,
    /// Users, each with a socket on a channel of their own.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    users: u16,
    /// Notifications in one batch.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    batch: u16,
    /// List and mark: notifications in each user's inbox before that.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=900))]
    each: u32,
    /// Notifications of others in the store before that.
    #[arg(long, default_value_t = 0)]
    others: u32,
    #[command(flatten)]
    #[serde(flatten)]
    span: Span,
}

/// What is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
enum Operation {
    /// One notification in each request.
    Single,
    /// Many notifications in each request.
    Batch,
    /// A user's list.
    List,
    /// Marking one notification as read.
    Mark,
}

impl Inbox {
    pub(super) fn run(&self, mut bench: Bench<'_>) -> Result<Outcome, Failure> {
        let users = usize::from(self.users);
        let senders = usize::from(self.senders);
        let mut crowd = Crowd::new(users, senders.max(FILLERS), bench.process);
        self.prepare(&mut bench, &mut crowd)?;
        let plans: Vec<Rc<[Subscription]>> = crowd.users.iter().map(User::plan).collect();
        let open =
            bench.connect(&mut crowd, 0..users, AT_ONCE, |user| Rc::clone(&plans[user]), |_, _| Ok(TURN))?;
        if open < users {
            return Err(Failure::Unreachable(crowd.ledger.faults.told.join("; ")));
        }

        self.measure(&mut bench, &mut crowd)?;
        settle(&mut bench, &mut crowd)?;
        bench.listen(&mut crowd)?;
        for (user, id) in crowd.unread.drain() {
            crowd.ledger.faults.note(Fault::Lost, 1, || format!("user {user}: {id} was read"));
        }
        let faults = crowd.ledger.close();
        let mut figures = bench.figures;
        figures.insert(Figure::Faults, float(faults.total()));
        Ok(Outcome {
            figures,
            curve: crowd.latency.curve(),
            timeline: crowd.timeline.take(),
            faults,
            notes: vec![format!("{} notifications stored", crowd.references.len())],
        })
    }

    /// Logs the users in, and fills what is to be there before.
    fn prepare(&self, bench: &mut Bench<'_>, crowd: &mut Crowd) -> Result<(), Failure> {
        let mut logins = 0..usize::from(self.users);
        drive(bench, crowd, FILLERS, "logging in", |_| logins.next().map(|user| Call::Login { user }))?;
        let mut others = 0..self.others.div_ceil(FILLING);
        let mut left = self.others;
        drive(bench, crowd, FILLERS, "filling others' inboxes", |_| {
            let first = others.next()? * FILLING;
            let items = left.min(FILLING);
            left -= items;
            let whom = |number| format!("other-{}", number / OTHERS_EACH);
            Some(Call::Fill { whom: (first..first + items).map(whom).collect() })
        })?;
        if matches!(self.operation, Operation::List | Operation::Mark) {
            let mut filled =
                (0..self.each).map(|_| 0..usize::from(self.users)).collect::<Vec<_>>().into_iter();
            let mut round = filled.next();
            drive(bench, crowd, FILLERS, "filling inboxes", |_| {
                let whom: Vec<String> = loop {
                    let users = round.as_mut()?;
                    let some: Vec<String> = users.by_ref().take(FILLING as usize).map(name).collect();
                    if !some.is_empty() {
                        break some;
                    }
                    round = filled.next();
                };
                Some(Call::Fill { whom })
            })?;
        }
        if self.operation == Operation::Mark {
            let mut lists = 0..usize::from(self.users);
            drive(bench, crowd, FILLERS, "listing", |_| {
                lists.next().map(|user| Call::List { user, expected: self.each, keep: true })
            })?;
        }
        // What is being told of all this is told before somebody listens.
        bench.listen(crowd)
    }

    fn measure(&self, bench: &mut Bench<'_>, crowd: &mut Crowd) -> Result<(), Failure> {
        let timing = self.span.timing();
        let began = clock::now();
        let (start, end) = (began + timing.warmup, began + timing.warmup + timing.measured);
        let process = bench.process;
        let mut turns = 0..;
        let mut meter = None;
        let users = usize::from(self.users);
        drive(bench, crowd, self.senders.into(), "calling", |crowd: &mut Crowd| {
            let now = clock::now();
            if meter.is_none() && now >= start {
                crowd.start_measuring(process);
                meter = Some(Meter::start(process));
            }
            if now >= end {
                return None;
            }
            let user = turns.next()? % users;
            Some(match self.operation {
                Operation::Single => Call::Single { user },
                Operation::Batch => Call::Batch { first: user, items: self.batch },
                Operation::List => Call::List { user, expected: self.each, keep: false },
                Operation::Mark => {
                    let (user, id) = crowd.to_mark.pop()?;
                    Call::Mark { user, id }
                }
            })
        })?;
        let Some(meter) = meter else {
            return Err(Failure::Usage("nothing was left to do before the measuring began".to_owned()));
        };
        let reading = meter.read();
        let took = crowd.last_answer.saturating_sub(meter.began()).as_secs_f64().max(1e-9);
        bench.figures.insert(Figure::Rate, float(crowd.done) / took);
        reading.put(crowd.done, &mut bench.figures);
        crowd.latency.put(&mut bench.figures);
        if crowd.pushes.count() > 0 {
            bench.figures.insert(Figure::PushP50, crowd.pushes.percentile(50.0));
            bench.figures.insert(Figure::PushP99, crowd.pushes.percentile(99.0));
        }
        Ok(())
    }
}

/// Has `lanes` connections do one call after the other, until there are no more and all are answered.
fn drive(
    bench: &mut Bench<'_>,
    crowd: &mut Crowd,
    lanes: usize,
    what: &'static str,
    mut next: impl FnMut(&mut Crowd) -> Option<Call>,
) -> Result<(), Failure> {
    let mut phase = bench.progress.phase(what, 0);
    let mut is_over = false;
    let mut moved = (clock::now(), crowd.answers);
    loop {
        for lane in 0..lanes {
            if is_over || crowd.open[lane].is_some() {
                continue;
            }
            match next(crowd) {
                Some(call) => {
                    let request = call.request(lane, crowd);
                    crowd.open[lane] = Some((call, clock::now()));
                    bench.engine.request(lane, &request, crowd);
                }
                None => is_over = true,
            }
        }
        let now = clock::now();
        if moved.1 != crowd.answers {
            moved = (now, crowd.answers);
        }
        if crowd.is_refused || now > moved.0 + STALLED {
            let told = crowd.ledger.faults.told.join("; ");
            return Err(Failure::Broken(format!("{what}: not all was answered; {told}")));
        }
        if is_over && crowd.open.iter().all(Option::is_none) {
            return Ok(());
        }
        phase.set(now, crowd.answers, || format!("{} answers", crowd.answers));
        bench.engine.turn(TURN, crowd)?;
        crowd.timeline.advance(clock::now());
    }
}

/// Waits until every push has come, or none comes any more.
fn settle(bench: &mut Bench<'_>, crowd: &mut Crowd) -> Result<(), Failure> {
    let owed = |crowd: &Crowd| crowd.ledger.owed() + count(crowd.unread.len());
    let mut moved = (clock::now(), owed(crowd));
    while moved.1 > 0 && clock::now() < moved.0 + STALLED {
        bench.engine.turn(TURN, crowd)?;
        if owed(crowd) != moved.1 {
            moved = (clock::now(), owed(crowd));
        }
    }
    Ok(())
}

/// One request.
enum Call {
    Login { user: usize },
    Fill { whom: Vec<String> },
    Single { user: usize },
    Batch { first: usize, items: u16 },
    List { user: usize, expected: u32, keep: bool },
    Mark { user: usize, id: u64 },
}

impl Call {
    fn request(&self, lane: usize, crowd: &mut Crowd) -> Vec<u8> {
        match self {
            Call::Login { user } => {
                let sid = format!("authtoken: {}\r\n", name(*user));
                request("POST", "/Platform/LoginAuthToken", &sid, b"")
            }
            Call::Fill { whom } => {
                let items: Vec<String> = whom.iter().map(|whom| crowd.item(whom, "filling")).collect();
                batch(&items)
            }
            Call::Single { user } => {
                let title = crowd.stamp(*user, lane);
                let item = crowd.item(&name(*user), &title);
                request("POST", "/channels/site/single", &sender(), item.as_bytes())
            }
            Call::Batch { first, items } => {
                let users = crowd.users.len();
                let items: Vec<String> = (*first..first + usize::from(*items))
                    .map(|user| {
                        let title = crowd.stamp(user % users, lane);
                        crowd.item(&name(user % users), &title)
                    })
                    .collect();
                batch(&items)
            }
            Call::List { user, .. } => {
                let path = "/Notifications/v2/user-notifications?unread-only=false&inbox-only=false";
                request("GET", path, &crowd.users[*user].token_header(), b"")
            }
            Call::Mark { user, id } => {
                crowd.unread.insert((*user, *id));
                let body = format!(r#"{{"MessageId":{id}}}"#);
                let token = crowd.users[*user].token_header();
                request("POST", "/Notifications/MarkNotificationAsRead", &token, body.as_bytes())
            }
        }
    }

    /// How many operations it is; none before the measuring.
    fn operations(&self) -> u64 {
        match self {
            Call::Login { .. } | Call::Fill { .. } => 0,
            Call::Batch { items, .. } => u64::from(*items),
            Call::Single { .. } | Call::List { .. } | Call::Mark { .. } => 1,
        }
    }
}

/// What the operator calls a user, and the user's sid.
fn name(user: usize) -> String {
    format!("user-{user}")
}

fn sender() -> String {
    format!("x-api-key: {SENDER_KEY}\r\n")
}

fn batch(items: &[String]) -> Vec<u8> {
    request("POST", "/channels/site/batch", &sender(), format!("[{}]", items.join(",")).as_bytes())
}

fn request(method: &str, path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let mut request =
        format!("{method} {path} HTTP/1.1\r\nHost: bench\r\n{headers}Content-Length: {length}\r\n\r\n")
            .into_bytes();
    request.extend_from_slice(body);
    request
}

/// A user, once logged in.
#[derive(Clone, Default)]
struct User {
    id: u64,
    token: String,
    channel: String,
    /// The last notification that was pushed.
    last: u64,
}

impl User {
    fn plan(&self) -> Rc<[Subscription]> {
        Rc::from([Subscription::to(self.channel.as_str())])
    }

    fn token_header(&self) -> String {
        format!("authtoken: {}\r\n", self.token)
    }
}

/// All users and callers, and what they must be told.
struct Crowd {
    users: Vec<User>,
    /// The call of each connection that waits for its answer, and when it was made.
    open: Vec<Option<(Call, Duration)>>,
    ledger: Ledger,
    /// Notifications that were stored, by what their sender is told.
    references: HashSet<Box<str>>,
    to_mark: Vec<(usize, u64)>,
    /// Marked as read, and the user's socket has not been told.
    unread: HashSet<(usize, u64)>,
    activity: u64,
    answers: u64,
    done: u64,
    last_answer: Duration,
    latency: Latency,
    pushes: Latency,
    timeline: Timeline,
    is_refused: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer<T> {
    data: T,
    success: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct LoginData {
    authentication: Authentication,
    user: UserData,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Authentication {
    auth_token: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct UserData {
    user_id: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Notification {
    message_id: u64,
    user_id: u64,
    title: String,
    message: String,
}

#[derive(Deserialize)]
struct Stored {
    site_notification_id: Box<str>,
}

#[derive(Deserialize)]
struct Report {
    successful: Vec<Stored>,
    failed: Vec<serde_json::Value>,
    fatal: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Frame {
    event: String,
    channel: String,
    data: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Updated {
    message_ids: Vec<u64>,
    set: String,
}

impl Crowd {
    fn new(users: usize, lanes: usize, process: Option<Process>) -> Self {
        Self {
            users: vec![User::default(); users],
            open: (0..lanes).map(|_| None).collect(),
            ledger: Ledger::new(users, lanes),
            references: HashSet::new(),
            to_mark: Vec::new(),
            unread: HashSet::new(),
            activity: 0,
            answers: 0,
            done: 0,
            last_answer: Duration::ZERO,
            latency: Latency::new(),
            pushes: Latency::new(),
            timeline: Timeline::new(process),
            is_refused: false,
        }
    }

    fn start_measuring(&mut self, process: Option<Process>) {
        self.done = 0;
        self.latency.clear();
        self.pushes.clear();
        self.timeline = Timeline::new(process);
    }

    /// A title that tells which notification it is.
    fn stamp(&mut self, user: usize, lane: usize) -> String {
        let channel = u32::try_from(user).expect("users are few");
        let stream = u16::try_from(lane).expect("lanes are few");
        let sequence = self.ledger.publish(channel, stream);
        let mut title = Vec::new();
        Stamp { channel, stream, sequence, due: clock::now() }.write(&mut title);
        String::from_utf8(title).expect("a stamp is ASCII")
    }

    /// What is sent of a new notification.
    fn item(&mut self, whom: &str, title: &str) -> String {
        self.activity += 1;
        format!(
            r#"{{"activity":{{"id":{},"brand_id":{BRAND_ID},"user_id":"{whom}"}},"title":"{title}","message":"{MESSAGE}"}}"#,
            self.activity
        )
    }

    /// Checks an answer; what is wrong with it otherwise.
    fn check(&mut self, call: &Call, body: &[u8]) -> Result<(), String> {
        match call {
            Call::Login { user } => {
                let Answer::<LoginData> { data, .. } = parse(body)?;
                let id = data.user.user_id;
                let channel = format!("private-prisma-{BRAND_ID}-{id}");
                self.users[*user] = User { id, token: data.authentication.auth_token, channel, last: 0 };
            }
            Call::Single { .. } => {
                let stored: Stored = parse(body)?;
                self.stored(stored)?;
            }
            Call::Fill { whom } => self.check_report(whom.len(), body)?,
            Call::Batch { items, .. } => self.check_report((*items).into(), body)?,
            Call::List { user, expected, keep } => {
                let Answer::<Vec<Notification>> { data, success } = parse(body)?;
                let is_newest_first = data.is_sorted_by(|one, next| one.message_id > next.message_id);
                let id = self.users[*user].id;
                let is_own = data.iter().all(|one| one.user_id == id && one.message == MESSAGE);
                if !success || count(data.len()) != u64::from(*expected) || !is_newest_first || !is_own {
                    return Err(format!("a list of {} for user {user}", data.len()));
                }
                if *keep {
                    self.to_mark.extend(data.iter().map(|one| (*user, one.message_id)));
                }
            }
            Call::Mark { .. } => {
                let Answer::<bool> { data, success } = parse(body)?;
                if !data || !success {
                    return Err(String::from_utf8_lossy(body).into_owned());
                }
            }
        }
        Ok(())
    }

    fn check_report(&mut self, items: usize, body: &[u8]) -> Result<(), String> {
        let report: Report = parse(body)?;
        if report.successful.len() != items || !report.failed.is_empty() || !report.fatal.is_empty() {
            return Err(String::from_utf8_lossy(&body[..body.len().min(300)]).into_owned());
        }
        report.successful.into_iter().try_for_each(|stored| self.stored(stored))
    }

    fn stored(&mut self, Stored { site_notification_id }: Stored) -> Result<(), String> {
        let told = site_notification_id.clone();
        if self.references.insert(site_notification_id) { Ok(()) } else { Err(format!("{told} twice")) }
    }

    /// Whether a push is what was sent, and newer than the last.
    fn is_intact(&mut self, socket: usize, text: &[u8]) -> bool {
        let Ok(frame) = serde_json::from_slice::<Frame>(text) else { return false };
        let Ok(new) = serde_json::from_str::<Notification>(&frame.data) else { return false };
        let user = &mut self.users[socket];
        let is_newer = new.message_id > user.last;
        user.last = new.message_id;
        is_newer
            && frame.event == "inbox"
            && frame.channel == user.channel
            && new.user_id == user.id
            && new.message == MESSAGE
            && new.title.len() == crate::stamp::WIDTH
    }
}

fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| {
        format!("{error} in the answer {}", String::from_utf8_lossy(&body[..body.len().min(300)]))
    })
}

impl Sink for Crowd {
    fn ready(&mut self, _socket: usize, _took: Duration, _now: Duration) {}

    fn delivery(&mut self, socket: usize, stamp: &Stamp, text: &[u8], _at: usize, now: Duration) {
        self.ledger.deliver(socket, stamp);
        if !self.is_intact(socket, text) {
            let text = String::from_utf8_lossy(text);
            self.ledger.faults.note(Fault::Altered, 1, || format!("socket {socket}: {text}"));
        }
        self.pushes.record(now.saturating_sub(stamp.due));
    }

    fn event(&mut self, socket: usize, event: &Event<'_>, _now: Duration) {
        match event.name {
            "pusher_internal:subscription_succeeded" => {
                let number = u32::try_from(socket).expect("users are few");
                self.ledger.join(socket, number, None);
            }
            "tidings:counts" => {}
            "tidings:updated" => {
                // The engine takes off a string's quotes, not what was escaped in it.
                let data = event.data.replace("\\\"", "\"");
                let updated = serde_json::from_str::<Updated>(&data);
                let is_meant = updated.is_ok_and(|updated| {
                    updated.set == "read"
                        && updated.message_ids.iter().all(|id| self.unread.remove(&(socket, *id)))
                });
                if !is_meant {
                    self.ledger.faults.note(Fault::Stray, 1, || format!("socket {socket}: {data}"));
                }
            }
            name if name.starts_with("pusher:pong") => {}
            name => self.ledger.faults.note(Fault::Stray, 1, || {
                format!("socket {socket}: {name} {} {}", event.channel, event.data)
            }),
        }
    }

    fn closed(&mut self, socket: usize, why: &str) {
        self.ledger.leave(socket);
        self.ledger.faults.note(Fault::Closed, 1, || format!("socket {socket}: {why}"));
    }

    fn refused(&mut self, why: &str) {
        self.is_refused = true;
        self.ledger.faults.note(Fault::Refused, 1, || why.to_owned());
    }

    fn answered(&mut self, lane: usize, body: &[u8], now: Duration) {
        let Some((call, made)) = self.open.get_mut(lane).and_then(Option::take) else { return };
        self.answers += 1;
        self.last_answer = now;
        self.done += call.operations();
        let latency = now.saturating_sub(made);
        self.latency.record(latency);
        self.timeline.record(latency);
        if let Err(why) = self.check(&call, body) {
            self.is_refused = true;
            self.ledger.faults.note(Fault::Altered, 1, || why);
        }
    }
}
