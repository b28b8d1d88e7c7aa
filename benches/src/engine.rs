//! The event loop: all sockets of a run, on one thread, behind one epoll.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use mio::{Events, Poll, Token};

use crate::client::{Client, Shared, Subscription};
use crate::clock;
use crate::http;
use crate::lane::Lane;
use crate::sink::Sink;
use crate::stamp::Finder;
use crate::target::Running;

/// Tokens from here on are lanes; below are sockets.
const FIRST_LANE: usize = 1 << 24;

/// Events handled in one turn: few enough that a clock between turns stays exact, many enough that the calls of epoll
/// cost nothing.
const EVENTS: usize = 256;

const READ_BUFFER: usize = 256 << 10;

/// How often a part of the sockets is looked at for `pusher:ping`.
const SWEEP: Duration = Duration::from_secs(1);

/// All sockets of a run.
pub(crate) struct Engine {
    poll: Poll,
    events: Events,
    shared: Shared,
    clients: Vec<Option<Client>>,
    lanes: Vec<Lane>,
    buffer: Vec<u8>,
    app_path: String,
    next_sweep: Duration,
    swept: usize,
    opening: usize,
}

impl Engine {
    pub(crate) fn new(target: &Running) -> io::Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(EVENTS),
            app_path: format!("/apps/{}", target.credentials.app_id),
            shared: Shared {
                address: target.address,
                credentials: target.credentials.clone(),
                finder: Finder::default(),
            },
            clients: Vec::new(),
            lanes: Vec::new(),
            buffer: vec![0; READ_BUFFER],
            next_sweep: clock::now() + SWEEP,
            swept: 0,
            opening: 0,
        })
    }

    /// Begins to connect `socket`, in place of what it was before.
    pub(crate) fn connect(&mut self, socket: usize, plan: Rc<[Subscription]>) -> io::Result<()> {
        self.cut(socket);
        if self.clients.len() <= socket {
            self.clients.resize_with(socket + 1, || None);
        }
        let client = Client::start(&self.shared, plan, self.poll.registry(), Token(socket))?;
        self.clients[socket] = Some(client);
        self.opening += 1;
        Ok(())
    }

    /// Ends a socket without a word, as a lost network does.
    pub(crate) fn cut(&mut self, socket: usize) {
        if let Some(client) = self.clients.get_mut(socket).and_then(Option::take) {
            self.opening -= usize::from(!client.is_ready());
        }
    }

    /// Sockets that are not ready yet.
    pub(crate) fn opening(&self) -> usize {
        self.opening
    }

    /// Whether a socket is connecting or subscribing.
    pub(crate) fn is_opening(&self, socket: usize) -> bool {
        self.clients.get(socket).and_then(Option::as_ref).is_some_and(|client| !client.is_ready())
    }

    pub(crate) fn is_open(&self, socket: usize) -> bool {
        self.clients.get(socket).is_some_and(Option::is_some)
    }

    /// Sends a text frame.
    pub(crate) fn send<S: Sink>(&mut self, socket: usize, text: &[u8], sink: &mut S) {
        let Some(client) = self.clients.get_mut(socket).and_then(Option::as_mut) else { return };
        if let Err(error) = client.send_text(text) {
            self.cut(socket);
            sink.closed(socket, &error.to_string());
        }
    }

    /// Sends one more subscription.
    pub(crate) fn subscribe<S: Sink>(&mut self, socket: usize, subscription: &Subscription, sink: &mut S) {
        let Some(client) = self.clients.get(socket).and_then(Option::as_ref) else { return };
        let frame = subscription.frame(client.socket_id(), &self.shared.credentials);
        self.send(socket, frame.as_bytes(), sink);
    }

    /// Requests of a lane that wait for their reply.
    pub(crate) fn waiting(&self, lane: usize) -> usize {
        self.lanes.get(lane).map_or(0, Lane::waiting)
    }

    /// Posts JSON to a path of the app's HTTP API, signed.
    pub(crate) fn post<S: Sink>(&mut self, lane: usize, resource: &str, body: &[u8], sink: &mut S) {
        let path = format!("{}/{resource}", self.app_path);
        let query = self.shared.credentials.query(&path, body, clock::unix_seconds());
        let address = self.shared.address;
        self.ask(lane, |out| http::push_post(out, address, &path, &query, body), sink);
    }

    /// Sends a finished request.
    pub(crate) fn request<S: Sink>(&mut self, lane: usize, request: &[u8], sink: &mut S) {
        self.ask(lane, |out| out.extend_from_slice(request), sink);
    }

    fn ask<S: Sink>(&mut self, lane: usize, write: impl FnOnce(&mut Vec<u8>), sink: &mut S) {
        if self.lanes.len() <= lane {
            self.lanes.resize_with(lane + 1, Lane::default);
        }
        let token = Token(FIRST_LANE + lane);
        let asked = self.lanes[lane].post(self.shared.address, self.poll.registry(), token, write);
        if let Err(error) = asked {
            self.lanes[lane].fail(&error.to_string(), sink);
        }
    }

    /// Waits for at most `timeout` and handles all that has happened. Below a millisecond it does not wait at all.
    pub(crate) fn turn<S: Sink>(&mut self, timeout: Duration, sink: &mut S) -> io::Result<()> {
        // epoll counts milliseconds and mio rounds up; rounding down lets the caller spin to an exact time.
        let millis = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        match self.poll.poll(&mut self.events, Some(Duration::from_millis(millis))) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            done => done?,
        }
        for event in &self.events {
            let Token(token) = event.token();
            if let Some(number) = token.checked_sub(FIRST_LANE) {
                let lane = &mut self.lanes[number];
                if event.is_writable()
                    && let Err(error) = lane.flush()
                {
                    lane.fail(&error.to_string(), sink);
                }
                if event.is_readable() {
                    lane.receive(number, &mut self.buffer, sink);
                }
                if event.is_read_closed() {
                    lane.receive(number, &mut self.buffer, sink);
                }
                continue;
            }
            let Some(client) = &mut self.clients[token] else { continue };
            let was_ready = client.is_ready();
            let mut result = Ok(());
            if event.is_writable() {
                result = client.flush().map_err(Into::into);
            }
            if result.is_ok() && event.is_readable() {
                result = client.receive(token, &mut self.buffer, &mut self.shared, sink);
            }
            // The end may have come together with the last bytes; there is no further event for it.
            if result.is_ok() && event.is_read_closed() {
                result = client.receive(token, &mut self.buffer, &mut self.shared, sink);
            }
            let failed = result.is_err();
            if !was_ready && (failed || client.is_ready()) {
                self.opening -= 1;
            }
            if let Err(error) = result {
                self.clients[token] = None;
                sink.closed(token, &error.to_string());
            }
        }
        self.sweep(sink);
        Ok(())
    }

    /// Lets a part of the sockets say `pusher:ping` if they were silent for long; all have their turn in ten sweeps.
    fn sweep<S: Sink>(&mut self, sink: &mut S) {
        let now = clock::now();
        if now < self.next_sweep || self.clients.is_empty() {
            return;
        }
        self.next_sweep = now + SWEEP;
        for _ in 0..self.clients.len().div_ceil(10) {
            self.swept = (self.swept + 1) % self.clients.len();
            if let Some(client) = &mut self.clients[self.swept]
                && let Err(error) = client.keep_alive(now)
            {
                self.clients[self.swept] = None;
                sink.closed(self.swept, &error.to_string());
            }
        }
    }
}
