//! [`TransferReport`]: the figures of a finished transfer, and the values of its configuration that took effect.

use std::time::{Duration, SystemTime};

use crate::words::checksum::Integrity;
use crate::words::config::TransferConfig;
use crate::words::timeline::Moment;
use crate::words::verdict::Verdict;

/// The course and the results of a finished download, upload or copy.
///
/// Figures of the other direction are 0: an upload writes no file, a download makes no version. The configuration is
/// reported as requested, and the other figures show its effect on this object. For example, a transfer of three parts
/// cannot use ten connections, and a tuner sees that here.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TransferReport {
    /// The transferred bytes: from an object to the target, from the source to the server, or from one object to the
    /// other.
    pub bytes: u64,
    /// Bytes that were kept from an earlier attempt and not transferred again; `bytes` includes them.
    pub resumed_bytes: u64,
    /// Bytes of the whole object.
    pub object_bytes: u64,
    /// From the call to the renamed file, to the last byte, or to the server's answer that the object is there.
    pub elapsed: Duration,
    /// The ETag every part of a download was pinned to, or the new object's; `None` where the server gives none.
    pub e_tag: Option<String>,
    /// The time of the last change of the file from which a downloaded object was made, if its uploader stored it as
    /// metadata `mtime`, as rclone and [`FolderUpload::keep_times`](crate::FolderUpload::keep_times) do.
    pub modified: Option<SystemTime>,
    /// The version that an upload or a copy has made, if the bucket keeps versions.
    pub version_id: Option<String>,
    /// Whether the bytes were compared with the object's checksum: by this program for a download, by this program and
    /// the server for an upload.
    pub integrity: Integrity,
    /// Number of parts; 0 for no bytes. An upload or a copy of one part was a single request.
    pub parts: u64,
    /// Bytes of the largest part of an upload or a copy: the effect of `multipart_chunksize` within S3's limits (5 MiB
    /// to 5 GiB, at most 10,000 parts); 0 for a download.
    pub part_bytes: u64,
    /// Requests sent for the object's bytes, retries included: GETs of a download, PUTs of an upload or a copy.
    pub requests: u64,
    /// Requests that were sent because an earlier one had failed; `requests` includes them.
    pub retries: u64,
    /// Second requests for bytes with a late first request. The slower request was abandoned: by a download before its
    /// body, so no byte came twice; by an upload at any point, so bytes of the part may have been sent twice.
    pub second_requests: u64,
    /// Parts of a download that were cut off, and their ends fetched by other requests: the end would have come too
    /// late, there were too many requests, or the connection was far slower than the others. Parts of a stream are cut
    /// off only in the last case.
    pub splits: u64,
    /// Most requests that could be in flight: the effect of `max_concurrency` within the memory limit and the process's
    /// limit on open files.
    pub most_requests: u32,
    /// Most parts of this transfer in flight at one moment, including those that wait for a retry.
    pub peak_requests: u32,
    /// Most bytes at one moment in the buffers of all transfers that share these limits.
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
    /// The transfer's course, if it was [requested](crate::Download::timeline); otherwise empty.
    pub timeline: Vec<Moment>,
    /// The configuration as requested.
    pub config: TransferConfig,
}

/// The waiting times of a transfer's parts, summed over all parts: for a hundred parts in flight for a second, the sums
/// add up to a hundred seconds. The largest sum shows the transfer's bottleneck.
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
