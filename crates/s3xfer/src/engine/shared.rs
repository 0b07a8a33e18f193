//! [`Shared`]: the parts of a client that all its transfers use.

use std::sync::Arc;
use std::time::Duration;

use crate::doors::s3::Store;
use crate::engine::limits::Limits;
use crate::engine::memory::TransferMemory;
use crate::words::config::{TransferConfig, TransferOptions};

/// Connections, limits, memory and configuration. Clones share the connections, the limits and the memory.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) config: TransferConfig,
    pub(crate) limits: Arc<Limits>,
    pub(crate) memory: TransferMemory,
    /// The period of the course that is kept of a transfer; `None`: none is.
    pub(crate) timeline: Option<Duration>,
}

impl Shared {
    /// Under `config`.
    pub(crate) fn new(store: Store, config: TransferConfig) -> Self {
        Self { store, limits: Limits::new(&config), config, memory: TransferMemory::default(), timeline: None }
    }

    /// The same connections under another configuration, with limits of its own.
    pub(crate) fn with_config(self, config: TransferConfig) -> Self {
        let store = match config.connect_timeout() == self.config.connect_timeout() {
            true => self.store,
            false => self.store.with_connect_timeout(config.connect_timeout()),
        };
        Self { memory: self.memory, ..Self::new(store, config) }
    }

    /// The same connections and limits with other options.
    pub(crate) fn with_options(self, options: TransferOptions) -> Self {
        Self { config: self.config.with_options(options), ..self }
    }
}
