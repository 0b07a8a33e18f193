//! [`Hosts`]: the connections to the host that a bucket's GETs go to.
//!
//! An answer past the SDK says how many there are. One that the SDK hands over does not, so the host of its request is
//! kept.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_sdk_s3::config::interceptors::{BeforeSerializationInterceptorContextRef, BeforeTransmitInterceptorContextRef};
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;

use super::origin::Bucket;
use crate::doors::connector::{self, Count};
use crate::words::connections::Connections;

/// A program that goes through more buckets than this finds their hosts out again, instead of growing for ever.
const MOST_BUCKETS: usize = 1000;

/// The host of the newest GET that the SDK has sent, for each bucket. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Hosts {
    connector: connector::Direct,
    known: Arc<Mutex<HashMap<String, Arc<Count>>>>,
}

impl Hosts {
    pub(super) fn new(connector: connector::Direct) -> Self {
        Self { connector, known: Arc::default() }
    }

    /// The connections to the host of `bucket`; `None` before the first one was open.
    pub(super) fn connections(&self, bucket: &str) -> Option<Connections> {
        self.known().get(bucket)?.seen()
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Arc<Count>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Intercept for Hosts {
    fn name(&self) -> &'static str {
        "Hosts"
    }

    fn read_before_execution(
        &self,
        context: &BeforeSerializationInterceptorContextRef<'_>,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(bucket) = Bucket::of(context) {
            cfg.interceptor_state().store_put(bucket);
        }
        Ok(())
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let Some(Bucket(bucket)) = cfg.load::<Bucket>() else { return Ok(()) };
        if let Some(count) = self.connector.count(context.request().uri()) {
            let mut known = self.known();
            if known.len() >= MOST_BUCKETS && !known.contains_key(bucket) {
                known.clear();
            }
            known.insert(bucket.clone(), count);
        }
        Ok(())
    }
}
