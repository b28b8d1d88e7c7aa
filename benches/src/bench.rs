//! The steps that scenarios are made of: connect, publish, settle.

use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use crate::audience::Audience;
use crate::client::Subscription;
use crate::clock;
use crate::engine::Engine;
use crate::failure::Failure;
use crate::figure::{Figure, Figures};
use crate::latency::Latency;
use crate::meter::Meter;
use crate::number::{count, float};
use crate::process::Process;
use crate::progress::Progress;
use crate::publisher::Source;
use crate::sink::Sink;
use crate::target::Running;

/// The longest wait of one turn, so that clocks and progress move on.
const TURN: Duration = Duration::from_millis(50);

/// Connects begun in one turn, so that the answers to the first are not left waiting.
const STARTS: usize = 32;

/// Without a new connection or delivery for so long, none is waited for any more.
const STALLED: Duration = Duration::from_secs(10);

/// After everything has come, whatever comes in this time came too often.
const LISTEN: Duration = Duration::from_millis(200);

/// How long to publish before measuring, and while.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    pub(crate) warmup: Duration,
    pub(crate) measured: Duration,
}

/// A running target, the sockets to it, and the figures so far.
pub(crate) struct Bench<'a> {
    pub(crate) engine: Engine,
    pub(crate) process: Option<Process>,
    pub(crate) progress: &'a Progress,
    pub(crate) figures: Figures,
    rss_start: Option<u64>,
}

impl<'a> Bench<'a> {
    pub(crate) fn new(target: &Running, progress: &'a Progress) -> Result<Self, Failure> {
        let rss_start = target.process.and_then(Process::resident);
        let mut bench = Self {
            engine: Engine::new(target)?,
            process: target.process,
            progress,
            figures: Figures::new(),
            rss_start,
        };
        bench.figures.extend(rss_start.map(|bytes| (Figure::RssStart, float(bytes))));
        Ok(bench)
    }

    /// Resident memory of the server above what it was at the start.
    pub(crate) fn grown(&self) -> Option<f64> {
        Some(float(self.process?.resident()?) - float(self.rss_start?))
    }

    /// Connects `sockets`, at most `at_once` at a time; returns how many of them are open in the end.
    pub(crate) fn connect<S: Sink>(
        &mut self,
        sink: &mut S,
        sockets: Range<usize>,
        at_once: usize,
        mut plan: impl FnMut(usize) -> Rc<[Subscription]>,
        mut beside: impl FnMut(&mut Engine, &mut S) -> Result<Duration, Failure>,
    ) -> Result<usize, Failure> {
        let total = count(sockets.len());
        let mut phase = self.progress.phase("connecting", total);
        let mut left = sockets.clone();
        let mut moved = (clock::now(), 0);
        loop {
            for socket in left.by_ref().take(STARTS.min(at_once.saturating_sub(self.engine.opening()))) {
                self.engine.connect(socket, plan(socket))?;
            }
            let pending = self.engine.opening() + left.len();
            let now = clock::now();
            if moved.1 != pending {
                moved = (now, pending);
            }
            if pending == 0 || now > moved.0 + STALLED {
                break;
            }
            phase.set(now, total.saturating_sub(count(pending)), String::new);
            let can_start = !left.is_empty() && self.engine.opening() < at_once;
            let patience = if can_start { Duration::ZERO } else { TURN };
            let patience = patience.min(beside(&mut self.engine, sink)?);
            self.engine.turn(patience, sink)?;
        }
        for socket in sockets.clone() {
            if self.engine.is_opening(socket) {
                self.engine.cut(socket);
                sink.closed(socket, "no answer in time");
            }
        }
        Ok(sockets.filter(|&socket| self.engine.is_open(socket)).count())
    }

    /// Connects sockets that all must come through, and records the memory that each takes.
    pub(crate) fn connect_all(
        &mut self,
        audience: &mut Audience,
        sockets: usize,
        at_once: usize,
        plan: impl FnMut(usize) -> Rc<[Subscription]>,
    ) -> Result<(), Failure> {
        let open = self.connect(audience, 0..sockets, at_once, plan, |_, _| Ok(TURN))?;
        if open < sockets || audience.is_refused {
            let told = audience.ledger.faults.told.join("; ");
            let text = format!("only {open} of {sockets} sockets could connect and subscribe: {told}");
            return Err(if open == 0 { Failure::Unreachable(text) } else { Failure::Broken(text) });
        }
        let each = self.grown().map(|grown| grown / float(count(sockets)));
        self.figures.extend(each.map(|bytes| (Figure::RssPerSocket, bytes)));
        Ok(())
    }

    /// Publishes for the given time, then waits until everything has come; adds rate, latency and CPU to the figures.
    pub(crate) fn publish(
        &mut self,
        audience: &mut Audience,
        source: &mut impl Source,
        timing: Timing,
        mut beside: impl FnMut(&mut Engine, &mut Audience) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let whole = timing.warmup + timing.measured;
        let mut phase = self.progress.phase("publishing", whole.as_secs());
        let began = clock::now();
        let mut measured: Option<(Meter, u64, u64)> = None;
        loop {
            let now = clock::now();
            let passed = now.saturating_sub(began);
            if measured.is_none() && passed >= timing.warmup {
                audience.start_measuring(self.process);
                source.pace().late().into_iter().for_each(Latency::clear);
                measured = Some((Meter::start(self.process), audience.ledger.delivered(), source.events()));
            }
            if passed >= whole || audience.is_refused {
                break;
            }
            source.pump(&mut self.engine, audience)?;
            beside(&mut self.engine, audience)?;
            self.engine.turn(source.pace().patience().min(TURN), audience)?;
            audience.timeline.advance(clock::now());
            phase.set(now, passed.as_secs(), || format!("{} deliveries", audience.ledger.delivered()));
        }
        drop(phase);
        let events = source.events();
        self.settle(audience, source)?;
        if let Some((meter, delivered, events_before)) = measured {
            let reading = meter.read();
            let delivered = audience.ledger.delivered() - delivered;
            // The rate ends with the last delivery, not with the wait for what will never come.
            let took = audience.last_delivery.saturating_sub(meter.began()).as_secs_f64().max(1e-9);
            self.figures.insert(Figure::Rate, float(delivered) / took);
            self.figures
                .insert(Figure::Events, float(events - events_before) / timing.measured.as_secs_f64());
            reading.put(delivered, &mut self.figures);
            audience.latency.put(&mut self.figures);
            if let Some(late) = source.pace().late() {
                self.figures.insert(Figure::LateP99, late.percentile(99.0));
                self.figures.insert(Figure::LateMax, late.max());
            }
        }
        self.listen(audience)
    }

    /// Waits until all that is owed has come, or nothing comes any more.
    pub(crate) fn settle(
        &mut self,
        audience: &mut Audience,
        source: &mut impl Source,
    ) -> Result<(), Failure> {
        let mut phase = self.progress.phase("waiting for the rest", 1);
        let mut moved = (clock::now(), audience.ledger.delivered());
        loop {
            source.drain(&mut self.engine, audience);
            let now = clock::now();
            if moved.1 != audience.ledger.delivered() {
                moved = (now, audience.ledger.delivered());
            }
            if (audience.ledger.owed() == 0 && source.is_quiet(&self.engine)) || now > moved.0 + STALLED {
                return Ok(());
            }
            phase.set(now, 0, || format!("{} deliveries missing", audience.ledger.owed()));
            self.engine.turn(TURN, audience)?;
            audience.timeline.advance(clock::now());
        }
    }

    /// Listens for what should not come.
    pub(crate) fn listen<S: Sink>(&mut self, sink: &mut S) -> Result<(), Failure> {
        self.idle(LISTEN, sink)
    }

    /// Lets time pass.
    pub(crate) fn idle<S: Sink>(&mut self, time: Duration, sink: &mut S) -> Result<(), Failure> {
        let end = clock::now() + time;
        loop {
            let left = end.saturating_sub(clock::now());
            if left.is_zero() {
                return Ok(());
            }
            // Below a millisecond a turn does not wait.
            self.engine.turn(left.min(TURN).max(Duration::from_millis(1)), sink)?;
        }
    }
}
