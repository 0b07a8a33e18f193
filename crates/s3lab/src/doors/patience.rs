//! The patience with slow clients: [`Stall`], and the door's reaction to it at each place.
//!
//! Time is tokio's, so tests can pause it. The limits are generous: a slow client is served, but a client that is gone,
//! or that never sends a request, does not keep its socket and its memory.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// Limit for receiving a whole head, from the opening of the connection or from the end of the answer before. So idle
/// connections are closed after the same time. Clients expect this, because S3 closes idle connections after some
/// seconds.
pub(crate) const HEAD: Duration = Duration::from_secs(30);
/// Limit between two pieces of a body that the client sends. S3 answers such clients `RequestTimeout`.
pub(crate) const UPLOAD: Duration = Duration::from_secs(30);
/// Limit for a client to take more of its answer. It is longer, because a client that reads ahead stops reading for as
/// long as its own reader pauses, and this server is for tests of such clients.
pub(crate) const ANSWER: Duration = Duration::from_secs(300);
/// Limit for reading the bytes that a client still sends after its answer. If the connection were closed at once, the
/// kernel would answer such bytes with a reset, and a client that has not read its answer yet would lose it.
pub(crate) const LINGER: Duration = Duration::from_secs(10);

/// Ends a wait in which nothing has moved for `limit`.
///
/// One timer serves all waits of a connection. It is set when the first wait begins, and again only when it fires too
/// early for the current wait.
#[derive(Debug)]
pub(crate) struct Stall {
    limit: Duration,
    since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Stall {
    pub(crate) fn new(limit: Duration) -> Self {
        Self { limit, since: None, timer: None }
    }

    /// Something moved: the next wait begins at zero.
    pub(crate) fn moved(&mut self) {
        self.since = None;
    }

    /// Must be polled whenever nothing moves. It is ready once nothing has moved for too long.
    pub(crate) fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let over = *self.since.get_or_insert_with(Instant::now) + self.limit;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(over)));
        loop {
            ready!(timer.as_mut().poll(cx));
            if timer.deadline() >= over {
                return Poll::Ready(());
            }
            timer.as_mut().reset(over);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::time::{advance, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_a_wait_without_a_break_is_too_long() {
        let limit = Duration::from_secs(10);
        let mut stall = Stall::new(limit);
        for _ in 0..5 {
            let began = Instant::now();
            let short = timeout(Duration::from_secs(9), poll_fn(|cx| stall.poll_over(cx))).await;
            assert!(short.is_err() && began.elapsed() < limit);
            stall.moved();
        }
        // Nobody was waiting meanwhile.
        advance(Duration::from_secs(60)).await;
        let began = Instant::now();
        poll_fn(|cx| stall.poll_over(cx)).await;
        assert_eq!(began.elapsed(), limit);
    }
}
