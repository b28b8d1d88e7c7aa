//! What waits to be sent to one socket.

use std::{
    io::{self, IoSlice},
    sync::Mutex,
    time::Instant,
};

use tidings_protocol::{Close, frame::server::ServerFrame};

use super::frame::Frame;
use crate::{lock, metrics::Traffic};

/// One socket's bounded queue of frames, filled by many and emptied by one at a time.
///
/// Pushing never waits and never writes. Who is told [`Pushed::FlushOwed`] flushes soon, after whatever else there is
/// to push, so that all that waits goes out with one system call.
#[derive(Debug, Default)]
pub(crate) struct Outbox(Mutex<Queue>);

#[derive(Debug, Default)]
struct Queue {
    frames: Vec<Frame>,
    /// Bytes of the first frame that the kernel has taken.
    head_sent: usize,
    bytes: usize,
    /// Bytes of the largest frame since nothing waited.
    largest: usize,
    /// What the kernel has taken since the start.
    sent: Traffic,
    state: State,
    intake: Intake,
}

/// Whether frames are taken in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Intake {
    #[default]
    Open,
    /// More came than may wait, and was not taken in. Nothing is after it: the socket is about to be closed.
    Overflowed,
    /// A close frame is the last.
    Closed,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    /// Nothing waits.
    #[default]
    Idle,
    /// Something waits, and somebody is about to flush.
    FlushOwed,
    /// Somebody writes at this moment, and will look again.
    Flushing,
    /// The kernel took no more at that time; the socket's task waits for it.
    Blocked(Instant),
    /// The socket is broken.
    Gone,
}

/// What a push leaves to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// Nothing: somebody else flushes, or the socket is closing.
    Nothing,
    /// The pusher flushes soon.
    FlushOwed,
    /// More waits than may: the socket is to be closed.
    Overflow,
}

/// How a flush went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flushed {
    /// Nothing waits, or somebody else sees to it.
    Done,
    /// The kernel takes no more: to be [`resume`](Outbox::resume)d when it does.
    Blocked,
}

/// Frames that one system call takes.
const FRAMES_PER_WRITE: usize = 64;
/// An emptied queue larger than this is given back.
const KEPT_CAPACITY: usize = 4;

impl Outbox {
    /// Bytes that may wait for a peer that does not read.
    pub(crate) const MAX_BYTES: usize = 1024 * 1024;
    /// Bytes that may come together between two flushes. Far more than fan-out and a socket's own replies bring.
    const MAX_BYTES_AT_ONCE: usize = 16 * Self::MAX_BYTES;
    /// With so many waiting, a socket's task flushes before it goes on.
    const HEAVY: usize = 64 * 1024;

    /// Whether so much waits that it is to be flushed before more is added.
    pub(crate) fn is_heavy(&self) -> bool {
        lock(&self.0).bytes > Self::HEAVY
    }

    /// Adds the frames. On an overflow the rest is not taken in: the connection is over.
    pub(crate) fn push<'a>(&self, frames: impl IntoIterator<Item = &'a Frame>) -> Pushed {
        let mut queue = lock(&self.0);
        if queue.intake != Intake::Open {
            return Pushed::Nothing;
        }
        let max = match queue.state {
            State::Blocked(_) => Self::MAX_BYTES,
            State::Idle | State::FlushOwed | State::Flushing => Self::MAX_BYTES_AT_ONCE,
            State::Gone => return Pushed::Nothing,
        };
        for frame in frames {
            // No frame is too large for one who reads: where one is, as much again may wait with it.
            queue.largest = queue.largest.max(frame.len());
            if queue.bytes + frame.len() > max.max(2 * queue.largest) {
                queue.intake = Intake::Overflowed;
                return Pushed::Overflow;
            }
            queue.bytes += frame.len();
            queue.frames.push(frame.clone());
        }
        if let State::Idle = queue.state
            && !queue.frames.is_empty()
        {
            queue.state = State::FlushOwed;
            return Pushed::FlushOwed;
        }
        Pushed::Nothing
    }

    /// Adds the frames that end the connection; nothing is taken in after them. `drop_waiting` throws away what has
    /// not begun to go out. False if the connection was ending already.
    pub(crate) fn close(&self, close: &Close, drop_waiting: bool) -> bool {
        let mut queue = lock(&self.0);
        if queue.intake == Intake::Closed {
            return false;
        }
        if drop_waiting {
            let begun = match queue.state {
                // It is in the hands of who writes.
                State::Flushing => 0,
                _ => usize::from(queue.head_sent > 0),
            };
            let dropped: usize = queue.frames.drain(begun..).map(|frame| frame.len()).sum();
            queue.bytes = queue.bytes.saturating_sub(dropped);
        }
        let error = ServerFrame::before_close(close).map(|frame| Frame::text(&frame.encode()));
        queue.frames.extend(error);
        queue.frames.push(Frame::close(close));
        queue.end();
        true
    }

    /// Adds the answer to the peer's close frame; nothing is taken in after it.
    pub(crate) fn close_reply(&self, code: Option<u16>) {
        let mut queue = lock(&self.0);
        if queue.intake != Intake::Closed {
            queue.frames.push(Frame::close_reply(code));
            queue.end();
        }
    }

    /// Since when the kernel has taken nothing of what waits.
    pub(crate) fn blocked_since(&self) -> Option<Instant> {
        match lock(&self.0).state {
            State::Blocked(since) => Some(since),
            _ => None,
        }
    }

    /// What was sent since the start, and the bytes that wait.
    pub(crate) fn sent(&self) -> (Traffic, usize) {
        let queue = lock(&self.0);
        (queue.sent, queue.bytes)
    }

    /// Whether all that was pushed has been given to the kernel, or never can be.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(lock(&self.0).state, State::Idle | State::Gone)
    }

    /// Writes what waits, if a flush is owed. `write` is one system call; with nothing to take it sees to what it took
    /// before and has kept. `now` is asked only if it would block.
    pub(crate) fn flush(
        &self,
        write: impl Fn(&[IoSlice<'_>]) -> io::Result<usize>,
        now: impl Fn() -> Instant,
    ) -> Flushed {
        let mut queue = lock(&self.0);
        if !matches!(queue.state, State::FlushOwed) {
            return Flushed::Done;
        }
        queue.state = State::Flushing;
        loop {
            let frames = std::mem::take(&mut queue.frames);
            let mut head_sent = queue.head_sent;
            drop(queue);
            let (sent, end) = write_frames(&frames, &mut head_sent, &write);
            queue = lock(&self.0);
            queue.take_sent(frames, sent, head_sent);
            match end {
                End::AllSent if queue.frames.is_empty() => {
                    queue.state = State::Idle;
                    queue.largest = 0;
                    return Flushed::Done;
                }
                End::AllSent => {}
                End::WouldBlock => {
                    queue.state = State::Blocked(now());
                    return Flushed::Blocked;
                }
                End::Broken => {
                    queue.state = State::Gone;
                    queue.drop_frames();
                    return Flushed::Done;
                }
            }
        }
    }

    /// The kernel takes more again.
    pub(crate) fn resume(
        &self,
        write: impl Fn(&[IoSlice<'_>]) -> io::Result<usize>,
        now: impl Fn() -> Instant,
    ) -> Flushed {
        {
            let mut queue = lock(&self.0);
            if let State::Blocked(_) = queue.state {
                queue.state = State::FlushOwed;
            }
        }
        self.flush(write, now)
    }
}

impl Queue {
    fn drop_frames(&mut self) {
        self.frames = Vec::new();
        self.bytes = 0;
        self.head_sent = 0;
    }

    /// A close frame was pushed: the last that goes out.
    fn end(&mut self) {
        self.intake = Intake::Closed;
        if let State::Idle = self.state {
            self.state = State::FlushOwed;
        }
        if let State::Gone = self.state {
            self.drop_frames();
        }
    }

    /// `sent` of the frames that were taken out are gone; the rest goes before what has come meanwhile.
    fn take_sent(&mut self, mut frames: Vec<Frame>, sent: usize, head_sent: usize) {
        let bytes: usize = frames[..sent].iter().map(|frame| frame.len()).sum();
        self.bytes = self.bytes.saturating_sub(bytes);
        self.sent.add(Traffic { messages: sent as u64, bytes: bytes as u64 });
        self.head_sent = head_sent;
        if sent == frames.len() {
            if self.frames.capacity() == 0 && frames.capacity() <= KEPT_CAPACITY {
                frames.clear();
                self.frames = frames;
            }
        } else {
            frames.drain(..sent);
            frames.append(&mut self.frames);
            self.frames = frames;
        }
    }
}

enum End {
    AllSent,
    WouldBlock,
    Broken,
}

/// Writes until all is sent or nothing more goes; returns how many frames went whole, and why it stopped.
fn write_frames(
    frames: &[Frame],
    head_sent: &mut usize,
    write: impl Fn(&[IoSlice<'_>]) -> io::Result<usize>,
) -> (usize, End) {
    let mut sent = 0;
    while sent < frames.len() {
        let mut slices = [IoSlice::new(&[]); FRAMES_PER_WRITE];
        let waiting = &frames[sent..];
        let count = waiting.len().min(FRAMES_PER_WRITE);
        for (slice, frame) in slices.iter_mut().zip(waiting) {
            *slice = IoSlice::new(frame);
        }
        slices[0] = IoSlice::new(&waiting[0][*head_sent..]);
        match write(&slices[..count]) {
            Ok(0) => return (sent, End::Broken),
            Ok(written) => {
                let mut left = *head_sent + written;
                while sent < frames.len() && left >= frames[sent].len() {
                    left -= frames[sent].len();
                    sent += 1;
                }
                *head_sent = left;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return (sent, End::WouldBlock),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return (sent, End::Broken),
        }
    }
    loop {
        match write(&[]) {
            Ok(_) => return (sent, End::AllSent),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return (sent, End::WouldBlock),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return (sent, End::Broken),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::clock::Clock;

    fn now() -> Instant {
        Clock::system().now()
    }

    /// A kernel that takes at most so many bytes at each call, then would block.
    struct Kernel {
        takes: RefCell<Vec<usize>>,
        got: RefCell<Vec<u8>>,
        calls: RefCell<usize>,
    }

    impl Kernel {
        fn new(takes: &[usize]) -> Self {
            let takes = takes.iter().rev().copied().collect();
            Kernel { takes: RefCell::new(takes), got: RefCell::default(), calls: RefCell::default() }
        }

        fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
            if slices.is_empty() {
                return Ok(0);
            }
            let mut room = self.takes.borrow_mut().pop().ok_or(io::ErrorKind::WouldBlock)?;
            *self.calls.borrow_mut() += 1;
            let mut written = 0;
            for slice in slices {
                let part = slice.len().min(room);
                self.got.borrow_mut().extend(&slice[..part]);
                room -= part;
                written += part;
            }
            Ok(written)
        }
    }

    fn frames(texts: &[&str]) -> Vec<Frame> {
        texts.iter().map(|text| Frame::text(text)).collect()
    }

    fn bytes(frames: &[Frame]) -> Vec<u8> {
        frames.iter().flat_map(|frame| frame.to_vec()).collect()
    }

    #[test]
    fn all_that_waits_goes_out_with_one_call() {
        let outbox = Outbox::default();
        let frames = frames(&["one", "two", "three"]);
        assert_eq!(outbox.push(&frames[..1]), Pushed::FlushOwed);
        assert_eq!(outbox.push(&frames[1..]), Pushed::Nothing);
        let kernel = Kernel::new(&[usize::MAX]);
        assert_eq!(outbox.flush(|slices| kernel.write(slices), now), Flushed::Done);
        assert_eq!(*kernel.got.borrow(), bytes(&frames));
        assert_eq!(*kernel.calls.borrow(), 1);
        assert!(outbox.is_empty());
    }

    #[test]
    fn short_writes_keep_order_and_bytes() {
        let first = frames(&["one", "two", "three", "four"]);
        let later = frames(&["five"]);
        let all = bytes(&[first.clone(), later.clone()].concat());
        for cut in 0..bytes(&first).len() {
            let outbox = Outbox::default();
            outbox.push(&first);
            let kernel = Kernel::new(if cut == 0 { &[] } else { std::slice::from_ref(&cut) });
            assert_eq!(outbox.flush(|slices| kernel.write(slices), now), Flushed::Blocked);
            assert_eq!(outbox.push(&later), Pushed::Nothing);
            assert_eq!(outbox.flush(|_| panic!("blocked"), now), Flushed::Done);
            assert!(outbox.blocked_since().is_some());
            kernel.takes.borrow_mut().extend([usize::MAX, 1, 1]);
            assert_eq!(outbox.resume(|slices| kernel.write(slices), now), Flushed::Done);
            assert_eq!(*kernel.got.borrow(), all, "cut at {cut}");
        }
    }

    #[test]
    fn more_than_64_frames_go_out_whole() {
        let outbox = Outbox::default();
        let texts: Vec<String> = (0..200).map(|n| n.to_string()).collect();
        let frames = frames(&texts.iter().map(String::as_str).collect::<Vec<_>>());
        outbox.push(&frames);
        let kernel = Kernel::new(&[usize::MAX; 4]);
        outbox.flush(|slices| kernel.write(slices), now);
        assert_eq!(*kernel.got.borrow(), bytes(&frames));
        assert_eq!(*kernel.calls.borrow(), 4);
    }

    #[test]
    fn a_peer_that_does_not_read_overflows_and_is_closed() {
        let outbox = Outbox::default();
        let big = frames(&[&"x".repeat(400_000)]);
        outbox.push(&big);
        let kernel = Kernel::new(&[10]);
        assert_eq!(outbox.flush(|slices| kernel.write(slices), now), Flushed::Blocked);
        assert_eq!(outbox.push(&big), Pushed::Nothing);
        assert_eq!(outbox.push(&big), Pushed::Overflow);
        assert_eq!(outbox.push(&frames(&["small"])), Pushed::Nothing);
        assert_eq!(outbox.sent().1, 2 * big[0].len(), "nothing is taken in after what was not");
        assert!(outbox.close(&Close::SlowConsumer, true));
        assert!(!outbox.close(&Close::SlowConsumer, true));
        assert_eq!(outbox.sent().1, big[0].len(), "of what waits only what has begun is left");
        assert_eq!(outbox.push(&big), Pushed::Nothing);
        kernel.takes.borrow_mut().push(usize::MAX);
        outbox.resume(|slices| kernel.write(slices), now);
        let got = kernel.got.borrow();
        let rest = got.strip_prefix(&big[0][..]).expect("the frame that had begun is finished");
        assert!(String::from_utf8_lossy(rest).contains("\"code\":4100"));
    }

    #[test]
    fn a_frame_is_never_too_large_for_one_who_reads() {
        let outbox = Outbox::default();
        let huge = frames(&[&"x".repeat(Outbox::MAX_BYTES_AT_ONCE)]);
        assert_eq!(outbox.push(&huge), Pushed::FlushOwed);
        let kernel = Kernel::new(&[10]);
        assert_eq!(outbox.flush(|slices| kernel.write(slices), now), Flushed::Blocked);
        let small = frames(&["small"]);
        assert_eq!(outbox.push(&small), Pushed::Nothing);
        kernel.takes.borrow_mut().extend([usize::MAX; 2]);
        assert_eq!(outbox.resume(|slices| kernel.write(slices), now), Flushed::Done);
        assert_eq!(kernel.got.borrow().len(), bytes(&huge).len() + bytes(&small).len());

        // Nor is as much again too much, but more is.
        assert_eq!(outbox.push(&huge), Pushed::FlushOwed);
        assert_eq!(outbox.push(&huge), Pushed::Nothing);
        assert_eq!(outbox.push(&small), Pushed::Overflow);
    }

    #[test]
    fn what_was_taken_and_kept_is_seen_to() {
        let outbox = Outbox::default();
        let frames = frames(&["one", "two"]);
        outbox.push(&frames[..1]);
        let keeps = |slices: &[IoSlice<'_>]| match slices {
            [] => Err(io::ErrorKind::WouldBlock.into()),
            _ => Ok(slices.iter().map(|slice| slice.len()).sum()),
        };
        assert_eq!(outbox.flush(keeps, now), Flushed::Blocked);
        assert!(!outbox.is_empty() && outbox.blocked_since().is_some());
        assert_eq!(outbox.resume(keeps, now), Flushed::Blocked);
        // What has gone into it is not thrown away with what waits.
        outbox.push(&frames[1..]);
        assert!(outbox.close(&Close::SlowConsumer, true));
        let kernel = Kernel::new(&[usize::MAX]);
        assert_eq!(outbox.resume(|slices| kernel.write(slices), now), Flushed::Done);
        assert!(outbox.is_empty());
        assert!(String::from_utf8_lossy(&kernel.got.borrow()).contains("\"code\":4100"));
    }

    #[test]
    fn a_broken_socket_keeps_nothing() {
        let outbox = Outbox::default();
        let frames = frames(&["one"]);
        outbox.push(&frames);
        let broken = |_: &[IoSlice<'_>]| Err(io::ErrorKind::BrokenPipe.into());
        assert_eq!(outbox.flush(broken, now), Flushed::Done);
        assert_eq!(outbox.push(&frames), Pushed::Nothing);
        assert!(outbox.is_empty());
    }
}
