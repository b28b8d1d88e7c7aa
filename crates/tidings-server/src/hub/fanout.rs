//! The workers that carry events from slices to sockets.

use std::{
    collections::VecDeque,
    iter,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicIsize, Ordering},
    },
};

use tidings_store::metrics::Histogram;
use tokio::sync::Notify;

use super::{
    channel::Noted,
    slice::{Event, Slice},
};
use crate::{clock::Clock, cores::Cores, lock, ws::socket::Socket};

/// Deliveries that may wait before publishers do.
const CROWDED: isize = 64 * 1024;
/// Sockets that are flushed before other tasks have their turn.
const SOCKETS_PER_TURN: usize = 128;
/// Slices that are handed out before their sockets are flushed: many with the same socket would let its outbox grow.
const SLICES_PER_TURN: usize = 16;

/// What waits to be written, and the workers' way to it. One for the node.
#[derive(Debug)]
pub(crate) struct Fanout {
    /// One for each core.
    workers: Vec<Worker>,
    work: Mutex<VecDeque<Work>>,
    /// Deliveries that wait. Below zero for a moment, when a worker is done before the publisher has counted.
    waiting: AtomicIsize,
    room: Notify,
    clock: Clock,
}

#[derive(Debug)]
enum Work {
    /// Its events are to be handed to its sockets.
    Slice(Arc<Slice>),
    /// Have been handed something: [`SOCKETS_PER_TURN`] at most.
    Owed(Vec<Arc<Socket>>),
}

#[derive(Debug, Default)]
struct Worker {
    /// It looks for work, or has been told to.
    awake: AtomicBool,
    wake: Notify,
    /// From when an event was accepted until this worker had written it to the last socket. What a peer's own slowness
    /// leaves behind is not waited for.
    seconds: Mutex<Histogram>,
}

impl Fanout {
    /// With a worker on each core; they end with the cores.
    pub(crate) fn start(cores: &Cores, clock: Clock) -> Arc<Self> {
        let fanout = Arc::new(Fanout {
            workers: iter::repeat_with(Worker::default).take(cores.len()).collect(),
            work: Mutex::default(),
            waiting: AtomicIsize::new(0),
            room: Notify::new(),
            clock,
        });
        for core in 0..cores.len() {
            cores.spawn(core, fanout.clone().work(core));
        }
        fanout
    }

    /// Has what was noted carried out.
    pub(super) fn schedule(&self, noted: Noted) {
        let waiting = self.add(noted.deliveries);
        if noted.idle.is_empty() {
            return;
        }
        lock(&self.work).extend(noted.idle.into_iter().map(Work::Slice));
        self.wake(waiting);
    }

    /// Has sockets flushed that were handed something past their channels.
    pub(super) fn flush(&self, owed: &[Arc<Socket>]) {
        if owed.is_empty() {
            return;
        }
        let waiting = self.add(owed.len());
        lock(&self.work).extend(owed.chunks(SOCKETS_PER_TURN).map(|chunk| Work::Owed(chunk.to_vec())));
        self.wake(waiting);
    }

    /// Counts deliveries in; returns how many wait.
    fn add(&self, deliveries: usize) -> usize {
        let deliveries = deliveries.cast_signed();
        let waiting = self.waiting.fetch_add(deliveries, Ordering::Relaxed) + deliveries;
        waiting.max(1).cast_unsigned()
    }

    /// Counts deliveries out.
    fn remove(&self, deliveries: usize) {
        let deliveries = deliveries.cast_signed();
        let before = self.waiting.fetch_sub(deliveries, Ordering::Relaxed);
        if before > CROWDED && before - deliveries <= CROWDED {
            self.room.notify_waiters();
        }
    }

    /// Sees to it that there are workers awake for so many deliveries; this core's first, which is nothing to wake. One
    /// that is awake finds the work by itself: to wake more than there is work for costs more than the work.
    fn wake(&self, waiting: usize) {
        let wanted = waiting.div_ceil(SOCKETS_PER_TURN);
        let awake = self.workers.iter().filter(|worker| worker.awake.load(Ordering::SeqCst)).count();
        let (others, from_here) = self.workers.split_at(Cores::here());
        let asleep =
            from_here.iter().chain(others).filter(|worker| !worker.awake.swap(true, Ordering::SeqCst));
        for worker in asleep.take(wanted.saturating_sub(awake)) {
            worker.wake.notify_one();
        }
    }

    /// Returns when no more deliveries wait than may: at once, most of the time. Publishers ask after publishing, so
    /// that what they are told is accepted is never dropped, and what waits stays bounded.
    pub(crate) async fn room(&self) {
        while self.is_crowded() {
            let room = self.room.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            if self.is_crowded() {
                room.await;
            }
        }
    }

    /// Whether more deliveries wait than may.
    pub(crate) fn is_crowded(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > CROWDED
    }

    async fn work(self: Arc<Self>, core: usize) {
        let worker = &self.workers[core];
        let mut owed: Vec<Arc<Socket>> = Vec::new();
        let mut handed: Vec<Arc<Event>> = Vec::new();
        loop {
            let Some(first) = self.next_or_rest(worker) else {
                // It has its turn when those have had theirs that are ready to publish now: one write carries more.
                worker.wake.notified().await;
                continue;
            };
            let mut work = iter::once(first).chain(iter::from_fn(|| self.next())).take(SLICES_PER_TURN);
            while owed.len() < SOCKETS_PER_TURN
                && let Some(work) = work.next()
            {
                match work {
                    Work::Slice(slice) => self.hand_out(slice, &mut owed, &mut handed),
                    Work::Owed(sockets) => {
                        self.remove(sockets.len());
                        owed.extend(sockets);
                    }
                }
            }
            for socket in owed.drain(..) {
                socket.flush();
            }
            self.count(worker, &mut handed);
            tokio::task::yield_now().await;
        }
    }

    fn next(&self) -> Option<Work> {
        lock(&self.work).pop_front()
    }

    /// The next work, or none: then this worker is not awake any more. It looks once more after it has said so, or what
    /// came in between would wait for the next.
    fn next_or_rest(&self, worker: &Worker) -> Option<Work> {
        if let Some(work) = self.next() {
            return Some(work);
        }
        worker.awake.store(false, Ordering::SeqCst);
        let work = self.next()?;
        worker.awake.store(true, Ordering::SeqCst);
        Some(work)
    }

    fn hand_out(&self, slice: Arc<Slice>, owed: &mut Vec<Arc<Socket>>, handed: &mut Vec<Arc<Event>>) {
        let turn = slice.hand_out(owed, handed);
        self.remove(turn.deliveries);
        if turn.more {
            lock(&self.work).push_back(Work::Slice(slice));
        }
    }

    /// Counts the events that no other slice has still to carry: the last one to let go of an event has written it last.
    fn count(&self, worker: &Worker, handed: &mut Vec<Arc<Event>>) {
        let now = self.clock.now();
        let mut seconds = lock(&worker.seconds);
        for event in handed.drain(..).filter_map(Arc::into_inner) {
            seconds.add((now - event.accepted).as_secs_f64());
        }
    }

    /// How long events took from when they were accepted until they were written to the last socket, in seconds.
    pub(crate) fn seconds(&self) -> Histogram {
        let mut all = Histogram::default();
        for worker in &self.workers {
            all.merge(&lock(&worker.seconds));
        }
        all
    }
}
