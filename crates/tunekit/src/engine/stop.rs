//! `StopHandle`: asks a running tuner, from anywhere, to end.

use tokio::sync::watch;

/// Ends a tuner early, as Ctrl-C would: running trials are cut off and journalled as interrupted. Clones are one
/// handle.
///
/// ```
/// let stop = tunekit::tuner::StopHandle::new();
/// let elsewhere = stop.clone();
/// elsewhere.stop();
/// assert!(stop.is_stopped());
/// ```
#[derive(Debug, Clone)]
pub struct StopHandle {
    stopped: watch::Sender<bool>,
}

impl StopHandle {
    /// A handle that was not used yet.
    pub fn new() -> Self {
        Self { stopped: watch::Sender::new(false) }
    }

    /// Asks to end, for good.
    pub fn stop(&self) {
        self.stopped.send_replace(true);
    }

    /// Whether it was asked to end.
    pub fn is_stopped(&self) -> bool {
        *self.stopped.borrow()
    }

    /// Waits until it is asked to end. Dropping the future forgets the wait and nothing else.
    pub async fn stopped(&self) {
        let mut receiver = self.stopped.subscribe();
        // The sender is alive as long as `self` is, so this ends only when the value is true.
        let _ = receiver.wait_for(|stopped| *stopped).await;
    }
}

impl Default for StopHandle {
    fn default() -> Self {
        Self::new()
    }
}
