//! Many sockets that do nothing: memory, and what is left of it when they go.

use std::rc::Rc;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::Outcome;
use super::load::AT_ONCE;
use crate::audience::Audience;
use crate::bench::Bench;
use crate::client::Subscription;
use crate::clock;
use crate::failure::Failure;
use crate::figure::Figure;
use crate::meter::Meter;
use crate::number::{count, float, millis};
use crate::payload::{Payload, SMALLEST};

/// A server has given back what it will when its memory has not fallen for so long.
const STEADY: Duration = Duration::from_secs(2);

/// But no server is waited for longer than this.
const PATIENCE: Duration = Duration::from_secs(30);

/// Settings of `idle`.
#[derive(Clone, Debug, Args, Serialize)]
pub(crate) struct Idle {
    /// Sockets, each subscribed to a private channel of its own.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u16).range(1..=19_000))]
    sockets: u16,
    /// Times that all sockets come and go.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=20))]
    rounds: u16,
    /// Seconds that the sockets stay, the first for the server to come to rest.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(2..=600))]
    hold: u16,
}

impl Idle {
    pub(super) fn run(&self, mut bench: Bench<'_>) -> Result<Outcome, Failure> {
        if bench.process.is_none() {
            return Err(Failure::Usage("idle measures a process: give --pid".to_owned()));
        }
        let sockets = usize::from(self.sockets);
        let mut audience = Audience::new(Vec::new(), 1, Payload::new("bench", SMALLEST), bench.process);
        let mut notes = Vec::new();
        for round in 1..=self.rounds {
            self.stay(&mut bench, &mut audience, round, &mut notes)?;
            (0..sockets).for_each(|socket| bench.engine.cut(socket));
            let left = steady(&mut bench, &mut audience)?;
            notes.push(format!("round {round}: {} left behind", Figure::RssLeft.show(left)));
            let figure = if round == 1 { Figure::RssLeft } else { Figure::RssLeftAgain };
            bench.figures.insert(figure, left);
        }
        let mut outcome = Outcome::of(bench, &mut audience);
        outcome.notes = notes;
        Ok(outcome)
    }

    /// Connects all sockets and measures them at rest.
    fn stay(
        &self,
        bench: &mut Bench<'_>,
        audience: &mut Audience,
        round: u16,
        notes: &mut Vec<String>,
    ) -> Result<(), Failure> {
        let sockets = usize::from(self.sockets);
        let mut figures = bench.figures.clone();
        bench.connect_all(audience, sockets, AT_ONCE, |socket| {
            Rc::from([Subscription::to(format!("private-idle-{socket}"))])
        })?;
        bench.idle(Duration::from_secs(1), audience)?;
        let meter = Meter::start(bench.process);
        bench.idle(Duration::from_secs(u64::from(self.hold) - 1), audience)?;
        let reading = meter.read();
        let grown = bench.grown().unwrap_or_default();
        if round == 1 {
            figures.insert(Figure::RssPerSocket, grown / float(count(sockets)));
            figures
                .insert(Figure::RssPeak, grown + figures.get(&Figure::RssStart).copied().unwrap_or_default());
            if let Some(used) = reading.server {
                figures.insert(Figure::IdleCpu, millis(used) / reading.took.as_secs_f64());
            }
        }
        bench.figures = figures;
        notes.push(format!("round {round}: {} held by {sockets} sockets", Figure::RssLeft.show(grown)));
        Ok(())
    }
}

/// Waits until the server's memory falls no more; returns how much it is above its start.
fn steady(bench: &mut Bench<'_>, audience: &mut Audience) -> Result<f64, Failure> {
    let began = clock::now();
    let mut least = (began, f64::INFINITY);
    loop {
        let now = clock::now();
        let grown = bench.grown().ok_or_else(|| Failure::Broken("the server has ended".to_owned()))?;
        if grown < least.1 {
            least = (now, grown);
        }
        if now > least.0 + STEADY || now > began + PATIENCE {
            return Ok(grown);
        }
        bench.idle(Duration::from_millis(100), audience)?;
    }
}
