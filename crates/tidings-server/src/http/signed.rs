//! A request that an app has signed.

use std::{sync::Arc, time::Duration};

use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::{
    Request,
    body::{Bytes, Incoming},
    http::request::Parts,
};
use tidings_protocol::{
    App,
    app::Limits,
    auth::request::{self, Query},
};

use super::{Reply, error::HttpError};
use crate::{apps::LiveApp, node::Node};

/// A body has this long to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(15);
/// A body may be this long, or as long as the app's largest batch with every byte escaped, if that is more.
const BODY_MAX: usize = 1024 * 1024;
/// Where an app has no limits, bodies still have one.
const UNLIMITED_BODY_MAX: usize = 64 * 1024 * 1024;

/// A verified request.
pub(super) struct Signed {
    pub(super) live: Arc<LiveApp>,
    /// The app's rules as they were when the request came.
    pub(super) app: Arc<App>,
    pub(super) parts: Parts,
    pub(super) body: Bytes,
}

impl Signed {
    /// Verifies a request whose path names the app.
    pub(super) async fn of_app(node: &Node, id: &str, request: Request<Incoming>) -> Result<Self, HttpError> {
        let live = node.apps.by_id(id).ok_or_else(|| HttpError::UnknownApp(id.to_owned()))?;
        Self::verify(node, live, request).await
    }

    /// Verifies a request whose app is told by its key alone.
    pub(super) async fn of_key(node: &Node, request: Request<Incoming>) -> Result<Self, HttpError> {
        let query = Query::parse(request.uri().query().unwrap_or(""));
        let key = query.value("auth_key").ok_or(request::RequestAuthError::Missing("auth_key"))?;
        let live = node.apps.by_key(key).ok_or(request::RequestAuthError::UnknownKey)?;
        Self::verify(node, live, request).await
    }

    async fn verify(node: &Node, live: Arc<LiveApp>, request: Request<Incoming>) -> Result<Self, HttpError> {
        let app = live.app();
        let (parts, body) = request.into_parts();
        let query = Query::parse(parts.uri.query().unwrap_or(""));
        let head = request::Request {
            method: parts.method.as_str(),
            path: parts.uri.path(),
            query: parts.uri.query().unwrap_or(""),
            body: &[],
        };
        request::check_head(&app.key, &app.secret, head, &query, node.clock.unix().as_secs())?;
        let body = read_body(body, body_max(&app.limits)).await?;
        request::check_body(&query, &body)?;
        if !app.enabled {
            return Err(HttpError::AppDisabled);
        }
        Ok(Signed { live, app, parts, body })
    }

    /// The parameters of the request.
    pub(super) fn query(&self) -> Query<'_> {
        Query::parse(self.parts.uri.query().unwrap_or(""))
    }

    /// Counts a read against the app's limit.
    pub(super) fn count_read(&self, node: &Node) -> Result<(), HttpError> {
        let may = self.live.may_read(self.app.limits.reads_per_second, node.clock.now());
        if may { Ok(()) } else { Err(HttpError::TooManyReads) }
    }

    /// Counts the request as carried out.
    pub(super) fn answered(&self, reply: Reply) -> Reply {
        self.live.api_received.add(1, self.body.len());
        self.live.api_sent.add(1, reply.body().len());
        reply
    }
}

fn body_max(limits: &Limits) -> usize {
    match (limits.event_bytes.max(), limits.events_per_batch.max()) {
        (Some(bytes), Some(events)) => {
            let most = (6 * bytes as usize + 1024).saturating_mul(events as usize);
            most.clamp(BODY_MAX, UNLIMITED_BODY_MAX)
        }
        _ => UNLIMITED_BODY_MAX,
    }
}

/// Reads a body into one piece; one that comes so is not copied.
pub(super) async fn read_body(body: Incoming, max: usize) -> Result<Bytes, HttpError> {
    let mut body = Limited::new(body, max);
    let reading = async {
        let first = next_part(&mut body, max).await?.unwrap_or_default();
        let Some(second) = next_part(&mut body, max).await? else { return Ok(first) };
        let mut whole = [first, second].concat();
        while let Some(more) = next_part(&mut body, max).await? {
            whole.extend_from_slice(&more);
        }
        Ok(whole.into())
    };
    tokio::time::timeout(BODY_TIMEOUT, reading).await.unwrap_or(Err(HttpError::BodyTimeout))
}

async fn next_part(body: &mut Limited<Incoming>, max: usize) -> Result<Option<Bytes>, HttpError> {
    let frame =
        body.frame().await.transpose().map_err(|error| match error.downcast::<LengthLimitError>() {
            Ok(_) => HttpError::BodyTooLarge { max },
            Err(error) => HttpError::Body(error.to_string()),
        })?;
    Ok(frame.map(|frame| frame.into_data().unwrap_or_default()))
}
