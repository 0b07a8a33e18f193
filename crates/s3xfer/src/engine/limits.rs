//! What all transfers of a client share: request permits and bandwidth.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep};

use crate::rules::pace::Pacer;
use crate::words::config::TransferConfig;

/// Shared by every transfer that runs under one configuration of one client.
#[derive(Debug)]
pub(crate) struct Limits {
    permits: Arc<Semaphore>,
    pacer: Option<Mutex<Pacer>>,
    zero: Instant,
}

impl Limits {
    pub(crate) fn new(config: &TransferConfig) -> Arc<Self> {
        let requests = if config.use_threads() { config.max_concurrency() } else { 1 };
        Arc::new(Self {
            permits: Arc::new(Semaphore::new((requests as usize).min(Semaphore::MAX_PERMITS))),
            pacer: config.max_bandwidth().map(|rate| Mutex::new(Pacer::new(rate))),
            zero: Instant::now(),
        })
    }

    /// Waits for the right to have one more request in flight. First come, first served.
    pub(crate) async fn permit(&self) -> OwnedSemaphorePermit {
        self.permits.clone().acquire_owned().await.expect("the semaphore is never closed")
    }

    /// Waits until `bytes` more fit under the bandwidth limit.
    pub(crate) async fn pace(&self, bytes: u64) {
        let Some(pacer) = &self.pacer else { return };
        let wait = pacer.lock().unwrap_or_else(PoisonError::into_inner).admit(self.zero.elapsed(), bytes);
        if !wait.is_zero() {
            sleep(wait).await;
        }
    }
}
