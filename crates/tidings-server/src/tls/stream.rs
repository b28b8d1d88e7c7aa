//! A TCP stream under TLS, of either side.

use std::{
    io::{self, IoSlice, Read as _, Write as _},
    net::Shutdown,
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
};

use rustls::Connection;
use socket2::SockRef;
use tokio::{io::ReadBuf, net::TcpStream};

use crate::lock;

/// A peer that sends records with nothing in them has others wait no longer than this many reads.
const READS_PER_POLL: usize = 16;

/// A TCP stream under TLS. Who reads and who writes share it; the handshake happens when it is first read.
///
/// The session is locked while records are made and given to the kernel, never while anything is waited for.
#[derive(Debug)]
pub struct TlsStream {
    tcp: TcpStream,
    session: Mutex<Connection>,
}

impl TlsStream {
    pub(crate) fn new(tcp: TcpStream, session: impl Into<Connection>) -> Arc<Self> {
        Arc::new(TlsStream { tcp, session: Mutex::new(session.into()) })
    }

    /// Reads some of what the peer has said; nothing means that it says no more.
    pub(crate) fn poll_read(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        for _ in 0..READS_PER_POLL {
            match self.try_read(cx, buf) {
                Ok(Progress::Told) => return Poll::Ready(Ok(())),
                Ok(Progress::Records) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.tcp.poll_read_ready(cx))?;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn try_read(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> io::Result<Progress> {
        let mut session = lock(&self.session);
        match session.reader().read(buf.initialize_unfilled()) {
            Ok(count) => {
                buf.advance(count);
                return Ok(Progress::Told);
            }
            // It went without the farewell of TLS. What it has said knows its own length.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Progress::Told),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        self.read_records(&mut session, cx)?;
        Ok(Progress::Records)
    }

    /// Reads records from the kernel, or nothing at the end, and answers what is the handshake's.
    fn read_records(&self, session: &mut Connection, cx: &mut Context<'_>) -> io::Result<usize> {
        if session.is_handshaking() && is_blocked(self.push(session))? {
            // Nobody else writes yet, and the peer waits for this.
            let _ = self.tcp.poll_write_ready(cx)?;
        }
        let count = session.read_tls(&mut Kernel(&self.tcp))?;
        let processed = session.process_new_packets();
        // The handshake's next step, or why there is none. Whoever writes next will see what has failed.
        let _ = self.push(session);
        processed.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        Ok(count)
    }

    /// Returns when the handshake is over. Who does not wait for it has it happen while reading.
    pub(crate) fn poll_handshake(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut session = lock(&self.session);
            if !session.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            match self.read_records(&mut session, cx) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    drop(session);
                    ready!(self.tcp.poll_read_ready(cx))?;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Takes as much as there is room for, and gives it to the kernel. What the kernel does not take at once goes with the
    /// next write or [`try_flush`](Self::try_flush); until then nothing more is taken.
    pub(crate) fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut session = lock(&self.session);
        self.push(&mut session)?;
        let count = session.writer().write_vectored(slices)?;
        is_blocked(self.push(&mut session))?;
        Ok(count)
    }

    /// Gives the kernel what was taken before.
    pub(crate) fn try_flush(&self) -> io::Result<()> {
        self.push(&mut lock(&self.session))
    }

    pub(crate) fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll(cx, || self.try_write(&[IoSlice::new(bytes)]))
    }

    pub(crate) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll(cx, || self.try_flush())
    }

    /// Says that nothing more is said.
    pub(crate) fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        lock(&self.session).send_close_notify();
        ready!(self.poll_flush(cx))?;
        Poll::Ready(SockRef::from(&self.tcp).shutdown(Shutdown::Write))
    }

    /// [`poll_shutdown`](Self::poll_shutdown) as far as it goes at once.
    pub(crate) fn shutdown_now(&self) {
        let mut session = lock(&self.session);
        session.send_close_notify();
        // A peer that does not read is not told.
        let _ = self.push(&mut session);
        let _ = SockRef::from(&self.tcp).shutdown(Shutdown::Write);
    }

    /// Whether the kernel takes more.
    pub(crate) fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tcp.poll_write_ready(cx)
    }

    fn poll<T>(&self, cx: &mut Context<'_>, act: impl Fn() -> io::Result<T>) -> Poll<io::Result<T>> {
        loop {
            match act() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.tcp.poll_write_ready(cx))?;
                }
                done => return Poll::Ready(done),
            }
        }
    }

    /// Gives the kernel all records that are made.
    fn push(&self, session: &mut Connection) -> io::Result<()> {
        while session.wants_write() {
            if session.write_tls(&mut Kernel(&self.tcp))? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        Ok(())
    }
}

/// What a read has brought.
enum Progress {
    /// What the peer has said, or its end.
    Told,
    /// Nothing that is to be told.
    Records,
}

/// Whether it would have blocked; another error is one.
fn is_blocked(pushed: io::Result<()>) -> io::Result<bool> {
    match pushed {
        Ok(()) => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(true),
        Err(error) => Err(error),
    }
}

/// The socket as rustls reads and writes it, without waiting.
struct Kernel<'a>(&'a TcpStream);

impl io::Read for Kernel<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(bytes)
    }
}

impl io::Write for Kernel<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
