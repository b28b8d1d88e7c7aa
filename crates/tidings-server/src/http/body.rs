//! The body of an answer.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use http_body_util::Full;
use hyper::body::{self, Bytes, Frame, SizeHint};

use crate::ws::session::Receiver;

/// One that is there, or one that comes with time.
#[derive(Debug)]
pub(crate) enum Body {
    Whole(Full<Bytes>),
    Receiver(Receiver),
}

impl Body {
    pub(super) fn whole(bytes: impl Into<Bytes>) -> Self {
        Body::Whole(Full::new(bytes.into()))
    }

    /// How many bytes are there.
    pub(super) fn len(&self) -> usize {
        let there = body::Body::size_hint(self).lower();
        usize::try_from(there).expect("it is in memory")
    }
}

impl Default for Body {
    fn default() -> Self {
        Body::Whole(Full::default())
    }
}

impl body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Body::Whole(whole) => Pin::new(whole).poll_frame(cx),
            Body::Receiver(receiver) => Pin::new(receiver).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Body::Whole(whole) => whole.is_end_stream(),
            Body::Receiver(receiver) => receiver.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Body::Whole(whole) => whole.size_hint(),
            Body::Receiver(receiver) => receiver.size_hint(),
        }
    }
}
