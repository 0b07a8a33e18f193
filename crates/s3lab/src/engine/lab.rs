//! A lab and its builder: its objects, its network, its faults.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::backend::Backend;
use super::counters::Counters;
use super::gate::{Gate, Planned};
use super::store::{self, Store};
use crate::doors;
use crate::rules::checksum::{self, Sums};
use crate::rules::multipart::MIN_PART_BYTES;
use crate::rules::network::Network;
use crate::rules::range;
use crate::words::{
    Algorithm, Checksums, Content, FaultPlan, NetworkProfile, Object, RequestRecord, StandardHeaders, Stats,
    SyntheticObject,
};

/// An S3 in memory with an emulated network and planned faults. Cheap to clone; clones are the same lab.
///
/// Serve it over TCP with [`Server::start`](crate::Server::start), or inside the process with
#[cfg_attr(feature = "sdk", doc = "[`http_client`](Self::http_client).")]
#[cfg_attr(not(feature = "sdk"), doc = "`http_client` (feature `sdk`).")]
/// Both faces share objects, network, faults and counters.
#[derive(Clone)]
pub struct Lab {
    pub(super) gate: Arc<Gate>,
    store: Arc<Store>,
    keys: Arc<Keys>,
}

struct Keys {
    access: String,
    secret: String,
    region: String,
}

impl fmt::Debug for Lab {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lab")
            .field("access_key", &self.keys.access)
            .field("region", &self.keys.region)
            .finish_non_exhaustive()
    }
}

impl Lab {
    /// Begins a lab: no buckets, an unlimited network, no faults, key `s3lab` with secret `s3lab-secret`, `us-east-1`.
    #[must_use]
    pub fn builder() -> LabBuilder {
        LabBuilder::default()
    }

    /// The access key of the one pair that is accepted.
    #[must_use]
    pub fn access_key(&self) -> &str {
        &self.keys.access
    }

    /// The secret of that key. Never in `Debug`, logs or errors.
    #[must_use]
    pub fn secret_key(&self) -> &str {
        &self.keys.secret
    }

    /// The region that the lab reports. Requests signed for another region are accepted, too.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.keys.region
    }

    /// The counters now.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.gate.line.counters.stats()
    }

    /// The last requests, oldest first; [`LabBuilder::keep_requests`] sets their number.
    #[must_use]
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.gate.line.counters.records()
    }

    /// The synthetic object stored there, for the verification of bytes; `None` if there is none.
    #[must_use]
    pub fn synthetic_object(&self, bucket: &str, key: &str) -> Option<SyntheticObject> {
        self.store.object(bucket, key)?.content.as_synthetic()
    }

    /// A copy of the bytes stored there; `None` if there is no object. Meant for small objects.
    #[must_use]
    pub fn object(&self, bucket: &str, key: &str) -> Option<Vec<u8>> {
        Some(self.store.object(bucket, key)?.content.slices(1 << 20).flatten().collect())
    }

    /// The ETag of the object, without its quotes.
    #[must_use]
    pub fn etag(&self, bucket: &str, key: &str) -> Option<String> {
        Some(self.store.object(bucket, key)?.etag.clone())
    }

    /// Removes the objects of a bucket whose keys begin with `prefix`, without a request; their number.
    pub fn remove(&self, bucket: &str, prefix: &str) -> usize {
        let mut state = self.store.lock();
        let Some(bucket) = state.buckets.get_mut(bucket) else { return 0 };
        let before = bucket.objects.len();
        bucket.objects.retain(|key, _| !key.starts_with(prefix));
        before - bucket.objects.len()
    }

    /// The ids of the multipart uploads in progress in a bucket, for instance those that a killed client left behind.
    #[must_use]
    pub fn uploads(&self, bucket: &str) -> Vec<String> {
        self.store.lock().buckets.get(bucket).map(|bucket| bucket.uploads.keys().cloned().collect()).unwrap_or_default()
    }
}

/// Why a lab was not built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// S3 does not allow this bucket name.
    #[error(
        "bucket name {name:?} is not 3 to 63 lower-case letters, digits, dots and hyphens that begin and end with a letter or digit"
    )]
    BucketName {
        /// The name.
        name: String,
    },
    /// S3 does not allow this key.
    #[error("key of {bytes} bytes is outside 1 to 1024")]
    Key {
        /// Its length.
        bytes: usize,
    },
    /// An object is to be stored in a bucket the lab does not have.
    #[error(
        "object {key:?} is to be in bucket {bucket:?}, which the lab does not have; name it with .bucket({bucket:?})"
    )]
    NoBucket {
        /// The bucket.
        bucket: String,
        /// The object's key.
        key: String,
    },
    /// A synthetic object is larger than the protocol can state.
    #[error("object {key:?} of {size} bytes is larger than {max}")]
    Size {
        /// The object's key.
        key: String,
        /// Its size.
        size: u64,
        /// The most there can be.
        max: u64,
    },
    /// Access key, secret or region is empty, or holds a character that cannot be signed.
    #[error("{what} must be printable ASCII without spaces, slashes in keys aside, and not empty")]
    Credentials {
        /// The setting's name.
        what: &'static str,
    },
}

enum Stored {
    Memory(Bytes),
    Synthetic(SyntheticObject),
}

/// Builds a [`Lab`].
pub struct LabBuilder {
    access_key: String,
    secret_key: String,
    region: String,
    allow_anonymous: bool,
    buckets: Vec<String>,
    objects: Vec<(String, String, Stored)>,
    network: NetworkProfile,
    faults: FaultPlan,
    keep_requests: usize,
    min_part_bytes: u64,
}

impl Default for LabBuilder {
    fn default() -> Self {
        Self {
            access_key: "s3lab".to_owned(),
            secret_key: "s3lab-secret".to_owned(),
            region: "us-east-1".to_owned(),
            allow_anonymous: false,
            buckets: Vec::new(),
            objects: Vec::new(),
            network: NetworkProfile::unlimited(),
            faults: FaultPlan::none(),
            keep_requests: 4096,
            min_part_bytes: MIN_PART_BYTES,
        }
    }
}

impl fmt::Debug for LabBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("LabBuilder");
        out.field("access_key", &self.access_key).field("region", &self.region).field("buckets", &self.buckets);
        out.field("network", &self.network).field("faults", &self.faults).finish_non_exhaustive()
    }
}

fn is_bucket_name(name: &str) -> bool {
    let edge = |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let bytes = name.as_bytes();
    (3..=63).contains(&bytes.len())
        && edge(bytes.first())
        && edge(bytes.last())
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'.' || *b == b'-')
        && !name.contains("..")
        && name.parse::<std::net::Ipv4Addr>().is_err()
}

fn in_memory(bytes: Bytes) -> Object {
    let content = Content::memory(bytes);
    let sums = Sums::of(&content, [Algorithm::Crc64Nvme]);
    let values = sums.sums.iter().map(|(algorithm, sum)| (*algorithm, checksum::base64(sum))).collect();
    Object {
        etag: sums.etag(),
        content,
        modified: store::now(),
        headers: StandardHeaders::default(),
        checksums: Checksums { values, composite: false },
        part_ends: Vec::new(),
        late_crc64nvme: std::sync::OnceLock::new(),
    }
}

impl LabBuilder {
    /// The one pair of keys that is accepted.
    #[must_use]
    pub fn credentials(mut self, access_key: impl Into<String>, secret_key: impl Into<String>) -> Self {
        (self.access_key, self.secret_key) = (access_key.into(), secret_key.into());
        self
    }

    /// The region that buckets report.
    #[must_use]
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.region = region.into();
        self
    }

    /// Accepts unsigned requests as well. A wrong signature is still refused.
    #[must_use]
    pub fn allow_anonymous(mut self, allow: bool) -> Self {
        self.allow_anonymous = allow;
        self
    }

    /// A bucket that exists from the start.
    #[must_use]
    pub fn bucket(mut self, name: impl Into<String>) -> Self {
        self.buckets.push(name.into());
        self
    }

    /// An object held in memory.
    #[must_use]
    pub fn object(mut self, bucket: impl Into<String>, key: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
        self.objects.push((bucket.into(), key.into(), Stored::Memory(bytes.into())));
        self
    }

    /// An object of `size` bytes that costs no memory: [`SyntheticObject::named`].
    ///
    /// Its ETag looks like that of an upload in 8 MiB parts, its checksum is a CRC64NVME of the whole, computed when
    /// first asked for.
    #[must_use]
    pub fn synthetic(mut self, bucket: impl Into<String>, key: impl Into<String>, size: u64) -> Self {
        let (bucket, key) = (bucket.into(), key.into());
        let object = SyntheticObject::named(&bucket, &key, size);
        self.objects.push((bucket, key, Stored::Synthetic(object)));
        self
    }

    /// Sets the network's behaviour.
    #[must_use]
    pub fn network(mut self, profile: NetworkProfile) -> Self {
        self.network = profile;
        self
    }

    /// Sets the planned faults.
    #[must_use]
    pub fn faults(mut self, plan: FaultPlan) -> Self {
        self.faults = plan;
        self
    }

    /// Sets the number of requests that [`Lab::requests`] remembers; 4096 by default.
    #[must_use]
    pub fn keep_requests(mut self, most: usize) -> Self {
        self.keep_requests = most;
        self
    }

    /// The least size of every part of an upload but the last, in bytes; S3's 5 MiB unless set. Lower it to test
    /// many parts with few bytes.
    #[must_use]
    pub fn min_part_size(mut self, bytes: u64) -> Self {
        self.min_part_bytes = bytes;
        self
    }

    /// Builds the lab. Needs no runtime, and starts nothing.
    ///
    /// # Errors
    ///
    /// S3 would refuse a name, key, size or credential.
    pub fn build(self) -> Result<Lab, BuildError> {
        let printable = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
        for (what, text) in
            [("access key", &self.access_key), ("secret key", &self.secret_key), ("region", &self.region)]
        {
            // A slash in an access key or region would split the signature's scope.
            if !printable(text) || (what != "secret key" && text.contains(['/', ','])) {
                return Err(BuildError::Credentials { what });
            }
        }
        let store = Arc::new(Store::default());
        {
            let mut state = store.lock();
            for name in self.buckets {
                if !is_bucket_name(&name) {
                    return Err(BuildError::BucketName { name });
                }
                state.create_bucket(&name);
            }
            for (bucket, key, stored) in self.objects {
                if !(1..=1024).contains(&key.len()) {
                    return Err(BuildError::Key { bytes: key.len() });
                }
                let there = match stored {
                    Stored::Memory(bytes) => state.put(&bucket, &key, in_memory(bytes)),
                    Stored::Synthetic(object) => {
                        // Sizes are signed in the protocol, and read as doubles by clients in JavaScript.
                        let max = 1 << 53;
                        if object.size() > max {
                            return Err(BuildError::Size { key, size: object.size(), max });
                        }
                        state.put_synthetic(&bucket, &key, object)
                    }
                };
                if !there {
                    return Err(BuildError::NoBucket { bucket, key });
                }
            }
        }
        let counters = Arc::new(Counters::new(self.keep_requests));
        let faults = Arc::new(self.faults);
        let backend = Backend {
            store: store.clone(),
            counters: counters.clone(),
            faults: faults.clone(),
            region: self.region.as_str().into(),
            min_part_bytes: self.min_part_bytes,
        };
        let service =
            doors::s3::service(backend, &self.access_key, &self.secret_key, self.allow_anonymous, range::header);
        let planned = Planned { faults, store: store.clone() };
        let gate = Arc::new(Gate::new(counters, Network::new(&self.network), service, planned));
        let keys = Keys { access: self.access_key, secret: self.secret_key, region: self.region };
        Ok(Lab { gate, store, keys: Arc::new(keys) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_s3_would_not_take_is_refused() {
        for name in ["ab", "Upper", "-a-", "a..b", "127.0.0.1", "under_score"] {
            let error = Lab::builder().bucket(name).build().unwrap_err();
            assert!(matches!(error, BuildError::BucketName { .. }), "{name}");
        }
        let error = Lab::builder().object("lab", "k", "x").build().unwrap_err();
        assert!(error.to_string().contains("name it with .bucket(\"lab\")"));
        let error = Lab::builder().bucket("lab").object("lab", "", "x").build().unwrap_err();
        assert_eq!(error, BuildError::Key { bytes: 0 });
        let error = Lab::builder().credentials("", "x").build().unwrap_err();
        assert_eq!(error, BuildError::Credentials { what: "access key" });
        assert!(Lab::builder().bucket("lab").synthetic("lab", "k", u64::MAX).build().is_err());
    }

    #[test]
    fn the_secret_is_in_no_debug_output() {
        let builder = Lab::builder().credentials("key", "hidden-word");
        assert!(!format!("{builder:?}").contains("hidden-word"));
        let lab = builder.build().expect("valid");
        assert!(!format!("{lab:?}").contains("hidden-word"));
    }
}
