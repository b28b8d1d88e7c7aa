//! Where a server is, and how to speak HTTP with it.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Uri, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, runtime, time::timeout};

use super::error::CliError;
use crate::ServerConfig;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const REPLY_TIMEOUT: Duration = Duration::from_secs(15);

/// A server's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// A name or an address; of version 6 in brackets.
    host: String,
    port: u16,
}

/// Why a text is no address of a server.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TargetError {
    /// Encrypted.
    #[error("TLS is not spoken here; give the plain address that the server itself listens on")]
    Tls,
    /// Anything else.
    #[error("write it as http://127.0.0.1:6001")]
    Form,
}

/// What a server answered.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: String,
}

impl Target {
    /// Where a server of this configuration is reached from this machine.
    pub(super) fn of(server: &ServerConfig) -> Self {
        let host = match server.host {
            IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(address) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            address => address,
        };
        Target {
            host: if host.is_ipv6() { format!("[{host}]") } else { host.to_string() },
            port: server.port,
        }
    }

    /// The host as clients are told it.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) async fn connect(&self) -> Result<TcpStream, CliError> {
        let address = (self.host.trim_matches(['[', ']']), self.port);
        match timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
            Ok(connected) => connected.map_err(|error| self.unreachable(error)),
            Err(_) => Err(self.unreachable("no answer")),
        }
    }

    /// Posts JSON. A reply of whatever status is a reply.
    pub(super) async fn post(&self, path_and_query: &str, body: String) -> Result<Reply, CliError> {
        match timeout(REPLY_TIMEOUT, self.exchange(path_and_query, body)).await {
            Ok(reply) => reply,
            Err(_) => Err(self.unreachable("no reply")),
        }
    }

    async fn exchange(&self, path_and_query: &str, body: String) -> Result<Reply, CliError> {
        let stream = self.connect().await?;
        let broken = |error: hyper::Error| self.unreachable(error);
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        tokio::spawn(connection);
        let request = Request::post(path_and_query)
            .header(header::HOST, self.authority())
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .expect("signed paths are printable");
        let reply = sender.send_request(request).await.map_err(broken)?;
        let status = reply.status().as_u16();
        let body = reply.into_body().collect().await.map_err(broken)?.to_bytes();
        Ok(Reply { status, body: String::from_utf8_lossy(&body).into_owned() })
    }

    pub(super) fn unreachable(&self, reason: impl fmt::Display) -> CliError {
        CliError::Unreachable { target: self.clone(), reason: reason.to_string() }
    }

    /// `host:port`.
    pub(super) fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.authority())
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let uri: Uri = text.parse().map_err(|_| TargetError::Form)?;
        match uri.scheme_str() {
            Some("http" | "ws") => {}
            Some("https" | "wss") => return Err(TargetError::Tls),
            _ => return Err(TargetError::Form),
        }
        let is_bare = matches!(uri.path(), "" | "/") && uri.query().is_none();
        let host = uri.host().filter(|host| is_bare && !host.is_empty()).ok_or(TargetError::Form)?;
        let names_port = uri.authority().is_some_and(|authority| authority.as_str().len() > host.len());
        let port = if names_port { uri.port_u16().ok_or(TargetError::Form)? } else { 80 };
        Ok(Target { host: host.to_owned(), port })
    }
}

/// Runs a client's work on this thread.
pub(super) fn block_on<T>(work: impl Future<Output = Result<T, CliError>>) -> Result<T, CliError> {
    runtime::Builder::new_current_thread().enable_all().build().map_err(CliError::Runtime)?.block_on(work)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&str, TargetError>) {
        assert_eq!(
            text.parse::<Target>().map(|target| target.to_string()),
            expected.map(str::to_owned),
            "{text}"
        );
    }

    #[test]
    fn reads_addresses() {
        check("http://127.0.0.1:6001", Ok("http://127.0.0.1:6001"));
        check("http://127.0.0.1:6001/", Ok("http://127.0.0.1:6001"));
        check("ws://example.com", Ok("http://example.com:80"));
        check("http://[::1]:6001", Ok("http://[::1]:6001"));
        check("https://example.com", Err(TargetError::Tls));
        check("wss://example.com", Err(TargetError::Tls));
        for bad in ["", "127.0.0.1:6001", "ftp://a", "http://", "http://a/app", "http://a/?b", "http://a b"] {
            check(bad, Err(TargetError::Form));
        }
    }

    #[test]
    fn is_reached_on_this_machine_where_it_listens_everywhere() {
        let check = |host: &str, expected| {
            let host = host.parse().expect("address");
            let server = ServerConfig { host, port: 1, activity_timeout: Duration::from_secs(1) };
            assert_eq!(Target::of(&server).to_string(), expected);
        };
        check("0.0.0.0", "http://127.0.0.1:1");
        check("::", "http://[::1]:1");
        check("10.0.0.1", "http://10.0.0.1:1");
    }
}
