//! The patience with slow clients: [`Stall`], and the door's reaction to it at each place.
//!
//! Time is tokio's, so that tests pause it. The waits are generous: a slow client is served, and one that is gone, or
//! never meant to ask, does not keep its socket and its memory.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// For a whole head: from when the connection opens, or from the end of the answer before it. So idle connections are
/// closed after as long. Clients know that from S3, which closes them after some seconds, and ask again on a new one.
pub(crate) const HEAD: Duration = Duration::from_secs(30);
/// Between two pieces of a body that is sent. S3 tells such clients `RequestTimeout`.
pub(crate) const UPLOAD: Duration = Duration::from_secs(30);
/// For a client to take more of its answer. Longer, because clients that read ahead stop reading for as long as their
/// own readers like, and this server is for tests of such clients.
pub(crate) const ANSWER: Duration = Duration::from_secs(300);
/// The wait for bytes that a client still sends when it has its answer. Closed at once, the kernel would answer that
/// with a reset, which takes the answer away from a client that has not read it yet.
pub(crate) const LINGER: Duration = Duration::from_secs(10);

/// Ends a wait in which nothing has moved for `limit`.
///
/// One timer for all the waits of a connection: it is set when the first one begins, and again only when it goes off
/// too early for the current one.
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

    /// To be asked whenever nothing moves; ready once that has been so for too long.
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
