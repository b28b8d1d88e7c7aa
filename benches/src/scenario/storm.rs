//! Many sockets connect as fast as they can; then all are cut and come back at once.

use std::rc::Rc;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::Outcome;
use super::load::{AT_ONCE, positive};
use crate::audience::Audience;
use crate::bench::Bench;
use crate::client::Subscription;
use crate::clock;
use crate::engine::Engine;
use crate::failure::Failure;
use crate::figure::{Figure, Figures};
use crate::meter::{Meter, Reading};
use crate::number::{count, float};
use crate::payload::Payload;
use crate::publisher::{Pace, Publisher, Schedule, Source as _};

/// Subscribers of what is published beside the storm.
const BESIDE: usize = 100;

/// Sockets cut between two looks at the publisher.
const CUTS: usize = 50;

/// Settings of `storm`.
#[derive(Clone, Debug, Args, Serialize)]
pub(crate) struct Storm {
    /// Sockets, each with a private channel of its own.
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u16).range(1..=19_000))]
    sockets: u16,
    /// Connections that may be under way at the same time.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..=19_000))]
    at_once: u16,
    /// Members of each presence channel, which every socket subscribes too; 0 for none.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(0..=10_000))]
    room: u16,
    /// Events per second published meanwhile to 100 subscribers outside the storm.
    #[arg(long, value_name = "R", value_parser = positive)]
    beside: Option<f64>,
}

impl Storm {
    pub(super) fn run(&self, mut bench: Bench<'_>) -> Result<Outcome, Failure> {
        let sockets = usize::from(self.sockets);
        let mut audience =
            Audience::new(vec!["bench-0".to_owned()], 1, Payload::new("bench", 200), bench.process);
        let mut publisher = self.publisher(&mut bench, &mut audience)?;

        let (open, first) = self.wave(&mut bench, &mut audience, &mut publisher)?;
        if open == 0 {
            return Err(Failure::Unreachable(audience.ledger.faults.told.join("; ")));
        }
        let mut figures = std::mem::take(&mut bench.figures);
        audience.connects.put(&mut figures);
        first.put(count(sockets), &mut figures);
        figures.insert(Figure::Rate, float(count(open)) / first.took.as_secs_f64());
        figures.extend(bench.grown().map(|grown| (Figure::RssPerSocket, grown / float(count(sockets)))));
        let curve = audience.connects.curve();

        audience.connects.clear();
        let (open, second) = self.wave(&mut bench, &mut audience, &mut publisher)?;
        put_second(&audience, open, sockets, &second, &mut figures);

        if let Some(publisher) = &mut publisher {
            bench.settle(&mut audience, publisher)?;
            figures.insert(Figure::BesideP99, audience.latency.percentile(99.0));
            if let Some(late) = publisher.pace().late() {
                figures.insert(Figure::LateP99, late.percentile(99.0));
                figures.insert(Figure::LateMax, late.max());
            }
        }
        bench.listen(&mut audience)?;
        bench.figures = figures;
        Ok(Outcome { curve, ..Outcome::of(bench, &mut audience) })
    }

    /// Cuts all sockets that there are, and connects all; returns how many are open, and the cost.
    fn wave(
        &self,
        bench: &mut Bench<'_>,
        audience: &mut Audience,
        publisher: &mut Option<Publisher>,
    ) -> Result<(usize, Reading), Failure> {
        let sockets = usize::from(self.sockets);
        let meter = Meter::start(bench.process);
        let mut beside = |engine: &mut Engine, audience: &mut Audience| {
            let Some(publisher) = publisher else { return Ok(Duration::MAX) };
            publisher.pump(engine, audience)?;
            audience.timeline.advance(clock::now());
            Ok(publisher.pace().patience())
        };
        for socket in 0..sockets {
            bench.engine.cut(socket);
            if socket % CUTS == 0 {
                beside(&mut bench.engine, audience)?;
                bench.engine.turn(Duration::ZERO, audience)?;
            }
        }
        let at_once = self.at_once.into();
        let open = bench.connect(audience, 0..sockets, at_once, |socket| self.plan(socket), beside)?;
        Ok((open, meter.read()))
    }

    fn plan(&self, socket: usize) -> Rc<[Subscription]> {
        let private = Subscription::to(format!("private-storm-{socket}"));
        if self.room == 0 {
            return Rc::from([private]);
        }
        let presence = Subscription {
            channel: format!("presence-storm-{}", socket / usize::from(self.room)),
            channel_data: Some(format!(r#"{{"user_id":"u{socket}","user_info":{{"n":{socket}}}}}"#)),
        };
        Rc::from([private, presence])
    }

    /// The publisher beside the storm, and its subscribers, whose sockets are numbered behind the storm's.
    fn publisher(
        &self,
        bench: &mut Bench<'_>,
        audience: &mut Audience,
    ) -> Result<Option<Publisher>, Failure> {
        let Some(rate) = self.beside else { return Ok(None) };
        let first = usize::from(self.sockets);
        let plan: Rc<[Subscription]> = Rc::from([Subscription::to("bench-0")]);
        let open = bench.connect(
            audience,
            first..first + BESIDE,
            AT_ONCE,
            |_| Rc::clone(&plan),
            |_, _| Ok(Duration::MAX),
        )?;
        if open < BESIDE {
            return Err(Failure::Unreachable(audience.ledger.faults.told.join("; ")));
        }
        audience.connects.clear();
        Ok(Some(Publisher::new(Pace::Fixed(Schedule::per_second(rate)), 1, 1, 1)))
    }
}

fn put_second(audience: &Audience, open: usize, sockets: usize, reading: &Reading, figures: &mut Figures) {
    figures.insert(Figure::BackP50, audience.connects.percentile(50.0));
    figures.insert(Figure::BackP99, audience.connects.percentile(99.0));
    figures.insert(Figure::BackMax, audience.connects.max());
    figures.insert(Figure::BackRate, float(count(open)) / reading.took.as_secs_f64());
    figures.extend(reading.each(count(sockets)).map(|each| (Figure::BackCpuUs, each)));
}
