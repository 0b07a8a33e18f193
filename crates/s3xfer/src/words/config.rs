//! [`TransferConfig`]: boto3's eight parameters, with its names, defaults, meaning and validation, and a few of our
//! own.
//!
//! Source: boto3 1.43 `TransferConfig` on s3transfer 0.16. Where this engine means something more exact than boto3
//! (it has no threads of its own), the parameter's documentation says so. What a parameter does is in the engine; here
//! it only has a value that is known to be in range.

use std::time::Duration;

use serde::{Deserialize, Serialize};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// Least [`TransferConfig::memory_limit`]: the buffers of one request, and as much again to put pieces together.
pub(crate) const LEAST_MEMORY: u64 = 2 * MIB;
/// A connection that takes longer is lost in a network that drops packets: three retransmissions of a SYN (RFC 6298:
/// after 1, 2 and 4 s) have not helped.
const CONNECT_TIMEOUT_SECONDS: u32 = 8;
/// S3's own slowest answers take a few seconds.
const FIRST_BYTE_TIMEOUT_SECONDS: u32 = 30;
/// The AWS SDKs' own grace period for a body that stands still.
const STALL_TIMEOUT_SECONDS: u32 = 20;
/// S3 scales a prefix up within minutes ("Best practices design patterns: optimizing Amazon S3 performance"), and a
/// server behind a gateway takes about as long to start.
const PATIENCE_SECONDS: u32 = 120;

/// The slowest links that people download over, a satellite telephone's, bring 300 B/s; AWS's SDKs give up below 1 B/s.
const MIN_BYTES_PER_SECOND: u64 = 64;
/// Long enough for a link to come back: three times the stall timeout.
const MIN_RATE_WINDOW_SECONDS: u32 = 60;

/// How a transfer is cut, parallelised, written and limited.
///
/// [`TransferConfig::boto3`] gives boto3's defaults, [`TransferConfig::default`] ours. Every value is checked when the
/// configuration is built, and none is changed afterwards: what took effect on an object is in the
/// [`TransferReport`](crate::TransferReport).
///
/// ```
/// use s3xfer::TransferConfig;
///
/// let config = TransferConfig::builder().max_concurrency(64).multipart_chunksize(16 << 20).build()?;
/// assert_eq!(config.max_concurrency(), 64);
/// assert_eq!(config.io_chunksize(), TransferConfig::default().io_chunksize());
///
/// let error = TransferConfig::builder().io_chunksize(0).build().unwrap_err();
/// assert_eq!(error.to_string(), "io_chunksize is 0, but must be greater than 0");
/// # Ok::<(), s3xfer::ConfigError>(())
/// ```
///
/// It reads and writes as a table of the same names (TOML, JSON, ...); absent names take the default, unknown ones are
/// refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "TransferConfigBuilder")]
pub struct TransferConfig {
    multipart_threshold: u64,
    max_concurrency: u32,
    multipart_chunksize: u64,
    num_download_attempts: u32,
    max_io_queue: u32,
    io_chunksize: u64,
    use_threads: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_bandwidth: Option<u64>,
    // Ours are written only where they were changed: what a file of boto3's eight says does not grow by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_limit: Option<u64>,
    #[serde(skip_serializing_if = "is_connect_timeout")]
    connect_timeout_seconds: u32,
    #[serde(skip_serializing_if = "is_first_byte_timeout")]
    first_byte_timeout_seconds: u32,
    #[serde(skip_serializing_if = "is_stall_timeout")]
    stall_timeout_seconds: u32,
    #[serde(skip_serializing_if = "is_patience")]
    patience_seconds: u32,
    #[serde(skip_serializing_if = "is_min_bytes_per_second")]
    min_bytes_per_second: u64,
    #[serde(skip_serializing_if = "is_min_rate_window")]
    min_rate_window_seconds: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    transfer_timeout_seconds: Option<u32>,
    #[serde(skip_serializing_if = "is_true")]
    validate_checksum: bool,
    #[serde(skip_serializing_if = "is_true")]
    adaptive_concurrency: bool,
}

fn is_connect_timeout(seconds: &u32) -> bool {
    *seconds == CONNECT_TIMEOUT_SECONDS
}

fn is_first_byte_timeout(seconds: &u32) -> bool {
    *seconds == FIRST_BYTE_TIMEOUT_SECONDS
}

fn is_stall_timeout(seconds: &u32) -> bool {
    *seconds == STALL_TIMEOUT_SECONDS
}

fn is_patience(seconds: &u32) -> bool {
    *seconds == PATIENCE_SECONDS
}

fn is_min_bytes_per_second(rate: &u64) -> bool {
    *rate == MIN_BYTES_PER_SECOND
}

fn is_min_rate_window(seconds: &u32) -> bool {
    *seconds == MIN_RATE_WINDOW_SECONDS
}

fn is_true(value: &bool) -> bool {
    *value
}

impl TransferConfig {
    /// boto3's defaults: 10 requests of 8 MiB at a time, pieces of 256 KiB, a queue of 100 pieces, 5 attempts.
    #[must_use]
    pub fn boto3() -> Self {
        Self {
            multipart_threshold: 8 * MIB,
            max_concurrency: 10,
            multipart_chunksize: 8 * MIB,
            num_download_attempts: 5,
            max_io_queue: 100,
            io_chunksize: 256 * KIB,
            use_threads: true,
            max_bandwidth: None,
            memory_limit: None,
            connect_timeout_seconds: CONNECT_TIMEOUT_SECONDS,
            first_byte_timeout_seconds: FIRST_BYTE_TIMEOUT_SECONDS,
            stall_timeout_seconds: STALL_TIMEOUT_SECONDS,
            patience_seconds: PATIENCE_SECONDS,
            min_bytes_per_second: MIN_BYTES_PER_SECOND,
            min_rate_window_seconds: MIN_RATE_WINDOW_SECONDS,
            transfer_timeout_seconds: None,
            validate_checksum: true,
            adaptive_concurrency: false,
        }
    }

    /// Starts from [`TransferConfig::default`].
    #[must_use]
    pub fn builder() -> TransferConfigBuilder {
        TransferConfigBuilder::default()
    }

    /// A builder that holds every value of this configuration, to change some of them.
    #[must_use]
    pub fn to_builder(&self) -> TransferConfigBuilder {
        TransferConfigBuilder {
            multipart_threshold: Some(self.multipart_threshold),
            max_concurrency: Some(self.max_concurrency),
            multipart_chunksize: Some(self.multipart_chunksize),
            num_download_attempts: Some(self.num_download_attempts),
            max_io_queue: Some(self.max_io_queue),
            io_chunksize: Some(self.io_chunksize),
            use_threads: Some(self.use_threads),
            max_bandwidth: self.max_bandwidth,
            memory_limit: self.memory_limit,
            connect_timeout_seconds: Some(self.connect_timeout_seconds),
            first_byte_timeout_seconds: Some(self.first_byte_timeout_seconds),
            stall_timeout_seconds: Some(self.stall_timeout_seconds),
            patience_seconds: Some(self.patience_seconds),
            min_bytes_per_second: Some(self.min_bytes_per_second),
            min_rate_window_seconds: Some(self.min_rate_window_seconds),
            transfer_timeout_seconds: self.transfer_timeout_seconds,
            validate_checksum: Some(self.validate_checksum),
            adaptive_concurrency: Some(self.adaptive_concurrency),
        }
    }

    /// All of it that one transfer may have for itself. The rest belongs to a [`Client`](crate::Client), for all its
    /// transfers together: [`max_concurrency`](Self::max_concurrency), [`max_bandwidth`](Self::max_bandwidth),
    /// [`memory_limit`](Self::memory_limit), [`connect_timeout`](Self::connect_timeout).
    #[must_use]
    pub fn options(&self) -> TransferOptions {
        TransferOptions(self.clone())
    }

    /// The limits of this one, and `options` for the rest.
    pub(crate) fn with_options(&self, options: TransferOptions) -> Self {
        Self {
            max_concurrency: self.max_concurrency,
            max_bandwidth: self.max_bandwidth,
            memory_limit: self.memory_limit,
            connect_timeout_seconds: self.connect_timeout_seconds,
            ..options.0
        }
    }

    /// Objects of at least this many bytes are fetched in parallel parts; smaller ones by one request, or two in turn
    /// if they are larger than [`multipart_chunksize`](Self::multipart_chunksize) (boto3: a HEAD and a GET).
    #[must_use]
    pub fn multipart_threshold(&self) -> u64 {
        self.multipart_threshold
    }

    /// Requests in flight at once, shared by all transfers of a [`Client`](crate::Client). Connections and memory grow
    /// with it. Without effect when [`use_threads`](Self::use_threads) is false.
    #[must_use]
    pub fn max_concurrency(&self) -> u32 {
        self.max_concurrency
    }

    /// Bytes of a part; the last one may be shorter. Smaller parts cost more requests, larger ones leave less to do in
    /// parallel. Used as it is: for downloads neither boto3 nor this engine has a minimum.
    #[must_use]
    pub fn multipart_chunksize(&self) -> u64 {
        self.multipart_chunksize
    }

    /// Total attempts for a part whose *body* breaks off, stalls, comes too slowly or comes short. Requests that are
    /// refused before a body begins (throttling, server errors, no connection) do not count;
    /// [`patience`](Self::patience) bounds these. Unlike boto3, an attempt
    /// resumes where the one before stopped, after a jittered pause.
    #[must_use]
    pub fn num_download_attempts(&self) -> u32 {
        self.num_download_attempts
    }

    /// Pieces, of at most [`io_chunksize`](Self::io_chunksize) each, that may wait for the disk; when as many wait, the
    /// network side of the transfer pauses. Memory for a slow disk grows with the product of the two.
    #[must_use]
    pub fn max_io_queue(&self) -> u32 {
        self.max_io_queue
    }

    /// Most bytes in a piece that is queued for the disk, and so in one positional write. Larger pieces cost fewer
    /// system calls and more memory: every request in flight holds up to one unfinished piece.
    #[must_use]
    pub fn io_chunksize(&self) -> u64 {
        self.io_chunksize
    }

    /// False: one request at a time, written by the task that fetched it; a download to a file spawns nothing then.
    #[must_use]
    pub fn use_threads(&self) -> bool {
        self.use_threads
    }

    /// Bytes per second that all transfers of a [`Client`](crate::Client) may take together; `None` is unlimited.
    #[must_use]
    pub fn max_bandwidth(&self) -> Option<u64> {
        self.max_bandwidth
    }

    /// Most bytes that the buffers of all transfers of a [`Client`](crate::Client) may hold together; at least 2 MiB.
    /// `None`: a quarter of the machine's memory, or of the control group's where that is less.
    ///
    /// It holds whatever the other parameters say. Where it is short, fewer requests are in flight than
    /// [`max_concurrency`](Self::max_concurrency) allows, and pieces are written before they have grown to
    /// [`io_chunksize`](Self::io_chunksize); the [report](crate::TransferReport) says what took effect. However many
    /// parts there are, they take no more memory than those in flight; a download that goes on with an earlier one
    /// reads that one's journal first, some 100 bytes for each part.
    ///
    /// The process grows by no more than this and a few MiB. Not counted are free buffers that the engine's HTTP client
    /// keeps for the next bytes (4 MiB, and while more are in use half as many again), the state of TLS connections,
    /// and what malloc keeps of what was freed; nor the kernel's socket buffers and page cache. Under an HTTP client of
    /// your own (the SDK's, say) a request's buffer is that client's: hyper's grow to 408 KiB, of which 320 KiB are
    /// counted.
    #[must_use]
    pub fn memory_limit(&self) -> Option<u64> {
        self.memory_limit
    }

    /// Longest wait for a connection: name lookup, TCP and TLS handshakes.
    #[must_use]
    pub fn connect_timeout(&self) -> Duration {
        Duration::from_secs(self.connect_timeout_seconds.into())
    }

    /// Longest wait for the beginning of an answer, the connection included.
    #[must_use]
    pub fn first_byte_timeout(&self) -> Duration {
        Duration::from_secs(self.first_byte_timeout_seconds.into())
    }

    /// Longest time in which a body may bring no byte. The clock stands still while the engine itself does not read, be
    /// it for a slow disk, the memory or the bandwidth limit, or a reader that takes its time.
    #[must_use]
    pub fn stall_timeout(&self) -> Duration {
        Duration::from_secs(self.stall_timeout_seconds.into())
    }

    /// Lowest rate of a transfer, in bytes per second, 64 by default; 0 lifts it. Where all parts of a transfer
    /// together bring less than that over [`min_rate_window`](Self::min_rate_window), the body that was waited for is
    /// given up and tried again at its offset, as one of [`num_download_attempts`](Self::num_download_attempts). A
    /// higher one ends a slow server's download sooner; one above what the link can bring ends every download.
    ///
    /// As for [`stall_timeout`](Self::stall_timeout), only time in which the engine waits for the network counts. Other
    /// downloads of the client do not count: where many share a thin link, each has to bring that much.
    #[must_use]
    pub fn min_bytes_per_second(&self) -> u64 {
        self.min_bytes_per_second
    }

    /// How long a body is waited for, in all, before its transfer's rate is compared with
    /// [`min_bytes_per_second`](Self::min_bytes_per_second); 60 s by default. The longer it is, the longer an outage
    /// may last.
    #[must_use]
    pub fn min_rate_window(&self) -> Duration {
        Duration::from_secs(self.min_rate_window_seconds.into())
    }

    /// Longest time for which requests may be turned away without a byte between them: throttled (503, 429), or refused
    /// by a server that fails (500, 502, 504, 408). After it the download is given up; two minutes by default. More of
    /// it outlasts longer storms and tells a broken server later.
    ///
    /// While a part is throttled, bytes that other parts of the same transfer bring count. A server error concerns its
    /// own part alone. No connection, or no answer, counts as an outage only once the server has sent a byte of the
    /// object; before that the address is probably wrong, and five attempts are made, whatever this value is. An
    /// attempt in flight is not broken off, and the pause before the next one is up to 8 s, so the end may come that
    /// much later.
    #[must_use]
    pub fn patience(&self) -> Duration {
        Duration::from_secs(self.patience_seconds.into())
    }

    /// Longest time for a whole transfer, from when it is first polled; `None`, the default, sets no bound on one that
    /// makes progress.
    #[must_use]
    pub fn transfer_timeout(&self) -> Option<Duration> {
        self.transfer_timeout_seconds.map(|seconds| Duration::from_secs(seconds.into()))
    }

    /// Whether the bytes are compared with the checksum that S3 keeps of the whole object, where it keeps one that can
    /// be put together from parts (CRC32, CRC32C, CRC64NVME). Costs a HEAD request for an object of several parts, and
    /// about 3 % of a transfer's CPU time.
    #[must_use]
    pub fn validate_checksum(&self) -> bool {
        self.validate_checksum
    }

    /// Whether fewer than [`max_concurrency`](Self::max_concurrency) requests are kept in flight while it is the
    /// machine that is behind, not the network: more would only cost processor time and memory then. On by default, for
    /// `max_concurrency` says how many there may be at most; a network that is waited for has all of them, above 32
    /// after a few answer times. Small downloads of a client, of one request each, are counted together. The
    /// [report](crate::TransferReport) says both how many there might have been and how many there were. Off in
    /// [`TransferConfig::boto3`], and without effect on streams.
    #[must_use]
    pub fn adaptive_concurrency(&self) -> bool {
        self.adaptive_concurrency
    }
}

/// A [`TransferConfig`] without what all transfers of a [`Client`](crate::Client) share. [`TransferConfig::options`] gives
/// it; [`Download::options`](crate::Download::options) and [`Client::with_options`](crate::Client::with_options) take it.
///
/// It has no memory limit, so that no transfer has one beside its client's by accident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferOptions(TransferConfig);

impl Default for TransferConfig {
    /// boto3's parameters but for three. 32 requests in place of 10: S3 gives one connection about 90 MB/s, so ten of
    /// them do not fill a modern link. 16 waiting pieces in place of 100: a disk that is behind stays behind, and the
    /// pieces only cost memory (3 GiB over loopback came as fast, with 27 MiB in place of 59). And
    /// [`adaptive_concurrency`](Self::adaptive_concurrency).
    fn default() -> Self {
        Self { max_concurrency: 32, max_io_queue: 16, adaptive_concurrency: true, ..Self::boto3() }
    }
}

/// Collects the values of a [`TransferConfig`]; what is not set keeps [`TransferConfig::default`]'s value.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransferConfigBuilder {
    multipart_threshold: Option<u64>,
    #[serde(alias = "max_request_concurrency")]
    max_concurrency: Option<u32>,
    multipart_chunksize: Option<u64>,
    num_download_attempts: Option<u32>,
    #[serde(alias = "max_io_queue_size")]
    max_io_queue: Option<u32>,
    io_chunksize: Option<u64>,
    use_threads: Option<bool>,
    max_bandwidth: Option<u64>,
    memory_limit: Option<u64>,
    connect_timeout_seconds: Option<u32>,
    first_byte_timeout_seconds: Option<u32>,
    stall_timeout_seconds: Option<u32>,
    patience_seconds: Option<u32>,
    min_bytes_per_second: Option<u64>,
    min_rate_window_seconds: Option<u32>,
    transfer_timeout_seconds: Option<u32>,
    validate_checksum: Option<bool>,
    adaptive_concurrency: Option<bool>,
}

macro_rules! setters {
    ($($name:ident: $kind:ty,)*) => {$(
        #[doc = concat!("Sets [`TransferConfig::", stringify!($name), "`].")]
        #[must_use]
        pub fn $name(mut self, value: $kind) -> Self {
            self.$name = Some(value);
            self
        }
    )*};
}

impl TransferConfigBuilder {
    setters! {
        multipart_threshold: u64,
        max_concurrency: u32,
        multipart_chunksize: u64,
        num_download_attempts: u32,
        max_io_queue: u32,
        io_chunksize: u64,
        use_threads: bool,
        min_bytes_per_second: u64,
        validate_checksum: bool,
        adaptive_concurrency: bool,
    }

    /// Sets [`TransferConfig::max_bandwidth`]; `None` lifts it.
    #[must_use]
    pub fn max_bandwidth(mut self, value: impl Into<Option<u64>>) -> Self {
        self.max_bandwidth = value.into();
        self
    }

    /// Sets [`TransferConfig::memory_limit`]; `None` takes the machine's.
    #[must_use]
    pub fn memory_limit(mut self, value: impl Into<Option<u64>>) -> Self {
        self.memory_limit = value.into();
        self
    }

    /// Sets [`TransferConfig::connect_timeout`], in whole seconds.
    #[must_use]
    pub fn connect_timeout_seconds(mut self, value: u32) -> Self {
        self.connect_timeout_seconds = Some(value);
        self
    }

    /// Sets [`TransferConfig::first_byte_timeout`], in whole seconds.
    #[must_use]
    pub fn first_byte_timeout_seconds(mut self, value: u32) -> Self {
        self.first_byte_timeout_seconds = Some(value);
        self
    }

    /// Sets [`TransferConfig::stall_timeout`], in whole seconds.
    #[must_use]
    pub fn stall_timeout_seconds(mut self, value: u32) -> Self {
        self.stall_timeout_seconds = Some(value);
        self
    }

    /// Sets [`TransferConfig::min_rate_window`], in whole seconds.
    #[must_use]
    pub fn min_rate_window_seconds(mut self, value: u32) -> Self {
        self.min_rate_window_seconds = Some(value);
        self
    }

    /// Sets [`TransferConfig::patience`], in whole seconds.
    #[must_use]
    pub fn patience_seconds(mut self, value: u32) -> Self {
        self.patience_seconds = Some(value);
        self
    }

    /// Sets [`TransferConfig::transfer_timeout`], in whole seconds; `None` lifts it.
    #[must_use]
    pub fn transfer_timeout_seconds(mut self, value: impl Into<Option<u32>>) -> Self {
        self.transfer_timeout_seconds = value.into();
        self
    }

    /// Checks the values.
    ///
    /// # Errors
    ///
    /// [`ConfigError::NotPositive`] for the first number that is zero (boto3's rule: every parameter must be greater
    /// than 0); [`ConfigError::MemoryLimit`].
    pub fn build(self) -> Result<TransferConfig, ConfigError> {
        let default = TransferConfig::default();
        let config = TransferConfig {
            multipart_threshold: self.multipart_threshold.unwrap_or(default.multipart_threshold),
            max_concurrency: self.max_concurrency.unwrap_or(default.max_concurrency),
            multipart_chunksize: self.multipart_chunksize.unwrap_or(default.multipart_chunksize),
            num_download_attempts: self.num_download_attempts.unwrap_or(default.num_download_attempts),
            max_io_queue: self.max_io_queue.unwrap_or(default.max_io_queue),
            io_chunksize: self.io_chunksize.unwrap_or(default.io_chunksize),
            use_threads: self.use_threads.unwrap_or(default.use_threads),
            max_bandwidth: self.max_bandwidth,
            memory_limit: self.memory_limit,
            connect_timeout_seconds: self.connect_timeout_seconds.unwrap_or(default.connect_timeout_seconds),
            first_byte_timeout_seconds: self.first_byte_timeout_seconds.unwrap_or(default.first_byte_timeout_seconds),
            stall_timeout_seconds: self.stall_timeout_seconds.unwrap_or(default.stall_timeout_seconds),
            patience_seconds: self.patience_seconds.unwrap_or(default.patience_seconds),
            min_bytes_per_second: self.min_bytes_per_second.unwrap_or(default.min_bytes_per_second),
            min_rate_window_seconds: self.min_rate_window_seconds.unwrap_or(default.min_rate_window_seconds),
            transfer_timeout_seconds: self.transfer_timeout_seconds,
            validate_checksum: self.validate_checksum.unwrap_or(default.validate_checksum),
            adaptive_concurrency: self.adaptive_concurrency.unwrap_or(default.adaptive_concurrency),
        };
        let numbers = [
            ("multipart_threshold", config.multipart_threshold),
            ("max_concurrency", config.max_concurrency.into()),
            ("multipart_chunksize", config.multipart_chunksize),
            ("num_download_attempts", config.num_download_attempts.into()),
            ("max_io_queue", config.max_io_queue.into()),
            ("io_chunksize", config.io_chunksize),
            ("max_bandwidth", config.max_bandwidth.unwrap_or(1)),
            ("memory_limit", config.memory_limit.unwrap_or(1)),
            ("connect_timeout_seconds", config.connect_timeout_seconds.into()),
            ("first_byte_timeout_seconds", config.first_byte_timeout_seconds.into()),
            ("stall_timeout_seconds", config.stall_timeout_seconds.into()),
            ("patience_seconds", config.patience_seconds.into()),
            ("min_rate_window_seconds", config.min_rate_window_seconds.into()),
            ("transfer_timeout_seconds", config.transfer_timeout_seconds.unwrap_or(1).into()),
        ];
        if let Some((parameter, _)) = numbers.into_iter().find(|(_, value)| *value == 0) {
            return Err(ConfigError::NotPositive { parameter });
        }
        match config.memory_limit {
            Some(bytes) if bytes < LEAST_MEMORY => Err(ConfigError::MemoryLimit { bytes, least: LEAST_MEMORY }),
            _ => Ok(config),
        }
    }
}

impl TryFrom<TransferConfigBuilder> for TransferConfig {
    type Error = ConfigError;

    fn try_from(builder: TransferConfigBuilder) -> Result<Self, ConfigError> {
        builder.build()
    }
}

/// Why a [`TransferConfig`] cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A parameter that must be greater than 0 is not.
    #[error("{parameter} is 0, but must be greater than 0")]
    NotPositive {
        /// Its name.
        parameter: &'static str,
    },
    /// The memory limit has no room for one request.
    #[error(
        "memory_limit is {bytes}, but must be at least {least} (2 MiB: one request's buffers, and as much to write from)"
    )]
    MemoryLimit {
        /// As asked for.
        bytes: u64,
        /// The least that will do.
        least: u64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boto3_has_boto3s_defaults() {
        let c = TransferConfig::boto3();
        assert_eq!((c.multipart_threshold(), c.multipart_chunksize()), (8388608, 8388608));
        assert_eq!((c.max_concurrency(), c.num_download_attempts()), (10, 5));
        assert_eq!((c.max_io_queue(), c.io_chunksize()), (100, 262144));
        assert_eq!((c.use_threads(), c.max_bandwidth()), (true, None));
    }

    #[test]
    fn every_number_must_be_greater_than_zero() {
        type Set = fn(TransferConfigBuilder) -> TransferConfigBuilder;
        let zeros: [(&str, Set); 14] = [
            ("multipart_threshold", |b| b.multipart_threshold(0)),
            ("max_concurrency", |b| b.max_concurrency(0)),
            ("multipart_chunksize", |b| b.multipart_chunksize(0)),
            ("num_download_attempts", |b| b.num_download_attempts(0)),
            ("max_io_queue", |b| b.max_io_queue(0)),
            ("io_chunksize", |b| b.io_chunksize(0)),
            ("max_bandwidth", |b| b.max_bandwidth(0)),
            ("memory_limit", |b| b.memory_limit(0)),
            ("connect_timeout_seconds", |b| b.connect_timeout_seconds(0)),
            ("first_byte_timeout_seconds", |b| b.first_byte_timeout_seconds(0)),
            ("stall_timeout_seconds", |b| b.stall_timeout_seconds(0)),
            ("patience_seconds", |b| b.patience_seconds(0)),
            ("min_rate_window_seconds", |b| b.min_rate_window_seconds(0)),
            ("transfer_timeout_seconds", |b| b.transfer_timeout_seconds(0)),
        ];
        for (parameter, zero) in zeros {
            assert_eq!(zero(TransferConfig::builder()).build(), Err(ConfigError::NotPositive { parameter }));
        }
    }

    #[test]
    fn toml_takes_boto3s_names_and_aliases_and_refuses_others() {
        let config: TransferConfig = toml::from_str("max_request_concurrency = 339\nmax_io_queue_size = 122").unwrap();
        assert_eq!((config.max_concurrency(), config.max_io_queue()), (339, 122));
        assert_eq!(config.multipart_chunksize(), 8 * MIB);

        let unknown = toml::from_str::<TransferConfig>("max_threads = 3").unwrap_err().to_string();
        assert!(unknown.contains("max_threads"), "{unknown}");
        let zero = toml::from_str::<TransferConfig>("max_io_queue = 0").unwrap_err().to_string();
        assert!(zero.contains("max_io_queue is 0"), "{zero}");
    }

    #[test]
    fn what_is_written_reads_back() {
        let ours = TransferConfig::builder()
            .memory_limit(LEAST_MEMORY)
            .stall_timeout_seconds(1)
            .patience_seconds(7)
            .validate_checksum(false);
        let all = [
            TransferConfig::boto3(),
            TransferConfig::builder().max_bandwidth(7).build().unwrap(),
            TransferConfig::builder().min_bytes_per_second(0).min_rate_window_seconds(5).build().unwrap(),
            ours.build().unwrap(),
        ];
        for config in all {
            let text = toml::to_string(&config).unwrap();
            assert_eq!(toml::from_str::<TransferConfig>(&text).unwrap(), config, "{text}");
            assert_eq!(config.to_builder().build().unwrap(), config);
        }
        assert_eq!(
            toml::to_string(&TransferConfig::boto3()).unwrap().lines().count(),
            8,
            "boto3's seven, without a bandwidth, and what differs from ours"
        );
    }

    #[test]
    fn a_concurrency_that_is_asked_for_is_adaptive_unless_that_is_turned_off() {
        let of = |text: &str| toml::from_str::<TransferConfig>(text).unwrap().adaptive_concurrency();
        assert!(TransferConfig::default().adaptive_concurrency() && !TransferConfig::boto3().adaptive_concurrency());
        assert!(of("") && of("max_concurrency = 64") && !of("max_concurrency = 64\nadaptive_concurrency = false"));
        let written = toml::to_string(&TransferConfig::default()).unwrap();
        assert_eq!(toml::from_str::<TransferConfig>(&written).unwrap(), TransferConfig::default());
        assert_eq!(written.lines().count(), 7, "ours are written when changed: {written}");
    }

    #[test]
    fn a_memory_limit_below_one_request_is_refused_with_the_bound() {
        let error = TransferConfig::builder().memory_limit(LEAST_MEMORY - 1).build().unwrap_err();
        assert!(error.to_string().contains("2097151") && error.to_string().contains("2097152"), "{error}");
    }
}
