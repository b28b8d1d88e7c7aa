//! A websocket client that does nothing by itself: what it is sent is kept, a PING is not answered.
//!
//! It reads frame by frame, without waiting, from a plain socket. tokio-tungstenite's own client would answer PINGs,
//! and every answer is a sign of life that the vectors about silence do not have.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
};

use tokio_tungstenite::tungstenite::{
    self,
    protocol::frame::{
        CloseFrame, Frame, FrameSocket,
        coding::{Control, Data, OpCode},
    },
};

/// The key of RFC 6455, and what answers it.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// The code that RFC 6455 gives to a connection that ended without a close frame.
const ABNORMAL: u16 = 1006;

/// One client, and what it has received since it was last looked at.
pub(crate) struct Client {
    /// `None` when the connection has ended.
    socket: Option<FrameSocket<TcpStream>>,
    /// Answers PING frames, and does not count them.
    answers_pings: bool,
    /// It has said goodbye itself.
    leaving: bool,
    /// The server has sent its close frame.
    dismissed: bool,
    /// Text frames.
    pub(crate) frames: Vec<String>,
    /// How many PING frames.
    pub(crate) pings: usize,
    /// The payload of the last PONG frame.
    pub(crate) pong: Vec<u8>,
    /// Code and reason of a close that the server began.
    pub(crate) closed: Option<(u16, String)>,
}

impl Client {
    /// Asks for an upgrade. `turn` is to let the server run, and is called until it has answered.
    ///
    /// # Errors
    /// The answer's head, if it is no upgrade.
    pub(crate) async fn open(
        address: SocketAddr,
        target: &str,
        origin: Option<&str>,
        answers_pings: bool,
        turn: impl AsyncFn(),
    ) -> Result<Self, String> {
        let mut stream = TcpStream::connect(address).expect("the server listens");
        stream.set_nodelay(true).expect("an open socket");
        stream.set_nonblocking(true).expect("an open socket");
        let origin = origin.map_or_else(String::new, |origin| format!("origin: {origin}\r\n"));
        let request = format!(
            "GET {target} HTTP/1.1\r\nhost: test\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: {KEY}\r\n{origin}\r\n"
        );
        stream.write_all(request.as_bytes()).expect("a request fits into the kernel");
        let (head, rest) = read_head(&mut stream, turn).await;
        if !head.starts_with("HTTP/1.1 101 ") || !head.contains(ACCEPT) {
            return Err(head);
        }
        Ok(Client {
            socket: Some(FrameSocket::from_partially_read(stream, rest)),
            answers_pings,
            leaving: false,
            dismissed: false,
            frames: Vec::new(),
            pings: 0,
            pong: Vec::new(),
            closed: None,
        })
    }

    /// Whether neither side has ended the connection.
    pub(crate) fn is_open(&self) -> bool {
        self.socket.is_some() && !self.leaving && !self.dismissed
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        self.socket.as_ref().expect("an open socket").get_ref()
    }

    pub(crate) async fn text(&mut self, text: &str) {
        self.write(Frame::message(text.to_owned(), OpCode::Data(Data::Text), true)).await;
    }

    pub(crate) async fn ping(&mut self, payload: u64) {
        self.write(Frame::ping(payload.to_be_bytes().to_vec())).await;
    }

    pub(crate) async fn unasked_pong(&mut self) {
        self.write(Frame::pong(Vec::new())).await;
    }

    pub(crate) async fn close(&mut self) {
        self.leaving = true;
        self.write(Frame::close(Some(CloseFrame { code: 1000.into(), reason: "".into() }))).await;
    }

    /// Sends any frame.
    pub(crate) async fn write(&mut self, mut frame: Frame) {
        mask(&mut frame);
        let Some(socket) = &mut self.socket else { return };
        let mut sent = socket.write(frame);
        while would_block(&sent) {
            // The server has to read first.
            tokio::task::yield_now().await;
            sent = socket.flush();
        }
        // If it failed in another way the connection is at its end, and reading tells how.
    }

    /// Takes in all that has arrived; whether there was anything.
    pub(crate) fn read(&mut self) -> bool {
        let mut any = false;
        while let Some(socket) = &mut self.socket {
            let read = socket.read(None);
            if would_block(&read) {
                break;
            }
            any = true;
            if let Ok(Some(frame)) = read {
                self.take(&frame);
                continue;
            }
            self.socket = None;
            if !self.dismissed {
                self.closed = Some((ABNORMAL, "no close frame".to_owned()));
            }
        }
        any
    }

    fn take(&mut self, frame: &Frame) {
        let payload = frame.payload();
        match frame.header().opcode {
            OpCode::Data(Data::Text) => self.frames.push(String::from_utf8_lossy(payload).into_owned()),
            OpCode::Control(Control::Ping) if self.answers_pings => {
                self.reply(Frame::pong(payload.to_vec()));
            }
            OpCode::Control(Control::Ping) => self.pings += 1,
            OpCode::Control(Control::Pong) => self.pong = payload.to_vec(),
            OpCode::Control(Control::Close) => self.take_close(payload),
            other => self.frames.push(format!("a frame of opcode {other:?}")),
        }
    }

    fn take_close(&mut self, payload: &[u8]) {
        if self.dismissed {
            self.frames.push("a second close frame".to_owned());
            return;
        }
        self.dismissed = true;
        let (code, reason) = match payload {
            [high, low, reason @ ..] => {
                (u16::from_be_bytes([*high, *low]), String::from_utf8_lossy(reason).into_owned())
            }
            _ => (ABNORMAL, "a close frame without a code".to_owned()),
        };
        match (self.leaving, code) {
            // The server returns the code that it was given.
            (true, 1000) => {}
            (true, _) => self.frames.push(format!("a close of 1000 answered with {code}")),
            (false, _) => {
                self.reply(Frame::close(Some(CloseFrame { code: code.into(), reason: "".into() })));
                self.closed = Some((code, reason));
            }
        }
    }

    fn reply(&mut self, mut frame: Frame) {
        mask(&mut frame);
        let socket = self.socket.as_mut().expect("a frame was just read");
        // A few bytes fit into the kernel, and a peer that is gone needs no reply.
        let _ = socket.send(frame);
    }
}

fn mask(frame: &mut Frame) {
    frame.header_mut().mask = Some([0x11, 0x22, 0x33, 0x44]);
}

fn would_block<T>(result: &tungstenite::Result<T>) -> bool {
    matches!(result, Err(tungstenite::Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock)
}

/// The head of the answer, and what came behind it.
async fn read_head(stream: &mut TcpStream, turn: impl AsyncFn()) -> (String, Vec<u8>) {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let rest = bytes.split_off(end + 4);
            return (String::from_utf8_lossy(&bytes).into_owned(), rest);
        }
        let mut buffer = [0; 1024];
        match stream.read(&mut buffer) {
            Ok(0) => return ("the connection ended without an answer".to_owned(), Vec::new()),
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => turn().await,
            Err(error) => return (error.to_string(), Vec::new()),
        }
    }
}
