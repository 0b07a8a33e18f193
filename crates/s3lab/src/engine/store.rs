//! Buckets, objects and uploads in memory. One lock, held for map operations only; bytes are never touched under it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::{Duration, SystemTime};

use crate::rules::checksum;
use crate::rules::multipart::Upload;
use crate::words::{Checksums, Content, Object, RequestKind, StandardHeaders, SyntheticObject};

/// The part size a synthetic object pretends to have been uploaded with.
const SYNTHETIC_PART_BYTES: u64 = 8 << 20;
/// Parts that an upload may have: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html>.
const MOST_PARTS: u64 = 10_000;

/// One bucket.
#[derive(Debug)]
pub(crate) struct Bucket {
    pub(crate) created: SystemTime,
    pub(crate) objects: BTreeMap<String, Arc<Object>>,
    /// By upload id.
    pub(crate) uploads: BTreeMap<String, Upload>,
}

/// Everything stored.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) buckets: BTreeMap<String, Bucket>,
    uploads_started: u64,
    /// Requests so far, by bucket, key and kind.
    asked: HashMap<(String, String, RequestKind), u64>,
    replaced: u64,
}

/// Everything stored, behind its lock.
#[derive(Debug, Default)]
pub(crate) struct Store {
    state: Mutex<State>,
}

/// The system's time in whole seconds, as HTTP dates are.
pub(crate) fn now() -> SystemTime {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs())
}

/// A synthetic object as stored. Its ETag is not an MD5 of the bytes. It looks like that of an upload in 8 MiB parts,
/// or in larger parts if that would exceed S3's 10,000 parts, and `partNumber` finds the same parts.
fn synthetic(object: SyntheticObject, headers: StandardHeaders) -> Object {
    let size = object.size();
    let part_bytes = size.div_ceil(MOST_PARTS).next_multiple_of(1 << 20).max(SYNTHETIC_PART_BYTES);
    let parts = size.div_ceil(part_bytes).max(1);
    Object {
        content: Content::synthetic(object),
        etag: checksum::nominal_etag(&format!("s3lab {} {size}", object.seed()), parts as usize),
        modified: now(),
        headers,
        checksums: Checksums::default(),
        part_ends: (1..=parts).map(|n| (n * part_bytes).min(size)).collect(),
        late_crc64nvme: OnceLock::new(),
    }
}

impl Store {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no code panics while it holds the store")
    }

    /// Counts one more request of that kind for the key; gives how many there were before.
    pub(crate) fn count(&self, kind: RequestKind, bucket: &str, key: &str) -> u64 {
        let mut state = self.lock();
        let count = state.asked.entry((bucket.to_owned(), key.to_owned(), kind)).or_default();
        *count += 1;
        *count - 1
    }

    pub(crate) fn object(&self, bucket: &str, key: &str) -> Option<Arc<Object>> {
        self.lock().buckets.get(bucket)?.objects.get(key).cloned()
    }

    /// Replaces the object, if it exists, by other bytes of the same size with another ETag.
    pub(crate) fn replace(&self, bucket: &str, key: &str) {
        let mut state = self.lock();
        state.replaced += 1;
        let replaced = state.replaced;
        let Some(object) = state.buckets.get_mut(bucket).and_then(|bucket| bucket.objects.get_mut(key)) else { return };
        let seed = SyntheticObject::named(bucket, key, 0).seed().wrapping_add(replaced);
        let other = synthetic(SyntheticObject::new(seed, object.content.len()), object.headers.clone());
        *object = Arc::new(other);
    }
}

impl State {
    /// Makes the bucket; false where it was there.
    pub(crate) fn create_bucket(&mut self, name: &str) -> bool {
        let there = self.buckets.contains_key(name);
        if !there {
            let bucket = Bucket { created: now(), objects: BTreeMap::new(), uploads: BTreeMap::new() };
            self.buckets.insert(name.to_owned(), bucket);
        }
        !there
    }

    pub(crate) fn put_synthetic(&mut self, bucket: &str, key: &str, object: SyntheticObject) -> bool {
        self.put(bucket, key, synthetic(object, StandardHeaders::default()))
    }

    /// Stores the object; false if there is no such bucket.
    pub(crate) fn put(&mut self, bucket: &str, key: &str, object: Object) -> bool {
        let Some(bucket) = self.buckets.get_mut(bucket) else { return false };
        bucket.objects.insert(key.to_owned(), Arc::new(object));
        true
    }

    /// A fresh upload id.
    pub(crate) fn upload_id(&mut self) -> String {
        self.uploads_started += 1;
        format!("upload-{:08}", self.uploads_started)
    }
}
