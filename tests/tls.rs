//! Under TLS everything is as it is in the open: order, back-pressure, closes, and what a peer is told at the end.

use std::{fs, net::SocketAddr, path::PathBuf, process, sync::Arc};

use futures_util::{SinkExt as _, StreamExt as _};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::json;
use tidings_server::{
    Clock,
    tls::{Certificate, Certificates},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{self, ClientConfig, RootCertStore, pki_types::CertificateDer},
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest as _},
};

use crate::harness::{Closed, DEADLINE, TestServer, app, data, next_frame};

struct Tls {
    server: TestServer,
    address: SocketAddr,
    certificates: Arc<Certificates>,
    known: CertificateDer<'static>,
}

/// A new certificate, as a server reads it and as clients know it.
fn certificate(name: &str) -> (Certificate, CertificateDer<'static>) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let folder = std::env::temp_dir().join(format!("tidings-tests-{}-{name}", process::id()));
    fs::create_dir_all(&folder).expect("made");
    let file = |name: &str, text: String| -> PathBuf {
        fs::write(folder.join(name), text).expect("written");
        folder.join(name)
    };
    let (cert_file, key_file) = (file("cert", cert.pem()), file("key", signing_key.serialize_pem()));
    let read = Certificate::read(&cert_file, &key_file).expect("it is good");
    fs::remove_dir_all(folder).expect("removed");
    (read, cert.der().clone())
}

impl Tls {
    async fn start(name: &str, clock: Clock) -> Self {
        let (shown, known) = certificate(name);
        let certificates = Certificates::new(shown);
        let mut address = None;
        let server = TestServer::start_prepared(app(), clock, |server| {
            let at = SocketAddr::from(([127, 0, 0, 1], 0));
            address = Some(server.bind_tls(at, certificates.clone()).expect("a free port"));
        })
        .await;
        Tls { server, address: address.expect("it was prepared"), certificates, known }
    }

    async fn connect(&self) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.known.clone()).expect("a certificate");
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let tcp = TcpStream::connect(self.address).await.expect("it listens");
        let name = "localhost".try_into().expect("a name");
        timeout(DEADLINE, TlsConnector::from(Arc::new(config)).connect(name, tcp)).await.expect("in time")
    }

    /// A subscriber of `room`.
    async fn subscriber(&self) -> WebSocketStream<TlsStream<TcpStream>> {
        let request = "wss://localhost/app/test-key".into_client_request().expect("a request");
        let stream = self.connect().await.expect("TLS");
        let mut ws =
            timeout(DEADLINE, client_async(request, stream)).await.expect("in time").expect("an upgrade").0;
        next_frame(&mut ws).await.expect("a greeting");
        let subscribe = json!({"event": "pusher:subscribe", "data": {"channel": "room"}}).to_string();
        ws.send(Message::text(subscribe)).await.expect("the server reads");
        let answer = next_frame(&mut ws).await.expect("a success");
        assert_eq!(answer["event"], "pusher_internal:subscription_succeeded", "{answer}");
        ws
    }
}

/// Events that fill the kernel's buffers and the session's, read late, come whole and in order.
#[tokio::test]
async fn what_waits_goes_out_in_order_when_the_peer_reads_again() {
    const EVENTS: usize = 60;
    let tls = Tls::start("order", Clock::system()).await;
    let mut ws = tls.subscriber().await;
    for n in 0..EVENTS {
        let text = json!({"n": n, "filler": "x".repeat(10_000)}).to_string();
        tls.server.trigger("room", "e", &text).await;
    }
    for n in 0..EVENTS {
        let frame = next_frame(&mut ws).await.expect("an event");
        let data = data(&frame);
        assert_eq!((&data["n"], data["filler"].as_str().map(str::len)), (&json!(n), Some(10_000)));
    }
    ws.close(None).await.expect("the server reads");
    assert_eq!(next_frame(&mut ws).await, Err(Closed(None)));
}

/// As in the open: what had begun to go out is finished, the rest is thrown away, and the code is told.
#[tokio::test]
async fn a_slow_consumer_is_closed_with_4100() {
    let tls = Tls::start("slow", Clock::system()).await;
    let mut slow = tls.subscriber().await;
    let text = json!({"filler": "x".repeat(10_000)}).to_string();
    while tls.server.apps.metrics().slow_consumers_closed() == 0 {
        tls.server.trigger("room", "e", &text).await;
    }
    let closed = loop {
        match next_frame(&mut slow).await {
            Ok(frame) if frame["event"] == "e" => assert_eq!(data(&frame)["filler"], "x".repeat(10_000)),
            Ok(frame) => {
                assert_eq!((&frame["event"], &frame["data"]["code"]), (&json!("pusher:error"), &json!(4100)));
            }
            Err(Closed(closed)) => break closed,
        }
    };
    assert_eq!(closed.map(|(code, _)| code), Some(4100));
}

#[tokio::test]
async fn a_stop_tells_every_client_and_ends_tls_in_order() {
    let tls = Tls::start("stop", Clock::system()).await;
    let mut ws = tls.subscriber().await;
    let told = async {
        let why = next_frame(&mut ws).await.expect("an error");
        assert_eq!((&why["event"], &why["data"]["code"]), (&json!("pusher:error"), &json!(4100)));
        let closed = next_frame(&mut ws).await;
        assert!(matches!(closed, Err(Closed(Some((4100, _))))), "{closed:?}");
        // The library answers the close frame; then the server's farewell of TLS comes before its end.
        assert!(ws.next().await.is_none_or(|end| end.is_err()));
        let mut stream = ws.into_inner();
        assert_eq!(stream.read(&mut [0; 16]).await.expect("no end without a farewell"), 0);
    };
    tokio::join!(tls.server.stop(), told);
}

/// Requests go on on one connection; an answer to a request that is refused unread reaches its sender.
#[tokio::test]
async fn requests_are_answered() {
    let tls = Tls::start("requests", Clock::system()).await;
    let mut stream = tls.connect().await.expect("TLS");
    for _ in 0..2 {
        stream.write_all(b"GET /nowhere HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("it reads");
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.expect("an answer");
        assert_eq!(&answer, b"HTTP/1.1 404");
        let mut rest = vec![0; 1024];
        assert!(stream.read(&mut rest).await.expect("the rest") > 0);
    }
    let body = "x".repeat(1_000_000);
    let head = format!("POST /nowhere HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", body.len());
    let (mut reading, mut writing) = tokio::io::split(tls.connect().await.expect("TLS"));
    // The server may end before it has all of that.
    let _ = tokio::join!(writing.write_all(head.as_bytes()), async {
        let mut answer = [0; 12];
        reading.read_exact(&mut answer).await.expect("an answer");
        assert_eq!(&answer, b"HTTP/1.1 404");
    });
}

#[tokio::test]
async fn who_connects_after_a_swap_sees_the_new_certificate_and_the_others_stay() {
    let mut tls = Tls::start("swap", Clock::system()).await;
    let mut early = tls.subscriber().await;
    let (shown, known) = certificate("swapped");
    tls.certificates.replace(shown);
    let expires = tls.certificates.expires().expect("it says").as_secs();
    let metric = format!("tidings_tls_certificate_expiry_timestamp_seconds {expires}\n");
    assert!(tls.server.apps.metrics_text().contains(&metric), "{metric}");
    let error = tls.connect().await.expect_err("its certificate is another");
    assert!(
        error.to_string().contains("UnknownIssuer") || error.to_string().contains("BadSignature"),
        "{error}"
    );
    tls.known = known;
    let mut late = tls.subscriber().await;
    tls.server.trigger("room", "e", "both").await;
    for ws in [&mut early, &mut late] {
        assert_eq!(data(&next_frame(ws).await.expect("an event")), "both");
    }
}

/// Whoever speaks something else is told so in the words of TLS, and the server goes on.
#[tokio::test]
async fn bytes_that_are_no_tls_end_their_connection_only() {
    let tls = Tls::start("rubbish", Clock::system()).await;
    for rubbish in
        [&b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"[..], &[0x16, 3, 1, 0xff, 0xff, 1], &[0; 600]]
    {
        let mut stream = TcpStream::connect(tls.address).await.expect("it listens");
        stream.write_all(rubbish).await.expect("it reads");
        stream.shutdown().await.expect("an end");
        let mut answer = Vec::new();
        timeout(DEADLINE, stream.read_to_end(&mut answer)).await.expect("an end in time").ok();
        assert!(answer.is_empty() || answer[0] == 0x15, "an alert, not {answer:?}");
    }
    tls.subscriber().await;
    assert_eq!(
        rustls::ProtocolVersion::TLSv1_3,
        tls.connect().await.expect("TLS").get_ref().1.protocol_version().expect("one")
    );
}
