//! The body of an answer.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll, ready},
};

use hyper::body::{self, Bytes, Frame, SizeHint};

use crate::ws::session::Receiver;

/// A large body goes in pieces of so many bytes, so that no copy of all of it is made.
const PIECE: usize = 64 * 1024;

/// One that is there, or one that comes with time.
#[derive(Debug)]
pub(crate) enum Body {
    Whole(Bytes),
    Receiver(Receiver),
}

impl Body {
    pub(super) fn whole(bytes: impl Into<Bytes>) -> Self {
        Body::Whole(bytes.into())
    }

    /// How many bytes are there.
    pub(super) fn len(&self) -> usize {
        let there = body::Body::size_hint(self).lower();
        usize::try_from(there).expect("it is in memory")
    }
}

impl Default for Body {
    fn default() -> Self {
        Body::Whole(Bytes::new())
    }
}

impl body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = match self.get_mut() {
            Body::Whole(rest) if rest.is_empty() => None,
            Body::Whole(rest) => Some(rest.split_to(rest.len().min(PIECE))),
            Body::Receiver(receiver) => ready!(receiver.poll_lines(cx)).map(Bytes::from),
        };
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Body::Whole(rest) => rest.is_empty(),
            Body::Receiver(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Body::Whole(rest) => SizeHint::with_exact(rest.len() as u64),
            Body::Receiver(_) => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use hyper::body::Body as _;

    use super::*;

    #[tokio::test]
    async fn a_large_body_goes_in_pieces() {
        let check = async |len: usize, expected: &[usize]| {
            let bytes: Vec<u8> = (0..=250).cycle().take(len).collect();
            let mut body = Body::whole(bytes.clone());
            assert_eq!(body.size_hint().exact(), Some(len as u64));
            let (mut pieces, mut got) = (Vec::new(), Vec::new());
            while let Some(Ok(frame)) = body.frame().await {
                let piece = frame.into_data().expect("data");
                pieces.push(piece.len());
                got.extend(piece);
            }
            assert_eq!(pieces, expected);
            assert!(got == bytes && body.is_end_stream(), "{len} bytes");
        };
        check(0, &[]).await;
        check(PIECE, &[PIECE]).await;
        check(2 * PIECE + 1, &[PIECE, PIECE, 1]).await;
    }
}
