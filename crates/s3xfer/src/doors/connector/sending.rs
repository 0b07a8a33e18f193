//! Requests with bodies that are written without the SDK: the pieces of a body go to the socket as they become ready,
//! without a copy unless there is TLS.
//!
//! Such a request is sent once. Whether it may be sent again is for the engine to say, because the server may have
//! carried it out without an answer. A server may also refuse a request before it has all of the body, and take no more
//! of it: the refusal counts, and its connection is not used again. Dropped at any await, the connection is closed.

use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use aws_smithy_runtime_api::client::result::ConnectorError;
use bytes::Bytes;
use http::Method;
use http_body::Body;

use super::stream::Connection;
use super::{
    CONNECT_TIMEOUT, Direct, ExchangeError, Exchanged, HEAD_BYTES, Open, Route, Timeouts, broken, head, in_time,
    read_head,
};

impl Direct {
    /// Sends a request with a body, once. `headers` are lines, those of the host and of the body's length among them.
    ///
    /// # Errors
    ///
    /// As the SDK has them of its client.
    pub(crate) async fn send_body<B>(
        &self,
        route: &Route,
        method: &Method,
        (target, headers): (&str, &str),
        body: B,
        timeouts: Timeouts,
    ) -> Result<Exchanged, ConnectorError>
    where
        B: Body<Data = Bytes> + Unpin + Send,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let (shared, origin) = (&self.shared, &route.origin);
        let head = head::written(method, target, headers);
        let answered = async {
            let mut connection = match shared.pool.take(origin) {
                Some(used_before) => used_before,
                None => match shared.connection(origin, timeouts.connect.unwrap_or(CONNECT_TIMEOUT)).await? {
                    Open::New(connection) | Open::UsedBefore(connection) => connection,
                },
            };
            let Written { all, answer } = write(&mut connection, method, &head, body).await?;
            let (mut head, early) = read_head(&mut connection, method, answer).await?;
            if !all && head.status.is_success() {
                return Err(ExchangeError::TooSoon(head.status));
            }
            // The rest of the body would be taken for the next request.
            head.keep_alive &= all;
            shared.answered(connection, (head, early), origin)
        };
        in_time(timeouts.read, answered).await.map_err(ExchangeError::into)
    }
}

/// A request that needs no more writing.
struct Written {
    /// Whether all of it was written.
    all: bool,
    /// The beginning of the answer, if it has arrived before the request's end.
    answer: Vec<u8>,
}

/// Writes a request, or as much of it as the server takes before it answers.
async fn write<B>(connection: &mut Connection, method: &Method, head: &[u8], body: B) -> Result<Written, ExchangeError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let (mut head, mut body, mut piece, mut at_end) = (head, body, Bytes::new(), false);
    let (mut answer, mut failed) = (Vec::new(), None);
    let all = poll_fn(|cx| {
        'writing: while failed.is_none() {
            while piece.is_empty() && !at_end {
                at_end = body.is_end_stream();
                if at_end {
                    break;
                }
                match Pin::new(&mut body).poll_frame(cx) {
                    Poll::Ready(Some(Ok(frame))) => piece = frame.into_data().unwrap_or_default(),
                    Poll::Ready(Some(Err(cause))) => return Poll::Ready(Err(ExchangeError::Body(cause.into()))),
                    Poll::Ready(None) => at_end = true,
                    Poll::Pending => {
                        // Neither the head nor bytes that TLS still holds wait for it, and the server may have
                        // answered.
                        if let Poll::Ready(Err(cause)) = connection.poll_send(cx, &mut head, &mut Bytes::new()) {
                            failed = Some(cause);
                        }
                        break 'writing;
                    }
                }
            }
            match connection.poll_send(cx, &mut head, &mut piece) {
                Poll::Ready(Ok(())) if at_end || body.is_end_stream() => return Poll::Ready(Ok(true)),
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(cause)) => failed = Some(cause),
                Poll::Pending => break,
            }
        }
        // If the server takes no more, it may have answered. A socket that failed becomes readable: its end is read
        // after an answer that came before.
        match poll_answer(connection, cx, method, &mut answer) {
            Poll::Ready(Err(ExchangeError::Unanswered(cause))) => {
                Poll::Ready(Err(ExchangeError::Unanswered(failed.take().unwrap_or(cause))))
            }
            answered => answered.map_ok(|()| false),
        }
    });
    let all = all.await?;
    Ok(Written { all, answer })
}

/// Ready once the final head is in `answer`.
fn poll_answer(
    connection: &mut Connection,
    cx: &mut Context<'_>,
    method: &Method,
    answer: &mut Vec<u8>,
) -> Poll<Result<(), ExchangeError>> {
    loop {
        let filled = answer.len();
        answer.resize(filled + HEAD_BYTES, 0);
        let read = connection.poll_read(cx, &mut answer[filled..]);
        answer.truncate(filled + if let Poll::Ready(Ok(read)) = &read { *read } else { 0 });
        match read {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(0)) if filled == 0 => {
                return Poll::Ready(Err(ExchangeError::Unanswered(io::ErrorKind::UnexpectedEof.into())));
            }
            Poll::Ready(Ok(0)) => return Poll::Ready(Err(ExchangeError::HeadCut)),
            Poll::Ready(Ok(_)) if head::parse(answer, method)?.is_some() => return Poll::Ready(Ok(())),
            Poll::Ready(Ok(_)) => {}
            Poll::Ready(Err(cause)) => return Poll::Ready(Err(broken(cause, answer))),
        }
    }
}
