//! The subscribers of a run: checks each delivery, and records its latency.

use std::collections::HashMap;
use std::time::Duration;

use crate::faults::Fault;
use crate::latency::Latency;
use crate::ledger::Ledger;
use crate::payload::Payload;
use crate::process::Process;
use crate::sink::{Event, Sink};
use crate::stamp::{self, Stamp};
use crate::timeline::Timeline;

/// What stands before and after the stamp in a channel's frames.
struct Template {
    before: Box<[u8]>,
    after: Box<[u8]>,
}

/// The subscribers of a run.
pub(crate) struct Audience {
    pub(crate) ledger: Ledger,
    pub(crate) payload: Payload,
    pub(crate) latency: Latency,
    /// From the start of a connect to its last confirmed subscription.
    pub(crate) connects: Latency,
    pub(crate) timeline: Timeline,
    pub(crate) last_delivery: Duration,
    /// Whether the server would not take something; publishing on makes no sense then.
    pub(crate) is_refused: bool,
    channels: Vec<String>,
    numbers: HashMap<String, u32>,
    /// A frame of each channel that was read as JSON and found right; others need only be compared with it.
    templates: Vec<Option<Template>>,
    /// Each socket is a sender, `socket % n` of its channel, if there are `n` senders in each.
    senders: Option<usize>,
}

impl Audience {
    /// Subscribers of `channels`, to events from outside.
    pub(crate) fn new(
        channels: Vec<String>,
        publishers: usize,
        payload: Payload,
        process: Option<Process>,
    ) -> Self {
        let ledger = Ledger::new(channels.len(), publishers);
        Self::with(ledger, channels, None, payload, process)
    }

    /// Subscribers of `channels`, `senders` in each, who send each other client events.
    pub(crate) fn among_themselves(
        channels: Vec<String>,
        senders: usize,
        payload: Payload,
        process: Option<Process>,
    ) -> Self {
        let ledger = Ledger::among_themselves(channels.len(), senders);
        Self::with(ledger, channels, Some(senders), payload, process)
    }

    fn with(
        ledger: Ledger,
        channels: Vec<String>,
        senders: Option<usize>,
        payload: Payload,
        process: Option<Process>,
    ) -> Self {
        let numbers = (0..).zip(&channels).map(|(number, name)| (name.clone(), number)).collect();
        Self {
            ledger,
            payload,
            latency: Latency::new(),
            connects: Latency::new(),
            timeline: Timeline::new(process),
            last_delivery: Duration::ZERO,
            is_refused: false,
            templates: channels.iter().map(|_| None).collect(),
            channels,
            numbers,
            senders,
        }
    }

    pub(crate) fn channel(&self, number: u32) -> &str {
        &self.channels[number as usize]
    }

    pub(crate) fn channel_count(&self) -> usize {
        self.channels.len()
    }

    /// Forgets the latencies so far; the checks go on.
    pub(crate) fn start_measuring(&mut self, process: Option<Process>) {
        self.latency.clear();
        self.timeline = Timeline::new(process);
    }

    fn is_intact(&mut self, stamp: &Stamp, text: &[u8], at: usize) -> bool {
        let Some(slot) = self.templates.get_mut(stamp.channel as usize) else { return false };
        let (before, after) = (&text[..at], &text[at + stamp::WIDTH..]);
        if slot.as_ref().is_some_and(|known| *known.before == *before && *known.after == *after) {
            return true;
        }
        let intact = self.payload.is_frame(text, &self.channels[stamp.channel as usize], stamp);
        if intact {
            *slot = Some(Template { before: before.into(), after: after.into() });
        }
        intact
    }
}

impl Sink for Audience {
    fn ready(&mut self, _socket: usize, took: Duration, _now: Duration) {
        self.connects.record(took);
    }

    fn delivery(&mut self, socket: usize, stamp: &Stamp, text: &[u8], at: usize, now: Duration) {
        self.ledger.deliver(socket, stamp);
        if !self.is_intact(stamp, text, at) {
            self.ledger
                .faults
                .note(Fault::Altered, 1, || format!("socket {socket}: {}", String::from_utf8_lossy(text)));
        }
        let latency = now.saturating_sub(stamp.due);
        self.latency.record(latency);
        self.timeline.record(latency);
        self.last_delivery = now;
    }

    fn event(&mut self, socket: usize, event: &Event<'_>, _now: Duration) {
        match event.name {
            "pusher_internal:subscription_succeeded" => {
                if let Some(&number) = self.numbers.get(event.channel) {
                    let own = self.senders.and_then(|senders| u16::try_from(socket % senders).ok());
                    self.ledger.join(socket, number, own);
                }
            }
            "pusher:error" | "pusher:subscription_error" | "pusher_internal:subscription_error" => {
                self.is_refused = true;
                self.ledger.faults.note(Fault::Refused, 1, || {
                    format!("socket {socket}: {} {} {}", event.name, event.channel, event.data)
                });
            }
            name if name.starts_with("pusher") => {}
            name => self
                .ledger
                .faults
                .note(Fault::Altered, 1, || format!("socket {socket}: event {name} without a stamp")),
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
}
