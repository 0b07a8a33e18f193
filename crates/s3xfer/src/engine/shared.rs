//! [`Shared`]: what a client gives each of its transfers.

use std::sync::Arc;

use crate::doors::s3::Store;
use crate::engine::limits::Limits;
use crate::words::config::{TransferConfig, TransferOptions};

/// Connections, limits and configuration. Clones share the connections and the limits.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) config: TransferConfig,
    pub(crate) limits: Arc<Limits>,
}

impl Shared {
    /// Under `config`.
    pub(crate) fn new(store: Store, config: TransferConfig) -> Self {
        Self { store, limits: Limits::new(&config), config }
    }

    /// The same connections under another configuration, with limits of its own.
    pub(crate) fn with_config(self, config: TransferConfig) -> Self {
        let store = match config.connect_timeout() == self.config.connect_timeout() {
            true => self.store,
            false => self.store.with_connect_timeout(config.connect_timeout()),
        };
        Self::new(store, config)
    }

    /// The same connections and limits with other options.
    pub(crate) fn with_options(self, options: TransferOptions) -> Self {
        Self { config: self.config.with_options(options), ..self }
    }
}
