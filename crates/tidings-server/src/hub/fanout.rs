//! The workers that carry events from slices to sockets.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicIsize, AtomicUsize, Ordering},
    },
};

use tokio::sync::{Notify, Semaphore};

use super::{channel::Noted, slice::Slice};
use crate::{lock, ws::socket::Socket};

/// Deliveries that may wait before publishers do.
const CROWDED: isize = 64 * 1024;
/// Sockets that are flushed before other tasks have their turn.
const SOCKETS_PER_TURN: usize = 128;
/// Slices that are handed out before their sockets are flushed.
const SLICES_PER_TURN: usize = 16;

/// Slices with events waiting, and the workers' way to them. One for the node.
#[derive(Debug)]
pub(crate) struct Fanout {
    workers: usize,
    slices: Mutex<VecDeque<Arc<Slice>>>,
    /// Workers that look for slices, or have been told to.
    awake: AtomicUsize,
    /// A permit for each worker that has been told to.
    work: Semaphore,
    /// Deliveries that wait. Below zero for a moment, when a worker is done before the publisher has counted.
    waiting: AtomicIsize,
    room: Notify,
}

impl Fanout {
    /// With so many workers; they end with the runtime.
    pub(crate) fn start(workers: usize) -> Arc<Self> {
        let fanout = Arc::new(Fanout {
            workers,
            slices: Mutex::default(),
            awake: AtomicUsize::new(workers),
            work: Semaphore::new(0),
            waiting: AtomicIsize::new(0),
            room: Notify::new(),
        });
        for _ in 0..workers {
            tokio::spawn(fanout.clone().work());
        }
        fanout
    }

    /// Has what was noted carried out.
    pub(super) fn schedule(&self, noted: Noted) {
        let deliveries = noted.deliveries.cast_signed();
        let waiting = self.waiting.fetch_add(deliveries, Ordering::Relaxed) + deliveries;
        if noted.idle.is_empty() {
            return;
        }
        lock(&self.slices).extend(noted.idle);
        self.wake(waiting.max(1).cast_unsigned().div_ceil(SOCKETS_PER_TURN));
    }

    /// Sees to it that so many workers are awake, or all. One that is awake finds the slices by itself: to wake more
    /// than there is work for costs more than the work.
    fn wake(&self, wanted: usize) {
        let wanted = wanted.min(self.workers);
        while self
            .awake
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |awake| (awake < wanted).then_some(awake + 1))
            .is_ok()
        {
            self.work.add_permits(1);
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

    async fn work(self: Arc<Self>) {
        let mut owed: Vec<Arc<Socket>> = Vec::new();
        loop {
            let Some(slice) = self.next_or_rest() else {
                self.work.acquire().await.expect("the semaphore is never closed").forget();
                // Whoever is ready to publish now publishes first: then one write carries more.
                tokio::task::yield_now().await;
                continue;
            };
            self.hand_out(slice, &mut owed);
            // Slices are counted too: many with the same socket would let its outbox grow between two flushes.
            for _ in 1..SLICES_PER_TURN {
                let Some(slice) = (owed.len() < SOCKETS_PER_TURN).then(|| self.next()).flatten() else {
                    break;
                };
                self.hand_out(slice, &mut owed);
            }
            for socket in owed.drain(..) {
                socket.flush();
            }
            tokio::task::yield_now().await;
        }
    }

    fn next(&self) -> Option<Arc<Slice>> {
        lock(&self.slices).pop_front()
    }

    /// The next slice, or none: then this worker is not awake any more. It looks once more after it has said so, or a
    /// slice that came in between would wait for the next.
    fn next_or_rest(&self) -> Option<Arc<Slice>> {
        if let Some(slice) = self.next() {
            return Some(slice);
        }
        self.awake.fetch_sub(1, Ordering::SeqCst);
        let slice = self.next()?;
        self.awake.fetch_add(1, Ordering::SeqCst);
        Some(slice)
    }

    fn hand_out(&self, slice: Arc<Slice>, owed: &mut Vec<Arc<Socket>>) {
        let turn = slice.hand_out(owed);
        let deliveries = turn.deliveries.cast_signed();
        let before = self.waiting.fetch_sub(deliveries, Ordering::Relaxed);
        if before > CROWDED && before - deliveries <= CROWDED {
            self.room.notify_waiters();
        }
        if turn.more {
            lock(&self.slices).push_back(slice);
        }
    }
}
