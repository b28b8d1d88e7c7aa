//! A guarded HTTP client: it connects to addresses that may be reached and to no others, follows no redirect, waits for
//! no longer and reads no more than it must.

use std::{
    error::Error,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
    vec,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Request, StatusCode, Uri, header};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{
        Client as HyperClient,
        connect::{HttpConnector, dns::Name},
    },
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{CertificateError, ClientConfig};
use tokio::time::{Instant, timeout_at};
use tower_service::Service;

use crate::{Settings, network, network::Network};

/// A connection that nothing was sent on for so long is closed.
const IDLE: Duration = Duration::from_secs(30);
/// So much of an answer is read, to use its connection again.
const ANSWER_MAX: usize = 64 * 1024;

/// Sends requests.
#[derive(Clone)]
pub(crate) struct Client {
    hyper: HyperClient<HttpsConnector<HttpConnector<Resolver>>, Full<Bytes>>,
    allow: Arc<[Network]>,
    timeout: Duration,
}

/// Why a request was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PostError {
    /// Its address may not be reached.
    #[error("{0}")]
    Forbidden(#[from] Forbidden),
    /// Nobody answers there, or not in HTTP.
    #[error("{0}")]
    Unreachable(String),
    /// Nobody who is believed vouches for its certificate.
    #[error("no authority that is believed has signed its certificate; `[outbound]` `ca` names more")]
    Untrusted,
    /// No answer in time.
    #[error("no answer within {} ms", .0.as_millis())]
    Late(Duration),
    /// Another answer than 2xx.
    #[error("it answered with status {status}")]
    Status {
        /// Which.
        status: StatusCode,
        /// What it says of when to come back.
        retry_after: Option<String>,
    },
}

/// An address that deliveries must not go to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no public address, and no network of [outbound] allow has it")]
pub(crate) struct Forbidden(IpAddr);

impl Client {
    pub(crate) fn new(settings: &Settings, tls: ClientConfig) -> Self {
        let allow: Arc<[Network]> = settings.allow.as_slice().into();
        let mut http = HttpConnector::new_with_resolver(Resolver { allow: allow.clone() });
        http.enforce_http(false);
        http.set_nodelay(true);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        let hyper = HyperClient::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .build(connector);
        Client { hyper, allow, timeout: settings.timeout }
    }

    /// Sends the request; it is taken if that is answered with 2xx.
    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Result<(), PostError> {
        // What stands as an address is not resolved.
        if let Some(address) = address(request.uri()) {
            check(address, &self.allow)?;
        }
        let deadline = Instant::now() + self.timeout;
        let answer = timeout_at(deadline, self.hyper.request(request)).await;
        let answer = answer.map_err(|_| PostError::Late(self.timeout))?.map_err(|error| cause(&error))?;
        let status = answer.status();
        let retry_after = answer.headers().get(header::RETRY_AFTER);
        let retry_after = retry_after.and_then(|value| value.to_str().ok()).map(str::to_owned);
        // The status has said all. What follows is read so that the connection can be used again, if it is little and
        // comes in time; else the next request has another.
        let _ = timeout_at(deadline, Limited::new(answer.into_body(), ANSWER_MAX).collect()).await;
        if status.is_success() { Ok(()) } else { Err(PostError::Status { status, retry_after }) }
    }
}

/// The address that stands as the host.
pub(crate) fn address(uri: &Uri) -> Option<IpAddr> {
    uri.host()?.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// What lies at the bottom of an error: the client's own words say little.
fn cause(error: &(dyn Error + 'static)) -> PostError {
    let mut cause = error;
    loop {
        if let Some(forbidden) = cause.downcast_ref::<Forbidden>() {
            return forbidden.clone().into();
        }
        // An authority that only has the name of one that is believed makes signatures that are bad.
        if let Some(rustls::Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        )) = cause.downcast_ref()
        {
            return PostError::Untrusted;
        }
        // An I/O error does not give what it wraps as its source.
        let wrapped = cause.downcast_ref::<io::Error>().and_then(|error| error.get_ref());
        match wrapped.map(|error| error as &(dyn Error + 'static)).or_else(|| cause.source()) {
            Some(source) => cause = source,
            None => return PostError::Unreachable(cause.to_string()),
        }
    }
}

fn check(address: IpAddr, allow: &[Network]) -> Result<(), Forbidden> {
    if network::may_reach(address, allow) { Ok(()) } else { Err(Forbidden(address)) }
}

/// Resolves names to the addresses that may be reached; the connection is made to one of these very addresses.
#[derive(Clone)]
struct Resolver {
    allow: Arc<[Network]>,
}

impl Resolver {
    async fn resolve(self, name: Name) -> io::Result<vec::IntoIter<SocketAddr>> {
        let (mut found, mut forbidden) = (Vec::new(), None);
        for address in tokio::net::lookup_host((name.as_str(), 0)).await? {
            match check(address.ip(), &self.allow) {
                Ok(()) => found.push(address),
                Err(error) => forbidden = Some(error),
            }
        }
        match forbidden {
            Some(error) if found.is_empty() => Err(io::Error::other(error)),
            _ => Ok(found.into_iter()),
        }
    }
}

impl Service<Name> for Resolver {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        Box::pin(self.clone().resolve(name))
    }
}
