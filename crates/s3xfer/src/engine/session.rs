//! [`Session`]: what every request of one transfer needs, in whatever direction the bytes go.

use std::sync::Arc;

use tokio::time::Instant;

use crate::doors::s3::Store;
use crate::engine::counters::Counters;
use crate::engine::limits::Limits;
use crate::engine::shared::Shared;
use crate::rules::floor::Floor;
use crate::rules::retry::Attempts;
use crate::words::config::TransferConfig;

/// One transfer's way to the server, its limits and its counters.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) store: Store,
    pub(crate) config: TransferConfig,
    pub(crate) limits: Arc<Limits>,
    pub(crate) counters: Counters,
    pub(crate) started: Instant,
}

impl Session {
    /// Begins now.
    pub(crate) fn new(shared: Shared) -> Self {
        let Shared { store, config, limits, .. } = shared;
        Self { store, config, limits, counters: Counters::default(), started: Instant::now() }
    }

    /// The attempts that one part, or one question, may take.
    pub(crate) fn attempts(&self) -> Attempts {
        Attempts::new(self.config.num_download_attempts(), self.config.patience(), self.floor())
    }

    /// The lowest rate that is borne.
    pub(crate) fn floor(&self) -> Floor {
        Floor { bytes_per_second: self.config.min_bytes_per_second(), window: self.config.min_rate_window() }
    }
}
