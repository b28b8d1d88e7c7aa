//! A connection's bytes, as they are or under TLS: the one place that knows which.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

use crate::tls::TlsStream;

/// A connection's bytes.
#[derive(Debug)]
pub enum Stream {
    /// As they are.
    Plain(TcpStream),
    /// Under TLS.
    Tls(Arc<TlsStream>),
}

/// The reading side of a [`Stream`].
#[derive(Debug)]
pub(crate) enum ReadHalf {
    Plain(OwnedReadHalf),
    Tls(Arc<TlsStream>),
}

/// The writing side of a [`Stream`]; the peer is told of the end when it is dropped.
#[derive(Debug)]
pub(crate) enum WriteHalf {
    Plain(OwnedWriteHalf),
    Tls(TlsWriteHalf),
}

#[derive(Debug)]
pub(crate) struct TlsWriteHalf(Arc<TlsStream>);

impl Drop for TlsWriteHalf {
    fn drop(&mut self) {
        self.0.shutdown_now();
    }
}

impl Stream {
    pub(crate) fn into_split(self) -> (ReadHalf, WriteHalf) {
        match self {
            Stream::Plain(tcp) => {
                let (reading, writing) = tcp.into_split();
                (ReadHalf::Plain(reading), WriteHalf::Plain(writing))
            }
            Stream::Tls(tls) => (ReadHalf::Tls(tls.clone()), WriteHalf::Tls(TlsWriteHalf(tls))),
        }
    }
}

impl ReadHalf {
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            ReadHalf::Plain(half) => Pin::new(half).poll_read(cx, buf),
            ReadHalf::Tls(tls) => tls.poll_read(cx, buf),
        }
    }
}

impl WriteHalf {
    /// Takes what it can at once, with one system call; otherwise it would block. With nothing to take it gives the kernel
    /// what it took before and still has: nothing, of a plain stream.
    pub(crate) fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match (self, slices) {
            (WriteHalf::Plain(_), []) => Ok(0),
            (WriteHalf::Plain(half), [one]) => half.try_write(one),
            (WriteHalf::Plain(half), many) => half.try_write_vectored(many),
            (WriteHalf::Tls(TlsWriteHalf(tls)), slices) => tls.try_write(slices),
        }
    }

    /// Whether the kernel takes more.
    pub(crate) fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            WriteHalf::Plain(half) => half.as_ref().poll_write_ready(cx),
            WriteHalf::Tls(TlsWriteHalf(tls)) => tls.poll_write_ready(cx),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Stream::Tls(tls) => tls.poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Stream::Tls(tls) => tls.poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Stream::Tls(tls) => tls.poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Stream::Tls(tls) => tls.poll_shutdown(cx),
        }
    }
}
