//! One HTTP connection for requests: kept alive where the server keeps it, made anew where it does not.

use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use crate::clock;
use crate::http::Message;
use crate::sink::Sink;

/// One connection and the requests that wait on it.
#[derive(Default)]
pub(crate) struct Lane {
    stream: Option<TcpStream>,
    /// Requests without a reply.
    waiting: usize,
    held: Vec<u8>,
    unsent: Vec<u8>,
}

impl Lane {
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Sends a request, over a new connection if there is none.
    pub(crate) fn post(
        &mut self,
        address: SocketAddr,
        registry: &Registry,
        token: Token,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> io::Result<()> {
        self.waiting += 1;
        write(&mut self.unsent);
        if self.stream.is_none() {
            let mut stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
            self.stream = Some(stream);
        }
        self.flush()
    }

    /// Writes what waits.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        let mut written = 0;
        while written < self.unsent.len() {
            match stream.write(&self.unsent[written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => written += count,
                // A connection that is still being made answers in either way.
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected) =>
                {
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.unsent.drain(..written);
        Ok(())
    }

    /// Reads all replies there are.
    pub(crate) fn receive<S: Sink>(&mut self, number: usize, buffer: &mut [u8], sink: &mut S) {
        if let Err(why) = self.read_replies(number, buffer, sink) {
            self.fail(&why, sink);
        }
    }

    /// Gives the connection up; what waits on it is refused.
    pub(crate) fn fail<S: Sink>(&mut self, why: &str, sink: &mut S) {
        self.stream = None;
        self.held.clear();
        self.unsent.clear();
        if std::mem::take(&mut self.waiting) > 0 {
            sink.refused(why);
        }
    }

    fn read_replies<S: Sink>(
        &mut self,
        number: usize,
        buffer: &mut [u8],
        sink: &mut S,
    ) -> Result<(), String> {
        while let Some(stream) = &mut self.stream {
            let count = match stream.read(buffer) {
                Ok(0) => return Err("the server closed a connection with requests unanswered".to_owned()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.to_string()),
            };
            self.held.extend_from_slice(&buffer[..count]);
            let now = clock::now();
            let mut used = 0;
            while let Some(reply) = Message::parse(&self.held[used..]).map_err(|error| error.to_string())? {
                used += reply.end;
                self.waiting = self.waiting.saturating_sub(1);
                if reply.status() == Some(200) {
                    sink.answered(number, reply.body, now);
                } else {
                    let body = String::from_utf8_lossy(reply.body);
                    sink.refused(&format!("{}: {}", reply.first_line(), body.trim_end()));
                }
                if reply.closes() {
                    if self.waiting > 0 {
                        return Err("the server closes after each reply: not with --pipeline".to_owned());
                    }
                    self.stream = None;
                }
            }
            self.held.drain(..used);
            if count < buffer.len() {
                return Ok(());
            }
        }
        Ok(())
    }
}
