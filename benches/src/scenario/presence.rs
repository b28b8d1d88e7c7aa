//! Members join one presence channel, leave it and come back.
//!
//! Each member keeps its view as a client library does. At the end all views must be the truth; on the way no member
//! may be announced twice, nor leave without having been there.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Outcome;
use super::load::{AT_ONCE, positive};
use crate::bench::Bench;
use crate::client::Subscription;
use crate::clock;
use crate::failure::Failure;
use crate::faults::{Fault, Faults};
use crate::figure::Figure;
use crate::latency::Latency;
use crate::meter::Meter;
use crate::number::{count, float};
use crate::process::Process;
use crate::publisher::Schedule;
use crate::sink::{Event, Sink};
use crate::stamp::Stamp;
use crate::timeline::Timeline;

const CHANNEL: &str = "presence-bench";

const TURN: Duration = Duration::from_millis(5);

/// Views that are not right after so long will not become it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Settings of `presence`.
#[derive(Clone, Debug, Args, Serialize)]
pub(crate) struct Presence {
    /// Members of the channel.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(2..=2000))]
    members: u16,
    /// Leaves and returns per second after all have joined; by turns a member unsubscribes, or its socket is cut.
    #[arg(long, default_value_t = 20.0, value_name = "R", value_parser = positive)]
    churn: f64,
    /// Seconds of that.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(0..=3600))]
    seconds: u32,
}

impl Presence {
    pub(super) fn run(&self, mut bench: Bench<'_>) -> Result<Outcome, Failure> {
        let members = usize::from(self.members);
        let mut views = Views::new(members, bench.process);
        let nothing: Rc<[Subscription]> = Rc::from([]);
        let open = bench.connect(
            &mut views,
            0..members,
            AT_ONCE,
            |_| Rc::clone(&nothing),
            |_, _| Ok(Duration::MAX),
        )?;
        if open < members {
            return Err(Failure::Unreachable(views.faults.told.join("; ")));
        }

        let meter = Meter::start(bench.process);
        join_all(&mut bench, &mut views)?;
        let joined = views.frames;
        let reading = meter.read();
        // The rate ends with the last frame, not with the wait for what will never come.
        let took = views.last_frame.saturating_sub(meter.began()).as_secs_f64().max(1e-9);
        bench.figures.insert(Figure::Rate, float(joined) / took);
        reading.put(joined, &mut bench.figures);
        let notes = vec![format!("{members} joins made {joined} frames")];

        self.churn(&mut bench, &mut views)?;
        settle(&mut bench, &mut views)?;
        bench.listen(&mut views)?;
        views.compare();

        let mut figures = bench.figures;
        views.latency.put(&mut figures);
        figures.insert(Figure::Faults, float(views.faults.total()));
        Ok(Outcome {
            figures,
            curve: views.latency.curve(),
            timeline: views.timeline.take(),
            faults: views.faults,
            notes,
        })
    }

    /// Lets a tenth of the members leave and come back, one at a time.
    fn churn(&self, bench: &mut Bench<'_>, views: &mut Views) -> Result<(), Failure> {
        let mut phase = bench.progress.phase("churn", self.seconds.into());
        let began = clock::now();
        let mut churn = Schedule::per_second(self.churn);
        let movers = usize::from(self.members).div_ceil(10);
        let mut step = 0_usize;
        loop {
            let now = clock::now();
            let passed = now.saturating_sub(began);
            if passed >= Duration::from_secs(self.seconds.into()) {
                return Ok(());
            }
            while churn.pop(now).is_some() {
                step += 1;
                // Twice around the movers before the way of leaving changes, so that each tries both.
                views.toggle(step % movers, (step / movers / 2).is_multiple_of(2), bench)?;
            }
            bench.engine.turn(TURN, views)?;
            views.timeline.advance(clock::now());
            phase.set(now, passed.as_secs(), || format!("{} frames", views.frames));
        }
    }
}

/// Subscribes all members, as fast as confirmations come back.
fn join_all(bench: &mut Bench<'_>, views: &mut Views) -> Result<(), Failure> {
    let members = views.members.len();
    let mut phase = bench.progress.phase("joining", count(members));
    let mut next = 0;
    let mut moved = (clock::now(), 0);
    loop {
        let joined = views.members.iter().filter(|member| member.view.is_some()).count();
        while next < members && next - joined < AT_ONCE {
            views.join(next, bench);
            next += 1;
        }
        let now = clock::now();
        if moved.1 != views.frames {
            moved = (now, views.frames);
        }
        if views.is_true() || now > moved.0 + PATIENCE || !views.faults.counts.is_empty() {
            return Ok(());
        }
        phase.set(now, count(joined), || format!("{} frames", views.frames));
        bench.engine.turn(TURN, views)?;
        views.timeline.advance(clock::now());
    }
}

/// Waits until all views are right.
fn settle(bench: &mut Bench<'_>, views: &mut Views) -> Result<(), Failure> {
    let deadline = clock::now() + PATIENCE;
    while !views.is_true() && clock::now() < deadline {
        bench.engine.turn(TURN, views)?;
    }
    Ok(())
}

/// One member and what it believes.
struct Member {
    /// Whether it is in the channel, or on its way into it.
    is_in: bool,
    /// The members that it knows of; `None` until its subscription is confirmed.
    view: Option<Vec<bool>>,
    /// When it last joined or left.
    acted: Duration,
}

/// All members.
struct Views {
    members: Vec<Member>,
    frames: u64,
    last_frame: Duration,
    faults: Faults,
    latency: Latency,
    timeline: Timeline,
}

impl Views {
    fn new(members: usize, process: Option<Process>) -> Self {
        let member = || Member { is_in: false, view: None, acted: Duration::ZERO };
        Self {
            members: std::iter::repeat_with(member).take(members).collect(),
            frames: 0,
            last_frame: Duration::ZERO,
            faults: Faults::default(),
            latency: Latency::new(),
            timeline: Timeline::new(process),
        }
    }

    fn subscription(member: usize) -> Subscription {
        Subscription {
            channel: CHANNEL.to_owned(),
            channel_data: Some(format!(
                r#"{{"user_id":"u{member}","user_info":{{"name":"member {member}"}}}}"#
            )),
        }
    }

    fn join(&mut self, member: usize, bench: &mut Bench<'_>) {
        self.members[member].is_in = true;
        self.members[member].acted = clock::now();
        bench.engine.subscribe(member, &Self::subscription(member), self);
    }

    /// Lets a member leave, by a cut if `cut` or else by unsubscribing; or return, if it is out.
    fn toggle(&mut self, member: usize, cut: bool, bench: &mut Bench<'_>) -> Result<(), Failure> {
        let is_in = self.members[member].is_in;
        if is_in && self.members[member].view.is_none() {
            // Its last step is not over.
            return Ok(());
        }
        if !is_in && bench.engine.is_open(member) {
            self.join(member, bench);
        } else if !is_in {
            self.members[member].is_in = true;
            self.members[member].acted = clock::now();
            bench.engine.connect(member, Rc::from([Self::subscription(member)]))?;
        } else {
            self.members[member].is_in = false;
            self.members[member].view = None;
            self.members[member].acted = clock::now();
            if cut {
                bench.engine.cut(member);
            } else {
                let frame = format!(r#"{{"event":"pusher:unsubscribe","data":{{"channel":"{CHANNEL}"}}}}"#);
                bench.engine.send(member, frame.as_bytes(), self);
            }
        }
        Ok(())
    }

    /// Whether every view is the truth.
    fn is_true(&self) -> bool {
        self.members.iter().filter(|member| member.is_in).all(|member| self.is_right(member))
    }

    fn is_right(&self, member: &Member) -> bool {
        member
            .view
            .as_ref()
            .is_some_and(|view| view.iter().zip(&self.members).all(|(seen, other)| *seen == other.is_in))
    }

    /// Notes every pair of members of which one has the other wrong.
    fn compare(&mut self) {
        for (number, member) in self.members.iter().enumerate().filter(|(_, member)| member.is_in) {
            let Some(view) = &member.view else {
                self.faults.note(Fault::View, 1, || format!("member {number} was never confirmed"));
                continue;
            };
            let wrong = view.iter().zip(&self.members).filter(|(seen, other)| **seen != other.is_in).count();
            if wrong > 0 {
                self.faults
                    .note(Fault::View, count(wrong), || format!("member {number} has {wrong} others wrong"));
            }
        }
    }

    /// What a member learns of another; `None` if there is nothing wrong with it.
    fn learn(&mut self, member: usize, other: &str, is_in: bool, now: Duration) -> Option<String> {
        let Some(number) = number_of(other).filter(|&number| number < self.members.len()) else {
            return Some(format!("member {member} is told of {other}, who does not exist"));
        };
        // Between leaving and the next confirmation frames may still come; a client library ignores them too.
        let view = self.members[member].view.as_mut()?;
        if std::mem::replace(&mut view[number], is_in) == is_in {
            let what = if is_in { "joined" } else { "left" };
            return Some(format!("member {member} is told twice that {other} {what}"));
        }
        let latency = now.saturating_sub(self.members[number].acted);
        self.latency.record(latency);
        self.timeline.record(latency);
        None
    }

    /// The view that a confirmation gives.
    fn begin(&mut self, member: usize, data: &str) -> Option<String> {
        let Ok(Confirmation { presence }) = serde_json::from_str::<Confirmation<'_>>(data) else {
            return Some(format!("member {member} is confirmed with {data}"));
        };
        let mut view = vec![false; self.members.len()];
        for other in &presence.ids {
            match number_of(other).and_then(|number| view.get_mut(number)) {
                Some(seen) => *seen = true,
                None => return Some(format!("member {member} is told of {other}, who does not exist")),
            }
        }
        let known = view.iter().filter(|seen| **seen).count();
        let whole = known == presence.ids.len()
            && known == presence.hash.len()
            && count(known) == presence.count
            && presence.ids.iter().all(|id| presence.hash.contains_key(id.as_str()));
        self.members[member].view = Some(view);
        (!whole).then(|| format!("member {member} is given ids, hash and count that differ"))
    }
}

impl Sink for Views {
    fn ready(&mut self, _socket: usize, _took: Duration, _now: Duration) {}

    fn delivery(&mut self, socket: usize, _stamp: &Stamp, _text: &[u8], _at: usize, _now: Duration) {
        self.faults.note(Fault::Stray, 1, || format!("socket {socket}: an event, though none is published"));
    }

    fn event(&mut self, socket: usize, event: &Event<'_>, now: Duration) {
        let wrong = match event.name {
            "pusher_internal:subscription_succeeded" => self.begin(socket, event.data),
            name @ ("pusher_internal:member_added" | "pusher_internal:member_removed") => {
                match serde_json::from_str::<Announcement>(event.data) {
                    Ok(announcement) => {
                        self.learn(socket, &announcement.user_id, name.ends_with("added"), now)
                    }
                    Err(_) => Some(format!("member {socket} is announced {}", event.data)),
                }
            }
            name if name.contains("error") => {
                self.faults
                    .note(Fault::Refused, 1, || format!("socket {socket}: {} {}", event.name, event.data));
                None
            }
            _ => return,
        };
        self.frames += 1;
        self.last_frame = now;
        if let Some(wrong) = wrong {
            self.faults.note(Fault::View, 1, || wrong);
        }
    }

    fn closed(&mut self, socket: usize, why: &str) {
        self.members[socket].is_in = false;
        self.members[socket].view = None;
        self.faults.note(Fault::Closed, 1, || format!("socket {socket}: {why}"));
    }

    fn refused(&mut self, why: &str) {
        self.faults.note(Fault::Refused, 1, || why.to_owned());
    }
}

fn number_of(user_id: &str) -> Option<usize> {
    user_id.strip_prefix('u')?.parse().ok()
}

#[derive(Deserialize)]
struct Confirmation<'a> {
    #[serde(borrow)]
    presence: PresenceData<'a>,
}

#[derive(Deserialize)]
struct PresenceData<'a> {
    ids: Vec<String>,
    #[serde(borrow)]
    hash: BTreeMap<String, &'a RawValue>,
    count: u64,
}

#[derive(Deserialize)]
struct Announcement {
    user_id: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    const THREE: &str = r#"{"presence":{"ids":["u0","u1"],"hash":{"u0":{},"u1":null},"count":2}}"#;

    /// Three members, of whom 0 and 1 are in and 0 has been confirmed.
    fn views() -> Views {
        let mut views = Views::new(3, None);
        views.members[0].is_in = true;
        views.members[1].is_in = true;
        assert_eq!(views.begin(0, THREE), None);
        views
    }

    #[test]
    fn an_exact_view_is_true() {
        let mut views = views();
        assert!(!views.is_true(), "member 1 is not confirmed");
        assert_eq!(views.begin(1, THREE), None);
        assert!(views.is_true());
        views.compare();
        assert_eq!(views.faults, Faults::default());
    }

    #[test]
    fn a_lost_announcement_shows_in_the_view() {
        let mut views = views();
        views.begin(1, THREE);
        views.members[2].is_in = true;
        views.begin(2, r#"{"presence":{"ids":["u0","u1","u2"],"hash":{"u0":{},"u1":{},"u2":{}},"count":3}}"#);
        assert_eq!(views.learn(0, "u2", true, Duration::ZERO), None);
        views.compare();
        assert_eq!(views.faults.count(Fault::View), 1, "member 1 does not know of member 2");
    }

    #[test]
    fn doubled_and_unfounded_announcements_show() {
        let mut views = views();
        assert!(views.learn(0, "u1", true, Duration::ZERO).is_some());
        assert!(views.learn(0, "u2", false, Duration::ZERO).is_some());
        assert!(views.learn(0, "u9", true, Duration::ZERO).is_some());
        assert!(views.learn(0, "u1", false, Duration::ZERO).is_none());
    }

    #[test]
    fn a_confirmation_that_contradicts_itself_shows() {
        let mut views = views();
        let check = |views: &mut Views, text| assert!(views.begin(1, text).is_some(), "{text}");
        check(&mut views, r#"{"presence":{"ids":["u0","u0"],"hash":{"u0":{}},"count":2}}"#);
        check(&mut views, r#"{"presence":{"ids":["u0","u1"],"hash":{"u0":{}},"count":2}}"#);
        check(&mut views, r#"{"presence":{"ids":["u0"],"hash":{"u0":{}},"count":2}}"#);
        check(&mut views, "{}");
    }
}
