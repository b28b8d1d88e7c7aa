//! A stream that ends politely, and does not wait for ever for a peer that reads nothing.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

use crate::stream::Stream;

/// What a peer still sends after the end is read this long and this far, and thrown away.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 256 * 1024;

/// So long a peer may keep us from writing, and then it is gone.
const PATIENCE: Duration = Duration::from_secs(30);
/// Each byte that it takes earns it more of our patience, up to what there was at first: who takes so many in a second may
/// be as slow as that.
const BYTES_PER_SECOND: u32 = 16 * 1024;

/// A stream whose shutdown reads what the peer is still sending: the kernel answers unread bytes with a reset,
/// and a reset takes the last answer away from the peer before it has read it.
#[derive(Debug)]
pub(crate) struct Lingering {
    stream: Stream,
    /// When it ends at the latest, once it is shut down.
    until: Option<Pin<Box<Sleep>>>,
    left: usize,
    patience: Duration,
    /// The peer takes nothing; when our patience is at its end.
    blocked: Option<Pin<Box<Sleep>>>,
}

impl Lingering {
    pub(crate) fn new(stream: Stream) -> Self {
        Lingering { stream, until: None, left: LINGER_BYTES, patience: PATIENCE, blocked: None }
    }

    pub(crate) fn into_inner(self) -> Stream {
        self.stream
    }

    /// What became of a write, or that our patience is at its end.
    fn within_patience<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
        bytes: impl FnOnce(&T) -> usize,
    ) -> Poll<io::Result<T>> {
        match written {
            Poll::Pending => {
                let patience = self.patience;
                let blocked = self.blocked.get_or_insert_with(|| Box::pin(sleep(patience)));
                ready!(blocked.as_mut().poll(cx));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            Poll::Ready(done) => {
                if let Some(blocked) = self.blocked.take() {
                    self.patience = blocked.deadline().saturating_duration_since(Instant::now());
                }
                if self.patience < PATIENCE
                    && let Ok(done) = &done
                {
                    let bytes = u32::try_from(bytes(done)).unwrap_or(u32::MAX);
                    let earned = Duration::from_secs(1) * bytes / BYTES_PER_SECOND;
                    self.patience = PATIENCE.min(self.patience + earned);
                }
                Poll::Ready(done)
            }
        }
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
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.within_patience(cx, written, |count| *count)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.within_patience(cx, flushed, |()| 0)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        ready!(self.within_patience(cx, shut, |()| 0))?;
        let Self { stream, until, left, .. } = &mut *self;
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

#[cfg(test)]
mod tests {
    use std::thread;

    #[cfg(target_os = "linux")]
    use socket2::SockRef;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::{TcpListener, TcpStream},
        task::spawn_blocking,
        time::pause,
    };

    use super::*;

    async fn pair() -> (Lingering, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let peer = TcpStream::connect(listener.local_addr().expect("an address")).await.expect("it listens");
        let (stream, _) = listener.accept().await.expect("it came");
        // As the server's listener has it: what the kernel holds tells nothing of a slow peer.
        #[cfg(target_os = "linux")]
        SockRef::from(&stream).set_tcp_notsent_lowat(128 * 1024).expect("Linux");
        (Lingering::new(Stream::Plain(stream)), peer)
    }

    #[tokio::test]
    async fn who_reads_nothing_is_gone_when_our_patience_is() {
        let (mut stream, _peer) = pair().await;
        pause();
        let started = Instant::now();
        let written = stream.write_all(&vec![0; 64 << 20]).await;
        assert_eq!(written.map_err(|error| error.kind()), Err(io::ErrorKind::TimedOut));
        assert_eq!(started.elapsed().as_secs(), PATIENCE.as_secs());
    }

    #[tokio::test]
    async fn who_reads_a_little_now_and_then_is_gone_as_well() {
        let (mut stream, mut peer) = pair().await;
        tokio::spawn(async move {
            let mut some = [0; 4096];
            while peer.read_exact(&mut some).await.is_ok() {
                sleep(Duration::from_secs(5)).await;
            }
        });
        pause();
        let started = Instant::now();
        let written = stream.write_all(&vec![0; 64 << 20]).await;
        assert_eq!(written.map_err(|error| error.kind()), Err(io::ErrorKind::TimedOut));
        assert!(started.elapsed() < 3 * PATIENCE, "{:?}", started.elapsed());
    }

    #[tokio::test]
    async fn who_reads_on_gets_all() {
        let (mut stream, mut peer) = pair().await;
        let reading = tokio::spawn(async move {
            let (mut some, mut count) = (vec![0; 1 << 20], 0);
            loop {
                match peer.read(&mut some).await.expect("bytes") {
                    0 => return count,
                    more => count += more,
                }
                // The kernel's time is not ours: the clock stands still while it tells the other side that there is room.
                spawn_blocking(|| thread::sleep(Duration::from_millis(5))).await.expect("it sleeps");
                // As fast as may be slow, twice.
                sleep(Duration::from_secs(20)).await;
            }
        });
        pause();
        stream.write_all(&vec![0; 32 << 20]).await.expect("it reads");
        drop(stream);
        assert_eq!(reading.await.expect("an end"), 32 << 20);
    }
}
