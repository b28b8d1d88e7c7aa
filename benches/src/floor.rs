//! The floor: a server that does only the kernel's work, to measure others against.
//!
//! One thread, one epoll. It checks no signature and keeps no promise but the order of frames. In its plain mode each
//! delivery is one `send`, and a trigger is answered when its fan-out is done. With `--gather` a trigger is answered
//! at once, each socket keeps a list of shared frames, and one `writev` carries away all that waits; the fan-out goes
//! in slices, and new triggers are taken in between.

mod connection;
mod hub;
mod wire;

use std::collections::VecDeque;
use std::io::{self, Read as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::parent_id;
use std::rc::Rc;
use std::time::Duration;

use clap::Args;
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Socket, Type};

use self::connection::{Connection, Protocol};
use self::hub::{Channels, Leave};
use self::wire::{Batch, ClientFrame, Trigger};
use crate::failure::Failure;
use crate::http::Message;
use crate::ws::{self, Header, Opcode};

const LISTENER: Token = Token(usize::MAX);

const BACKLOG: i32 = 4096;

const READ_BUFFER: usize = 64 << 10;

/// How often to look whether the parent still lives.
const LOOK: Duration = Duration::from_secs(1);

/// Settings of `floor`.
#[derive(Clone, Debug, Args)]
pub(crate) struct Floor {
    /// Port on 127.0.0.1.
    #[arg(long, default_value_t = 7001)]
    port: u16,
    /// Gather frames and write all that wait for a socket with one call.
    #[arg(long)]
    gather: bool,
    /// Sockets that a gathering floor writes to before it looks for new triggers.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..))]
    slice: u16,
    /// End when the process that started the floor has ended.
    #[arg(long)]
    exit_with_parent: bool,
}

impl Floor {
    /// Serves until the process is ended.
    pub(crate) fn serve(&self) -> Result<(), Failure> {
        let parent = self.exit_with_parent.then(parent_id);
        let mut server = Server::bind(self.port, if self.gather { Mode::Gather } else { Mode::Send })?;
        let mut events = Events::with_capacity(1024);
        while parent.is_none_or(|parent| parent == parent_id()) {
            let timeout = if server.dirty.is_empty() { LOOK } else { Duration::ZERO };
            match server.poll.poll(&mut events, Some(timeout)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                done => done?,
            }
            for event in &events {
                match event.token() {
                    LISTENER => server.accept()?,
                    Token(token) => {
                        if event.is_writable() {
                            server.flush(token);
                        }
                        if event.is_readable() {
                            server.read(token);
                        }
                        if event.is_read_closed() {
                            server.read(token);
                        }
                    }
                }
            }
            server.flush_slice(self.slice.into());
        }
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Send,
    Gather,
}

/// The connection is of no more use.
struct Gone;

struct Server {
    mode: Mode,
    poll: Poll,
    listener: TcpListener,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    accepted: u64,
    channels: Channels,
    /// Sockets for which frames are gathered, in the order of their first frame.
    dirty: VecDeque<usize>,
    buffer: Vec<u8>,
}

impl Server {
    fn bind(port: u16, mode: Mode) -> io::Result<Self> {
        // The standard library's backlog makes a storm of connects wait for a second.
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        // Accepted sockets inherit it, which saves a call for each.
        socket.set_tcp_nodelay(true)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
        socket.listen(BACKLOG)?;
        let mut listener = TcpListener::from_std(socket.into());
        let poll = Poll::new()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(Self {
            mode,
            poll,
            listener,
            connections: Vec::new(),
            free: Vec::new(),
            accepted: 0,
            channels: Channels::default(),
            dirty: VecDeque::new(),
            buffer: vec![0; READ_BUFFER],
        })
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let (mut stream, _) = match self.listener.accept() {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // A connection that ended before it was accepted.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(error),
            };
            let token = self.free.pop().unwrap_or(self.connections.len());
            self.poll.registry().register(
                &mut stream,
                Token(token),
                Interest::READABLE | Interest::WRITABLE,
            )?;
            self.accepted += 1;
            let connection = Some(Connection::new(stream, self.accepted));
            if token == self.connections.len() {
                self.connections.push(connection);
            } else {
                self.connections[token] = connection;
            }
        }
    }

    fn flush(&mut self, token: usize) {
        if let Some(connection) = self.connections.get_mut(token).and_then(Option::as_mut) {
            connection.flush();
        }
    }

    /// Writes to the first `slice` sockets that frames wait for.
    fn flush_slice(&mut self, slice: usize) {
        for _ in 0..slice {
            let Some(token) = self.dirty.pop_front() else { return };
            if let Some(connection) = &mut self.connections[token] {
                connection.is_dirty = false;
                connection.flush();
            }
        }
    }

    fn read(&mut self, token: usize) {
        // Out of the table while it is read, so that the fan-out may go over the table.
        let Some(mut connection) = self.connections.get_mut(token).and_then(Option::take) else { return };
        let mut buffer = std::mem::take(&mut self.buffer);
        let alive = self.read_all(token, &mut connection, &mut buffer);
        self.buffer = buffer;
        match alive {
            Ok(()) => self.connections[token] = Some(connection),
            Err(Gone) => self.remove(token, &mut connection),
        }
    }

    fn read_all(&mut self, token: usize, connection: &mut Connection, buffer: &mut [u8]) -> Result<(), Gone> {
        loop {
            let count = match connection.stream.read(buffer) {
                Ok(0) => return Err(Gone),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return Err(Gone),
            };
            if connection.held.is_empty() {
                let used = self.consume(token, connection, &mut buffer[..count])?;
                connection.held.extend_from_slice(&buffer[used..count]);
            } else {
                let mut held = std::mem::take(&mut connection.held);
                held.extend_from_slice(&buffer[..count]);
                let used = self.consume(token, connection, &mut held)?;
                held.drain(..used);
                connection.held = if held.is_empty() { Vec::new() } else { held };
            }
            if count < buffer.len() {
                return Ok(());
            }
        }
    }

    /// Handles what is complete in `bytes`; returns how many bytes that was.
    fn consume(
        &mut self,
        token: usize,
        connection: &mut Connection,
        bytes: &mut [u8],
    ) -> Result<usize, Gone> {
        let mut used = 0;
        let mut replies = Vec::new();
        while connection.protocol == Protocol::Http {
            let Some(message) = Message::parse(&bytes[used..]).map_err(|_| Gone)? else { break };
            used += message.end;
            if let Some(key) = message.header("sec-websocket-key") {
                connection.protocol = Protocol::WebSocket;
                wire::push_upgrade(&mut replies, key, connection.serial);
            } else {
                let answer = self.trigger(&message);
                replies.extend_from_slice(answer);
            }
        }
        if !replies.is_empty() {
            connection.send(&replies.into());
        }
        if connection.protocol == Protocol::Http {
            return Ok(used);
        }
        while let Some(header) = Header::parse(&bytes[used..]).map_err(|_| Gone)? {
            let payload = &mut bytes[used + header.start..used + header.end];
            used += header.end;
            ws::unmask(payload, header.mask.ok_or(Gone)?);
            match header.opcode {
                Opcode::Text => self.client_frame(token, connection, payload),
                Opcode::Ping => connection.send(&wire::frame(Opcode::Pong, payload)),
                Opcode::Pong => {}
                Opcode::Close => return Err(Gone),
            }
        }
        Ok(used)
    }

    /// Publishes what a request asks for; returns the reply.
    fn trigger(&mut self, request: &Message<'_>) -> &'static [u8] {
        let line = request.first_line();
        if line.starts_with("POST") && line.contains("/batch_events?") {
            let Ok(batch) = serde_json::from_slice::<Batch<'_>>(request.body) else {
                return wire::BAD_REQUEST;
            };
            batch.batch.iter().for_each(|trigger| self.publish_trigger(trigger));
            return wire::OK;
        }
        if line.starts_with("POST") && line.contains("/events?") {
            let Ok(trigger) = serde_json::from_slice(request.body) else { return wire::BAD_REQUEST };
            self.publish_trigger(&trigger);
            return wire::OK;
        }
        wire::NOT_FOUND
    }

    fn publish_trigger(&mut self, trigger: &Trigger<'_>) {
        let except = trigger.except();
        for channel in trigger.channel.iter().chain(&trigger.channels) {
            let frame = wire::event(trigger.name.get(), channel, trigger.data.get());
            self.publish(channel, &frame, except);
        }
    }

    /// Delivers a frame to the channel's subscribers, but for the connection with the serial number `except`.
    fn publish(&mut self, channel: &str, frame: &Rc<[u8]>, except: Option<u64>) {
        for &token in self.channels.subscribers(channel) {
            let Some(connection) = &mut self.connections[token] else { continue };
            if except == Some(connection.serial) {
                continue;
            }
            match self.mode {
                Mode::Send => connection.send(frame),
                Mode::Gather => {
                    connection.queue(frame);
                    if !connection.is_dirty {
                        connection.is_dirty = true;
                        self.dirty.push_back(token);
                    }
                }
            }
        }
    }

    fn client_frame(&mut self, token: usize, connection: &mut Connection, text: &[u8]) {
        let Ok(frame) = serde_json::from_slice::<ClientFrame<'_>>(text) else { return };
        match frame.event.as_ref() {
            "pusher:subscribe" => {
                let Some(subscribe) = frame.subscribe() else { return };
                let joined = self.channels.join(token, &subscribe);
                connection.channels.push(Rc::clone(&joined.channel));
                connection.send(&wire::subscribed(&joined.channel, &joined.data));
                if let Some(added) = &joined.added {
                    let frame = wire::member("pusher_internal:member_added", &joined.channel, added);
                    self.publish(&joined.channel, &frame, None);
                }
            }
            "pusher:unsubscribe" => {
                let Some(subscribe) = frame.subscribe() else { return };
                connection.channels.retain(|channel| **channel != *subscribe.channel);
                self.leave(token, &subscribe.channel);
            }
            "pusher:ping" => connection.send(&wire::frame(Opcode::Text, wire::PONG)),
            event if event.starts_with("client-") => {
                // The sender is out of the table and so does not hear itself.
                let (Some(channel), Some(data)) = (&frame.channel, frame.data) else { return };
                let event = serde_json::Value::from(event).to_string();
                self.publish(channel, &wire::event(&event, channel, data.get()), None);
            }
            _ => {}
        }
    }

    fn leave(&mut self, token: usize, channel: &str) {
        if let Leave::MemberGone(removed) = self.channels.leave(token, channel) {
            self.publish(channel, &wire::member("pusher_internal:member_removed", channel, &removed), None);
        }
    }

    fn remove(&mut self, token: usize, connection: &mut Connection) {
        for channel in std::mem::take(&mut connection.channels) {
            self.leave(token, &channel);
        }
        self.free.push(token);
    }
}
