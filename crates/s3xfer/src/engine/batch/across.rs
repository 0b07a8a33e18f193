//! [`PrefixCopy`]: a copy of a prefix to another one, by the server.

use std::fmt;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::settings::settings;
use super::side::{self, MOST_KEYS, Seen, Side, What};
use super::up::checked;
use super::{Direction, Settings, same};
use crate::engine::copy::Copy;
use crate::engine::shared::Shared;
use crate::rules::names::as_folder;
use crate::words::batch::{BatchError, BatchReport, ItemError};
use crate::words::batch_progress::BatchProgress;
use crate::words::listing::ListRequest;
use crate::words::object::ObjectAddress;

/// A copy, by the server, of all objects below a prefix to below another one;
/// [`Client::copy_prefix`](crate::Client::copy_prefix) makes it, and awaiting it runs it.
///
/// Keys keep everything after the prefix. An object with the prefix itself as its key is left out if the target is a
/// whole bucket. Each object appears whole, or not at all.
///
/// # Errors
///
/// [`BatchError`]: the prefix cannot be listed, or one of the two prefixes is below the other; with
/// [`OnFailure::Stop`](crate::OnFailure::Stop), an object failed.
#[must_use = "a copy does nothing until it is awaited"]
pub struct PrefixCopy {
    settings: Settings,
    source: (String, String),
    target: (String, String),
    per_object: Option<PerObject>,
}

type PerObject = Arc<dyn Fn(Copy) -> Copy + Send + Sync>;

settings!(PrefixCopy);

impl fmt::Debug for PrefixCopy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("PrefixCopy");
        out.field("source", &self.source).field("target", &self.target).field("settings", &self.settings);
        out.finish_non_exhaustive()
    }
}

impl PrefixCopy {
    pub(crate) fn new(shared: Shared, source: (String, &str), target: (String, &str)) -> Self {
        let (source, target) = ((source.0, as_folder(source.1)), (target.0, as_folder(target.1)));
        Self { settings: Settings::new(shared), source, target, per_object: None }
    }

    /// Changes each copy before it begins: its storage class, its encryption, a condition.
    pub fn per_object(mut self, change: impl Fn(Copy) -> Copy + Send + Sync + 'static) -> Self {
        self.per_object = Some(Arc::new(change));
        self
    }

    async fn run(self) -> Result<BatchReport, BatchError> {
        let Self { settings, source, target, per_object } = self;
        if source.0 == target.0 && (source.1.starts_with(&target.1) || target.1.starts_with(&source.1)) {
            let shown = |(bucket, prefix): &(String, String)| format!("s3://{bucket}/{prefix}");
            let error = ItemError::Overlap { source_prefix: shown(&source), target_prefix: shown(&target) };
            return Err(BatchError { error, report: Box::default() });
        }
        let (shared, progress) = (settings.shared.clone(), settings.progress.clone());
        let ordered = settings.sync.is_some() || settings.delete;
        // The owner is the target's.
        let source = ListRequest { expected_bucket_owner: None, ..settings.listing(source.0, source.1) };
        let target = settings.listing(target.0, target.1);
        let place = Arc::new(Place { shared, progress, source, target, per_object });
        super::run(Across { place, ordered }, settings).await
    }
}

struct Across {
    place: Arc<Place>,
    ordered: bool,
}

struct Place {
    shared: Shared,
    progress: BatchProgress,
    source: ListRequest,
    target: ListRequest,
    per_object: Option<PerObject>,
}

impl Direction for Across {
    fn source(&self) -> Side {
        side::of_prefix(&self.place.shared, self.place.source.clone(), self.ordered)
    }

    fn target(&self) -> Side {
        side::of_prefix(&self.place.shared, self.place.target.clone(), true)
    }

    fn has_folder(&self) -> bool {
        false
    }

    fn leaves_out(&self, name: &str) -> bool {
        name.is_empty() && self.place.target.prefix.is_empty()
    }

    fn admit(&mut self, seen: &Seen, _: u64) -> Result<(), ItemError> {
        checked(address(&self.place.target, &seen.name))
    }

    fn transfer(&self, seen: Seen) -> BoxFuture<'static, Result<u64, ItemError>> {
        let place = self.place.clone();
        async move { place.transfer(&seen.name).await }.boxed()
    }

    fn same(&self, source: &Seen, target: &Seen) -> BoxFuture<'static, Result<bool, ItemError>> {
        let (What::Object { e_tag: one, .. }, What::Object { e_tag: other, .. }) = (&source.what, &target.what) else {
            return async { Ok(false) }.boxed();
        };
        let (place, name) = (self.place.clone(), source.name.clone());
        let (one, other) = (one.clone(), other.clone());
        async move {
            let one = (&place.source, address(&place.source, &name), one);
            same::objects(&place.shared, one, (&place.target, address(&place.target, &name), other)).await
        }
        .boxed()
    }

    fn delete(&self, names: Vec<String>) -> BoxFuture<'static, Vec<(String, Result<(), ItemError>)>> {
        side::delete(self.place.shared.clone(), self.place.target.clone(), names).boxed()
    }

    fn deleted_at_once(&self) -> usize {
        MOST_KEYS
    }
}

impl Place {
    async fn transfer(&self, name: &str) -> Result<u64, ItemError> {
        let (source, target) = (address(&self.source, name), address(&self.target, name));
        let mut copy = Copy::new(self.shared.clone(), source, target).progress(self.progress.bytes());
        if self.target.request_payer {
            copy = copy.request_payer();
        }
        if let Some(owner) = &self.target.expected_bucket_owner {
            copy = copy.expected_bucket_owner(owner);
        }
        if let Some(change) = &self.per_object {
            copy = change(copy);
        }
        Ok(copy.await?.bytes)
    }
}

fn address(asked: &ListRequest, name: &str) -> ObjectAddress {
    ObjectAddress { bucket: asked.bucket.clone(), key: format!("{}{name}", asked.prefix) }
}
