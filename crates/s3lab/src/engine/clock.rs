//! Time since the lab's start, by tokio's clock: paused time stands still here too.

use std::sync::OnceLock;
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// The lab's clock. It starts when first read, so a lab may be built before its runtime.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    start: OnceLock<Instant>,
}

impl Clock {
    fn start(&self) -> Instant {
        *self.start.get_or_init(Instant::now)
    }

    pub(crate) fn now(&self) -> Duration {
        let start = self.start();
        Instant::now().saturating_duration_since(start)
    }

    /// A timer for a time since the start.
    pub(crate) fn timer(&self, at: Duration) -> Sleep {
        tokio::time::sleep_until(self.start() + at)
    }

    /// Waits for a time since the start; not at all where it has passed.
    pub(crate) async fn wait_until(&self, at: Duration) {
        if at > self.now() {
            self.timer(at).await;
        }
    }
}
