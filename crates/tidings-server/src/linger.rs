//! A stream that ends politely.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

use crate::stream::Stream;

/// What a peer still sends after the end is read this long and this far, and thrown away.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 256 * 1024;

/// A stream whose shutdown reads what the peer is still sending: the kernel answers unread bytes with a reset,
/// and a reset takes the last answer away from the peer before it has read it.
#[derive(Debug)]
pub(crate) struct Lingering {
    stream: Stream,
    /// When it ends at the latest, once it is shut down.
    until: Option<Pin<Box<Sleep>>>,
    left: usize,
}

impl Lingering {
    pub(crate) fn new(stream: Stream) -> Self {
        Lingering { stream, until: None, left: LINGER_BYTES }
    }

    pub(crate) fn into_inner(self) -> Stream {
        self.stream
    }
}

impl AsyncRead for Lingering {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Lingering {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, until, left } = &mut *self;
        ready!(Pin::new(&mut *stream).poll_shutdown(cx))?;
        let until = until.get_or_insert_with(|| Box::pin(sleep(LINGER)));
        let mut bytes = [0; 4096];
        while *left > 0 && until.as_mut().poll(cx).is_pending() {
            let mut buf = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut *stream).poll_read(cx, &mut buf))?;
            let count = buf.filled().len();
            *left = if count == 0 { 0 } else { left.saturating_sub(count) };
        }
        Poll::Ready(Ok(()))
    }
}
