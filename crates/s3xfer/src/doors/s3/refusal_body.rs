//! Bodies of answers that refuse: the beginning of them, for that is where S3's error code is.
//!
//! The SDK reads such a body to its end before it tells the status, and a server may send one that has no end. The rest
//! stays unread, and its connection is not used again.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use aws_sdk_s3::config::interceptors::BeforeDeserializationInterceptorContextMut;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http_body::{Body, Frame};

/// S3's own have a few hundred bytes, a proxy's page a few thousand.
const MOST_BYTES: usize = 64 << 10;

/// Cuts the body of every answer that is no success behind [`MOST_BYTES`].
#[derive(Debug)]
pub(super) struct RefusalsAreShort;

impl Intercept for RefusalsAreShort {
    fn name(&self) -> &'static str {
        "RefusalsAreShort"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let response = context.response_mut();
        if !response.status().is_success() {
            let body = response.take_body();
            *response.body_mut() = SdkBody::from_body_1_x(Beginning { body: Some(body), left: MOST_BYTES });
        }
        Ok(())
    }
}

/// The first bytes of a body, as if there were no more.
struct Beginning {
    /// `None` once they are all read: dropped then, not when the answer is.
    body: Option<SdkBody>,
    left: usize,
}

impl Body for Beginning {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = match ready!(Pin::new(body).poll_frame(cx)) {
            Some(Ok(frame)) => frame,
            ended => return Poll::Ready(ended),
        };
        let Ok(mut bytes) = frame.into_data() else { return Poll::Ready(None) };
        bytes.truncate(self.left);
        self.left -= bytes.len();
        if self.left == 0 {
            self.body = None;
        }
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }
}
