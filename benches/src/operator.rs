//! Stands in for a brand's operator: every sid is good, and its user is called like it.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde::Deserialize;

use crate::http::Message;

/// A login check that listens; it ends when dropped.
pub(crate) struct Operator {
    address: SocketAddr,
    ends: Arc<AtomicBool>,
}

#[derive(Deserialize)]
struct Question<'a> {
    sid: &'a str,
}

impl Operator {
    pub(crate) fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let operator = Self { address: listener.local_addr()?, ends: Arc::default() };
        let ends = Arc::clone(&operator.ends);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if ends.load(Ordering::Relaxed) {
                    return;
                }
                if let Ok(stream) = stream {
                    // The server sees what went wrong, and says so.
                    thread::spawn(move || serve(stream));
                }
            }
        });
        Ok(operator)
    }

    /// What the brand has as its `sid_url`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/authenticate", self.address)
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        // Wakes the listener; it may have failed already.
        let _ = TcpStream::connect(self.address);
    }
}

/// Answers the requests of one connection.
fn serve(mut stream: TcpStream) -> io::Result<()> {
    let mut held = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        held.extend_from_slice(&buffer[..count]);
        while let Some(request) = Message::parse(&held).map_err(io::Error::other)? {
            let Question { sid } = serde_json::from_slice(request.body)?;
            let body = serde_json::json!({"user_id": sid}).to_string();
            let length = body.len();
            write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
            )?;
            let end = request.end;
            held.drain(..end);
        }
    }
}
