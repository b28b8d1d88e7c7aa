//! The workers that carry events from slices to sockets.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::Notify;

use super::{channel::Noted, slice::Slice};
use crate::{lock, ws::socket::Socket};

/// Deliveries that may wait before publishers do.
const CROWDED: usize = 64 * 1024;
/// Sockets that are flushed before other tasks have their turn.
const SOCKETS_PER_TURN: usize = 128;

/// Slices with events waiting, and the workers' way to them. One for the node.
#[derive(Debug)]
pub(crate) struct Fanout {
    workers: usize,
    slices: Mutex<VecDeque<Arc<Slice>>>,
    work: Notify,
    waiting: AtomicUsize,
    room: Notify,
}

impl Fanout {
    /// With so many workers; they end with the runtime.
    pub(crate) fn start(workers: usize) -> Arc<Self> {
        let fanout = Arc::new(Fanout {
            workers,
            slices: Mutex::default(),
            work: Notify::new(),
            waiting: AtomicUsize::new(0),
            room: Notify::new(),
        });
        for _ in 0..workers {
            tokio::spawn(fanout.clone().work());
        }
        fanout
    }

    /// Has what was noted carried out.
    pub(super) fn schedule(&self, noted: Noted) {
        self.waiting.fetch_add(noted.deliveries, Ordering::Relaxed);
        let slices = noted.idle.len();
        if slices == 0 {
            return;
        }
        lock(&self.slices).extend(noted.idle);
        for _ in 0..slices.min(self.workers) {
            self.work.notify_one();
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
            let Some(slice) = self.next() else {
                self.work.notified().await;
                // Whoever is ready to publish now publishes first: then one write carries more.
                tokio::task::yield_now().await;
                continue;
            };
            self.hand_out(slice, &mut owed);
            while owed.len() < SOCKETS_PER_TURN
                && let Some(slice) = self.next()
            {
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

    fn hand_out(&self, slice: Arc<Slice>, owed: &mut Vec<Arc<Socket>>) {
        let turn = slice.hand_out(owed);
        let before = self.waiting.fetch_sub(turn.deliveries, Ordering::Relaxed);
        if before > CROWDED && before - turn.deliveries <= CROWDED {
            self.room.notify_waiters();
        }
        if turn.more {
            lock(&self.slices).push_back(slice);
            self.work.notify_one();
        }
    }
}
