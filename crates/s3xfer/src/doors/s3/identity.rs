//! Credentials that the server calls expired, though they do not say so themselves, are fetched again.
//!
//! The SDK keeps credentials until the time that came with them. A session that was ended early, a token whose time was
//! told wrongly or a clock that is off make the server refuse them before that. So the cache can be emptied here: the
//! next request then asks the caller's provider, and all that wait share its answer.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_s3::config::{
    ConfigBag, IdentityCache, ResolveCachedIdentity, RuntimeComponents, RuntimeComponentsBuilder, SharedIdentityCache,
};
use aws_sdk_s3::error::BoxError;
use aws_smithy_runtime_api::client::identity::{IdentityFuture, SharedIdentityResolver};
use tokio::time::Instant;

/// New credentials that are refused too are not fetched once more for so long: thousands of downloads may fail by the
/// same expired session, and where credentials come from limits its requests.
const AGAIN_AFTER: Duration = Duration::from_secs(30);

/// A cache in front of the caller's provider. Clones are the same one.
#[derive(Debug, Clone)]
pub(super) struct Identities(Arc<Mutex<Kept>>);

#[derive(Debug)]
struct Kept {
    cache: SharedIdentityCache,
    epoch: Epoch,
    renewed: Option<Instant>,
}

/// Number of times that the cache was emptied. It stands for the keys that a request was signed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Epoch(u64);

impl Identities {
    /// Begins with the caller's own cache, which may hold credentials already.
    pub(super) fn new(cache: Option<SharedIdentityCache>) -> Self {
        let cache = cache.unwrap_or_else(fresh);
        Self(Arc::new(Mutex::new(Kept { cache, epoch: Epoch(0), renewed: None })))
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.kept().epoch
    }

    /// Takes the keys of `epoch` for expired. Returns whether another attempt may get other keys: the cache was
    /// emptied, now or by another request that found the same.
    pub(super) fn renew(&self, epoch: Epoch) -> bool {
        let mut kept = self.kept();
        if kept.epoch != epoch {
            return true;
        }
        if kept.renewed.is_some_and(|at| at.elapsed() < AGAIN_AFTER) {
            return false;
        }
        *kept = Kept { cache: fresh(), epoch: Epoch(epoch.0 + 1), renewed: Some(Instant::now()) };
        true
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cache(&self) -> SharedIdentityCache {
        self.kept().cache.clone()
    }
}

fn fresh() -> SharedIdentityCache {
    IdentityCache::lazy().build()
}

impl ResolveCachedIdentity for Identities {
    fn resolve_cached_identity<'a>(
        &'a self,
        resolver: SharedIdentityResolver,
        components: &'a RuntimeComponents,
        cfg: &'a ConfigBag,
    ) -> IdentityFuture<'a> {
        let cache = self.cache();
        IdentityFuture::new(async move { cache.resolve_cached_identity(resolver, components, cfg).await })
    }

    fn validate_base_client_config(
        &self,
        components: &RuntimeComponentsBuilder,
        cfg: &ConfigBag,
    ) -> Result<(), BoxError> {
        self.cache().validate_base_client_config(components, cfg)
    }

    fn validate_final_config(&self, components: &RuntimeComponents, cfg: &ConfigBag) -> Result<(), BoxError> {
        self.cache().validate_final_config(components, cfg)
    }
}

/// Whether the server says so. S3 says 400 ExpiredToken; other servers, and services behind S3's interface, say it in
/// their own words.
pub(super) fn are_expired(status: u16, code: Option<&str>) -> bool {
    let codes = ["ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"];
    matches!(status, 400 | 401 | 403) && code.is_some_and(|code| codes.contains(&code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_expiry_empties_the_cache_once_for_all_who_find_it() {
        let identities = Identities::new(None);
        let before = identities.epoch();
        assert!(identities.renew(before));
        let after = identities.epoch();
        assert_ne!(before, after);
        // Those that were signed before.
        assert!(identities.renew(before) && identities.renew(before));
        assert_eq!(identities.epoch(), after);
        // The fetched credentials are expired as well.
        assert!(!identities.renew(after));
        tokio::time::advance(AGAIN_AFTER).await;
        assert!(identities.renew(after));
        assert_ne!(identities.epoch(), after);
    }

    #[test]
    fn other_refusals_are_no_expiry() {
        assert!(are_expired(400, Some("ExpiredToken")));
        assert!(
            !are_expired(403, Some("AccessDenied"))
                && !are_expired(400, None)
                && !are_expired(404, Some("ExpiredToken"))
        );
    }
}
