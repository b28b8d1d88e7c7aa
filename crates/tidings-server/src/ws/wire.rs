//! What is under a socket: a stream that speaks websocket, or a session of HTTP requests in its place.

use std::{
    io::{self, IoSlice},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use tokio::io::ReadBuf;

use super::{
    reader::Reader,
    session::{News, Sent, Session},
};
use crate::{
    node::Node,
    stream::{ReadHalf, Stream, WriteHalf},
};

/// Where frames go, as they were encoded.
#[derive(Debug)]
pub(crate) enum Writing {
    Websocket(WriteHalf),
    Session(Arc<Session>),
}

/// Where messages come from; the socket's task has it.
pub(super) enum Reading {
    Websocket { half: ReadHalf, reader: Reader },
    Session(Arc<Session>),
}

pub(super) fn websocket(stream: Stream) -> (Reading, Writing) {
    let (half, writing) = stream.into_split();
    (Reading::Websocket { half, reader: Reader::default() }, Writing::Websocket(writing))
}

pub(super) fn session(session: &Arc<Session>) -> (Reading, Writing) {
    (Reading::Session(session.clone()), Writing::Session(session.clone()))
}

impl Writing {
    /// Takes what it can at once; otherwise it would block.
    pub(super) fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Writing::Websocket(half) => half.try_write(slices),
            Writing::Session(session) => session.write(slices),
        }
    }

    /// Whether it takes more.
    pub(super) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Writing::Websocket(half) => half.poll_write_ready(cx).map(|_| ()),
            Writing::Session(session) => session.poll_writable(cx),
        }
    }
}

/// What a peer has sent.
pub(super) enum Arrival {
    /// Bytes of websocket frames, in the buffer; none, if there are no more.
    Bytes,
    /// A message that needs no reader.
    Sent(Sent),
}

impl Reading {
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<Arrival>> {
        match self {
            Reading::Websocket { half, .. } => {
                ready!(half.poll_read(cx, buffer))?;
                Poll::Ready(Ok(Arrival::Bytes))
            }
            Reading::Session(session) => session.poll_sent(cx).map(|sent| Ok(Arrival::Sent(sent))),
        }
    }

    /// What has happened to it beside messages.
    pub(super) fn poll_news(&self, cx: &Context<'_>) -> Poll<News> {
        match self {
            Reading::Websocket { .. } => Poll::Pending,
            Reading::Session(session) => session.poll_news(cx),
        }
    }

    /// When it is to be told the time.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self {
            Reading::Websocket { .. } => None,
            Reading::Session(session) => Some(session.deadline()),
        }
    }

    /// Does what is due; false if the peer is not heard of any more.
    pub(super) fn handle_time(&self) -> bool {
        match self {
            Reading::Websocket { .. } => true,
            Reading::Session(session) => session.handle_time(),
        }
    }

    /// Whether the peer has read our close and has nothing to answer to it.
    pub(super) fn is_told(&self) -> bool {
        match self {
            Reading::Websocket { .. } => false,
            Reading::Session(session) => session.has_been_told(),
        }
    }

    /// Nobody reads any more.
    pub(super) fn end(&self, node: &Node) {
        match self {
            Reading::Websocket { .. } => {}
            Reading::Session(session) => node.sessions.end(session),
        }
    }
}
