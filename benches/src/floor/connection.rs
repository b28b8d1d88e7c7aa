//! One socket of the floor.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Write as _};
use std::net::Shutdown;
use std::rc::Rc;

use mio::net::TcpStream;

/// Frames that one `writev` takes.
const GATHERED: usize = 64;

/// A socket with more frames than this waiting is cut: its client does not read.
const MOST_WAITING: usize = 100_000;

/// What is spoken on a socket.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Http,
    WebSocket,
}

/// One socket.
pub(super) struct Connection {
    pub(super) stream: TcpStream,
    pub(super) protocol: Protocol,
    /// Tells connections apart, also those that had the same place in the table.
    pub(super) serial: u64,
    pub(super) channels: Vec<Rc<str>>,
    /// Received bytes of what is not complete yet.
    pub(super) held: Vec<u8>,
    /// Whether it stands in the list of sockets to be written to.
    pub(super) is_dirty: bool,
    waiting: VecDeque<Rc<[u8]>>,
    /// Bytes of the first waiting frame that are written.
    written: usize,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, serial: u64) -> Self {
        Self {
            stream,
            protocol: Protocol::Http,
            serial,
            channels: Vec::new(),
            held: Vec::new(),
            is_dirty: false,
            waiting: VecDeque::new(),
            written: 0,
        }
    }

    /// Sends now, or behind what waits already.
    pub(super) fn send(&mut self, frame: &Rc<[u8]>) {
        if !self.waiting.is_empty() {
            return self.queue(frame);
        }
        match self.stream.write(frame) {
            Ok(count) if count == frame.len() => {}
            Ok(count) => {
                self.queue(frame);
                self.written = count;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.queue(frame),
            // The socket is broken; reading will say so.
            Err(_) => {}
        }
    }

    /// Lets a frame wait for the next `flush`.
    pub(super) fn queue(&mut self, frame: &Rc<[u8]>) {
        if self.waiting.len() < MOST_WAITING {
            self.waiting.push_back(Rc::clone(frame));
        } else {
            // Reading then finds the end; a failure means that it has ended already.
            let _ = self.stream.shutdown(Shutdown::Both);
        }
    }

    /// Writes what waits, as much as the socket takes.
    pub(super) fn flush(&mut self) {
        while !self.waiting.is_empty() {
            let mut slices = [IoSlice::new(&[]); GATHERED];
            let mut filled = 0;
            for (slice, frame) in slices.iter_mut().zip(&self.waiting) {
                *slice = IoSlice::new(if filled == 0 { &frame[self.written..] } else { frame });
                filled += 1;
            }
            match self.stream.write_vectored(&slices[..filled]) {
                Ok(count) => self.advance(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => self.waiting.clear(),
            }
        }
        // An idle socket keeps no list.
        self.waiting.shrink_to(GATHERED);
    }

    fn advance(&mut self, mut count: usize) {
        count += self.written;
        while let Some(first) = self.waiting.front()
            && count >= first.len()
        {
            count -= first.len();
            self.waiting.pop_front();
        }
        self.written = count;
    }
}
