//! One open socket, as those see it who have something to send to it.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll},
    time::Instant,
};

use futures_util::task::AtomicWaker;
use tidings_protocol::{Close, SocketId};

use super::{
    frame::Frame,
    outbox::{Flushed, Outbox, Pushed},
    wire::Writing,
};
use crate::{clock::Clock, lock};

/// The writing side of a socket, shared; its task reads.
#[derive(Debug)]
pub(crate) struct Socket {
    id: SocketId,
    app_id: Arc<str>,
    clock: Clock,
    writing: Writing,
    outbox: Outbox,
    calls: AtomicU8,
    task: AtomicWaker,
    close_wanted: Mutex<Option<Close>>,
}

/// What the socket's task is called for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Calls(u8);

impl Calls {
    /// A second has come at which it wanted to be told the time.
    pub(crate) const TIME: Calls = Calls(1);
    /// The kernel takes no more: wait until it does.
    pub(crate) const BLOCKED: Calls = Calls(2);
    /// Somebody wants the connection closed.
    pub(crate) const CLOSE: Calls = Calls(4);

    pub(crate) fn contain(self, call: Calls) -> bool {
        self.0 & call.0 != 0
    }

    pub(crate) fn any(self) -> bool {
        self.0 != 0
    }
}

impl Socket {
    pub(crate) fn new(id: SocketId, app_id: Arc<str>, clock: Clock, writing: Writing) -> Self {
        Socket {
            id,
            app_id,
            clock,
            writing,
            outbox: Outbox::default(),
            calls: AtomicU8::new(0),
            task: AtomicWaker::new(),
            close_wanted: Mutex::default(),
        }
    }

    /// The wire back, from a socket that nobody has seen.
    pub(crate) fn into_writing(self) -> Writing {
        self.writing
    }

    pub(crate) fn id(&self) -> SocketId {
        self.id
    }

    pub(crate) fn app_id(&self) -> &Arc<str> {
        &self.app_id
    }

    pub(crate) fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Adds frames to the outbox; true if the caller is to [`flush`](Self::flush) soon.
    pub(crate) fn push<'a>(&self, frames: impl IntoIterator<Item = &'a Frame>) -> bool {
        match self.outbox.push(frames) {
            Pushed::Nothing => false,
            Pushed::FlushOwed => true,
            Pushed::Overflow => {
                self.want_close(Close::SlowConsumer);
                false
            }
        }
    }

    /// Writes what waits; leaves it to the socket's task if the kernel takes no more.
    pub(crate) fn flush(&self) {
        let flushed = self.outbox.flush(|slices| self.writing.write(slices), || self.clock.now());
        self.after(flushed);
    }

    /// More can be written again: writes what waits.
    pub(crate) fn resume(&self) {
        let flushed = self.outbox.resume(|slices| self.writing.write(slices), || self.clock.now());
        self.after(flushed);
    }

    /// Has the socket's task close the connection; the first reason stands.
    pub(crate) fn want_close(&self, close: Close) {
        lock(&self.close_wanted).get_or_insert(close);
        self.call(Calls::CLOSE);
    }

    pub(crate) fn close_wanted(&self) -> Option<Close> {
        lock(&self.close_wanted).clone()
    }

    /// Wakes the socket's task.
    pub(crate) fn call(&self, call: Calls) {
        self.calls.fetch_or(call.0, Ordering::AcqRel);
        self.task.wake();
    }

    /// What the task has been called for since it last asked; it will be woken for what comes after.
    pub(crate) fn calls(&self, cx: &Context<'_>) -> Calls {
        self.task.register(cx.waker());
        Calls(self.calls.swap(0, Ordering::AcqRel))
    }

    /// Whether the kernel takes more.
    pub(crate) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.writing.poll_writable(cx)
    }

    /// Since when the peer has read nothing of what waits.
    pub(crate) fn blocked_since(&self) -> Option<Instant> {
        self.outbox.blocked_since()
    }

    fn after(&self, flushed: Flushed) {
        if flushed == Flushed::Blocked {
            self.call(Calls::BLOCKED);
        }
    }
}
