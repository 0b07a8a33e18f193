//! [`TransferReport`]: the figures of a finished transfer, and the values of its configuration that took effect.

use std::time::{Duration, SystemTime};

use crate::words::checksum::Integrity;
use crate::words::config::TransferConfig;
use crate::words::timeline::Moment;
use crate::words::verdict::Verdict;

/// The course and the results of a finished download, upload or copy.
///
/// Figures of the other direction are 0: an upload writes no file, a download chooses no version. The configuration is
/// reported as it was asked for; the figures beside it show its effect on this object: a transfer of three parts
/// cannot use ten connections, and the report is where a tuner sees that.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TransferReport {
    /// Bytes that were wanted, all of them delivered: to the target of a download, to the server by an upload, from one
    /// object into the other by a copy.
    pub bytes: u64,
    /// Bytes that an earlier attempt had left behind and that were not fetched again; `bytes` includes them.
    pub resumed_bytes: u64,
    /// Bytes of the whole object.
    pub object_bytes: u64,
    /// From the call to the renamed file, to the last byte, or to the server's word that the object is there.
    pub elapsed: Duration,
    /// The ETag every part of a download was pinned to, or the new object's; `None` where the server gives none.
    pub e_tag: Option<String>,
    /// The time of the last change of the file that a downloaded object was made of, where its uploader has kept it
    /// with the object, as metadata `mtime`: rclone does, and
    /// [`FolderUpload::keep_times`](crate::FolderUpload::keep_times).
    pub modified: Option<SystemTime>,
    /// The version that an upload or a copy has made, where the bucket keeps versions.
    pub version_id: Option<String>,
    /// Whether the bytes were compared with the object's checksum: by this program for a download, by this program and
    /// the server for an upload.
    pub integrity: Integrity,
    /// Parts the wanted bytes were cut into; 0 for none. An upload or a copy of one part was a single request.
    pub parts: u64,
    /// Bytes of the largest part of an upload or a copy: the effect of `multipart_chunksize` within S3's limits (5 MiB
    /// to 5 GiB, at most 10,000 parts); 0 for a download.
    pub part_bytes: u64,
    /// Requests sent for the object's bytes, with the retried ones: GETs of a download, PUTs of an upload or a copy.
    pub requests: u64,
    /// Requests that were sent because an earlier one had failed; `requests` includes them.
    pub retries: u64,
    /// Requests that were sent for bytes whose first request was late. The slower one of the two was given up: by a
    /// download before its body, so that no byte came twice; by an upload wherever it was, so that bytes of the part
    /// went twice.
    pub second_requests: u64,
    /// Parts of a download that were cut off where they were, and whose end was fetched by other requests: it would
    /// have come too late, there were too many requests, or the connection was far slower than the others. Parts of a
    /// stream are cut off in the last case only.
    pub splits: u64,
    /// Most requests that could be in flight: the effect of `max_concurrency` within the memory limit and the process's
    /// limit on open files.
    pub most_requests: u32,
    /// Most parts of this transfer in flight at one moment, those that wait to try again included.
    pub peak_requests: u32,
    /// Most bytes that the buffers of all transfers under these limits were admitted for at one moment.
    pub peak_memory_bytes: u64,
    /// Most pieces that waited for the disk at one moment: the effect of `max_io_queue`.
    pub peak_io_queue: u32,
    /// Positional writes made.
    pub writes: u64,
    /// Bytes of the largest of them: the effect of `io_chunksize`.
    pub largest_write_bytes: u64,
    /// The waits of the parts.
    pub waits: Waits,
    /// The limit of the transfer, with the measurements that show it.
    pub verdict: Verdict,
    /// The transfer's course, where it was [asked for](crate::Download::timeline); else empty.
    pub timeline: Vec<Moment>,
    /// The configuration as asked for.
    pub config: TransferConfig,
}

/// For how long the parts of a transfer waited, summed over all of them: of a hundred parts in flight for a second, the
/// sums come to a hundred seconds. The largest one shows the transfer's bottleneck.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Waits {
    /// For the server and the network: answers to begin, and bytes to come.
    pub network: Duration,
    /// For the bandwidth limit.
    pub bandwidth: Duration,
    /// The wait for the receiver of the bytes: the disk, a slow reader, room in memory.
    pub sink: Duration,
    /// Between a failed request and the next one.
    pub retry: Duration,
}

impl TransferReport {
    /// Mean rate over [`elapsed`](Self::elapsed), in bytes per second.
    #[must_use]
    pub fn bytes_per_second(&self) -> f64 {
        self.bytes as f64 / self.elapsed.as_secs_f64()
    }
}
