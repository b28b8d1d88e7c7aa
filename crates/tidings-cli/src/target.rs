//! Where a server is, and how to speak HTTP with it.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Uri, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, runtime, time::timeout};

use super::error::CliError;
use tidings_server::{
    Stream,
    config::Config,
    tls::{self, ConnectError},
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const REPLY_TIMEOUT: Duration = Duration::from_secs(15);

/// A server's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    security: Security,
    /// A name or an address; of version 6 in brackets.
    host: String,
    port: u16,
}

/// How it is spoken with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Security {
    Plain,
    Tls(Believed),
}

/// Whose certificates are believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Believed {
    /// Those of public authorities.
    Public,
    /// Those of a file, and whom they vouch for.
    Those(PathBuf),
}

/// Why a text is no address of a server.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TargetError {
    /// It is none.
    #[error("write it as http://127.0.0.1:6001 or https://push.example.com")]
    Form,
}

/// What a server answered.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: String,
}

impl Target {
    /// Where a server of this configuration is reached from this machine.
    pub(super) fn of(config: &Config) -> Self {
        let host = match config.server.host {
            IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(address) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            address => address,
        };
        let security = match &config.tls {
            Some(tls) if tls.port.is_none() => Security::Tls(Believed::Those(tls.cert().to_owned())),
            _ => Security::Plain,
        };
        Target {
            security,
            host: if host.is_ipv6() { format!("[{host}]") } else { host.to_string() },
            port: config.server.port,
        }
    }

    /// The one that was given, or that of the configuration; with a file, its certificates are believed.
    ///
    /// # Errors
    /// [`CliError::CaWithoutTls`] for a file where no certificate is shown.
    pub(super) fn choose(
        given: Option<Self>,
        ca: Option<PathBuf>,
        config: &Config,
    ) -> Result<Self, CliError> {
        let target = given.unwrap_or_else(|| Self::of(config));
        match (&target.security, ca) {
            (_, None) => Ok(target),
            (Security::Plain, Some(_)) => Err(CliError::CaWithoutTls { target }),
            (Security::Tls(_), Some(ca)) => {
                Ok(Target { security: Security::Tls(Believed::Those(ca)), ..target })
            }
        }
    }

    /// The same at the port that was taken.
    pub(super) fn at(self, port: u16) -> Self {
        Target { port, ..self }
    }

    pub(super) fn is_tls(&self) -> bool {
        matches!(self.security, Security::Tls(_))
    }

    /// The file of the certificates that are believed.
    pub(super) fn ca(&self) -> Option<&Path> {
        match &self.security {
            Security::Tls(Believed::Those(file)) => Some(file),
            Security::Tls(Believed::Public) | Security::Plain => None,
        }
    }

    /// The host as clients are told it.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) async fn connect(&self) -> Result<Stream, CliError> {
        match timeout(CONNECT_TIMEOUT, self.open()).await {
            Ok(connected) => connected,
            Err(_) => Err(self.unreachable("no answer")),
        }
    }

    async fn open(&self) -> Result<Stream, CliError> {
        let address = (self.host.trim_matches(['[', ']']), self.port);
        let tcp = TcpStream::connect(address).await.map_err(|error| self.unreachable(error))?;
        if !self.is_tls() {
            return Ok(Stream::Plain(tcp));
        }
        tls::connect(tcp, &self.host, self.ca()).await.map_err(|error| match error {
            ConnectError::Known(error) => CliError::Ca(error),
            ConnectError::Plain => CliError::SpeaksPlain { target: self.clone() },
            error => CliError::NoTls { target: self.clone(), reason: error.to_string() },
        })
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
        let broken = |error: hyper::Error| {
            if error.is_parse() { self.no_http() } else { self.unreachable(error) }
        };
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

    /// What it answers is not HTTP.
    pub(super) fn no_http(&self) -> CliError {
        CliError::NoHttp { target: self.clone() }
    }

    /// `host:port`.
    pub(super) fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls() { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority())
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let uri: Uri = text.parse().map_err(|_| TargetError::Form)?;
        let (security, default_port) = match uri.scheme_str() {
            Some("http" | "ws") => (Security::Plain, 80),
            Some("https" | "wss") => (Security::Tls(Believed::Public), 443),
            _ => return Err(TargetError::Form),
        };
        let is_bare = matches!(uri.path(), "" | "/") && uri.query().is_none();
        let host = uri.host().filter(|host| is_bare && !host.is_empty()).ok_or(TargetError::Form)?;
        let names_port = uri.authority().is_some_and(|authority| authority.as_str().len() > host.len());
        let port = if names_port { uri.port_u16().ok_or(TargetError::Form)? } else { default_port };
        Ok(Target { security, host: host.to_owned(), port })
    }
}

/// Runs a client's work on this thread.
pub(super) fn block_on<T>(work: impl Future<Output = Result<T, CliError>>) -> Result<T, CliError> {
    runtime::Builder::new_current_thread().enable_all().build().map_err(CliError::Runtime)?.block_on(work)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidings_server::config::{Environment, Flags, Layer};

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
        check("https://example.com", Ok("https://example.com:443"));
        check("wss://example.com:6443", Ok("https://example.com:6443"));
        for bad in ["", "127.0.0.1:6001", "ftp://a", "http://", "http://a/app", "http://a/?b", "http://a b"] {
            check(bad, Err(TargetError::Form));
        }
    }

    #[test]
    fn is_reached_on_this_machine_where_it_listens_everywhere() {
        let check = |host: &str, expected| {
            let host = Some(host.parse().expect("address"));
            let server = Layer { host, port: Some(1), ..Layer::default() };
            let loaded = Config::load(&Flags { config: None, server }, &Environment::default());
            assert_eq!(Target::of(&loaded.expect("a configuration").config).to_string(), expected);
        };
        check("0.0.0.0", "http://127.0.0.1:1");
        check("::", "http://[::1]:1");
        check("10.0.0.1", "http://10.0.0.1:1");
    }
}
