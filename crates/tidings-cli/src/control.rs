//! How the command line speaks to the server that runs: over a socket in the data directory, one line each way.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    sync::mpsc,
};

use tidings_server::Drain;

/// The socket's name in the data directory.
const NAME: &str = "control.sock";
/// What is said in answer to an order that is carried out.
const OK: &str = "ok\n";
/// A line has this long to arrive, and may be this long.
const LINE_TIMEOUT: Duration = Duration::from_secs(5);
const LINE_MAX: u64 = 256;

/// The order to leave, over so many seconds or as the server is configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Leave {
    pub(super) over: Option<Duration>,
}

impl Leave {
    fn to_line(self) -> String {
        match self.over {
            Some(over) => format!("drain {}\n", over.as_secs()),
            None => "drain\n".to_owned(),
        }
    }

    fn parse(line: &str) -> Option<Self> {
        match line.trim_end().split(' ').collect::<Vec<_>>()[..] {
            ["drain"] => Some(Leave { over: None }),
            ["drain", seconds] => Some(Leave { over: Some(Duration::from_secs(seconds.parse().ok()?)) }),
            _ => None,
        }
    }
}

/// The id of the user who may give orders, who is the server's.
pub(super) fn owner(data_dir: &Path) -> Option<u32> {
    fs::metadata(data_dir.join(NAME)).or_else(|_| fs::metadata(data_dir)).ok().map(|file| file.uid())
}

/// The server's end of the socket; its file is gone when this is dropped.
#[derive(Debug)]
pub(super) struct Control {
    listener: UnixListener,
    path: PathBuf,
}

impl Control {
    /// Listens in the data directory. Only this user may connect.
    ///
    /// # Errors
    /// If that is not possible, or if another server of the data directory listens already.
    pub(super) async fn listen(data_dir: &Path) -> io::Result<Self> {
        let path = data_dir.join(NAME);
        if UnixStream::connect(&path).await.is_ok() {
            return Err(io::Error::new(io::ErrorKind::AddrInUse, "another server uses this data directory"));
        }
        // What is left of a server that was killed.
        let _ = fs::remove_file(&path);
        let listener = UnixListener::bind(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        Ok(Control { listener, path })
    }

    /// Passes on the orders that come; `configured` is how the server leaves where they do not say.
    pub(super) async fn pass_on(self, configured: Drain, orders: mpsc::Sender<Drain>) {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    tokio::spawn(answer(stream, configured, orders.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot take orders");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // It may have been removed with its directory.
        let _ = fs::remove_file(&self.path);
    }
}

/// Answers one order, and keeps the connection until the server ends or the other side goes: so it learns of the end.
async fn answer(mut stream: UnixStream, configured: Drain, orders: mpsc::Sender<Drain>) {
    let mut line = String::new();
    let mut reader = BufReader::new((&mut stream).take(LINE_MAX));
    if !matches!(tokio::time::timeout(LINE_TIMEOUT, reader.read_line(&mut line)).await, Ok(Ok(_))) {
        return;
    }
    let Some(leave) = Leave::parse(&line) else {
        // Whoever has sent something else may not read either.
        let _ = stream.write_all(b"unknown order\n").await;
        return;
    };
    tracing::info!(order = "tidings drain", "leaving");
    let drain = Drain { window: leave.over.unwrap_or(configured.window), ..configured };
    // A server that takes no orders any more is about to end.
    let _ = orders.send(drain).await;
    if stream.write_all(OK.as_bytes()).await.is_ok() {
        let _ = stream.read_u8().await;
    }
}

/// Gives the order, and returns when the server has ended; `taken` is called when it has taken the order.
///
/// # Errors
/// [`io::ErrorKind::NotFound`] or [`io::ErrorKind::ConnectionRefused`] if no server runs there.
pub(super) async fn order(data_dir: &Path, leave: Leave, taken: impl FnOnce()) -> io::Result<()> {
    let mut stream = BufReader::new(UnixStream::connect(data_dir.join(NAME)).await?);
    stream.write_all(leave.to_line().as_bytes()).await?;
    let mut answer = String::new();
    stream.read_line(&mut answer).await?;
    if answer != OK {
        return Err(io::Error::other(format!("the server answered {answer:?}")));
    }
    taken();
    // Whatever the end looks like, it is the end.
    let _ = stream.read_u8().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_go_there_and_back() {
        for over in [None, Some(Duration::ZERO), Some(Duration::from_mins(1))] {
            assert_eq!(Leave::parse(&Leave { over }.to_line()), Some(Leave { over }));
        }
        for line in ["", "drain x", "drain 1 2", "stop"] {
            assert_eq!(Leave::parse(line), None, "{line:?}");
        }
    }
}
