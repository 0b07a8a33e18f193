//! [`TransferConfig`]: boto3's eight parameters, with its names, defaults, meaning and validation, and a few of our
//! own.
//!
//! Source: boto3 1.43 `TransferConfig` on s3transfer 0.16. If a parameter is more exact here than in boto3 (this engine
//! has no threads of its own), its documentation says so. The engine gives a parameter its effect; this file only
//! checks its range.
//!
//! A parameter is one row of the table below. The configuration, its builder, its text form, the checks and
//! [`TransferConfig::parameters`] are generated from the table.

use std::time::Duration;

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

use crate::words::parameter::{Parameter, ParameterValue, Unit};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// Least [`TransferConfig::memory_limit`]: the buffers of one request, and as much again to put pieces together.
pub(crate) const LEAST_MEMORY: u64 = 2 * MIB;
/// If a connection takes longer, the network drops its packets: three retransmissions of a SYN (RFC 6298: after 1, 2
/// and 4 s) have not helped.
const CONNECT_TIMEOUT_SECONDS: u32 = 8;
/// S3's own slowest answers take a few seconds.
const FIRST_BYTE_TIMEOUT_SECONDS: u32 = 30;
/// The AWS SDKs' own grace period for a stalled body.
const STALL_TIMEOUT_SECONDS: u32 = 20;
/// S3 scales a prefix up within minutes ("Best practices design patterns: optimizing Amazon S3 performance"), and a
/// server behind a gateway takes about as long to start.
const PATIENCE_SECONDS: u32 = 120;

/// The slowest links that people download over, a satellite telephone's, bring 300 B/s; AWS's SDKs give up below 1 B/s.
const MIN_BYTES_PER_SECOND: u64 = 64;
/// Long enough for a link to come back: three times the stall timeout.
const MIN_RATE_WINDOW_SECONDS: u32 = 60;

/// The origin of a parameter. s3xfer's own parameters are written only if they differ from the default, so that a file
/// with boto3's eight does not grow.
#[derive(PartialEq, Eq)]
enum Origin {
    Boto3,
    Ours,
}

/// A value of a configuration: a required or an optional one.
trait Stored: Copy + PartialEq {
    type Given;

    /// The value that was given to the builder, if one was.
    fn of(given: Option<Self::Given>, default: Self) -> Self;

    /// The value that a builder would be given.
    fn given(self) -> Option<Self::Given>;

    fn value(self) -> Option<ParameterValue>;

    /// `None` if it is not a number.
    fn number(self) -> Option<u64> {
        match self.value()? {
            ParameterValue::Number(number) => Some(number),
            ParameterValue::Switch(_) => None,
        }
    }
}

macro_rules! always_there {
    ($($type:ty: $value:expr;)*) => {$(
        impl Stored for $type {
            type Given = Self;

            fn of(given: Option<Self>, default: Self) -> Self {
                given.unwrap_or(default)
            }

            fn given(self) -> Option<Self> {
                Some(self)
            }

            fn value(self) -> Option<ParameterValue> {
                Some($value(self))
            }
        }
    )*};
}

always_there! {
    u64: ParameterValue::Number;
    u32: |value| ParameterValue::Number(u64::from(value));
    bool: ParameterValue::Switch;
}

impl<T: Stored> Stored for Option<T> {
    type Given = T;

    fn of(given: Option<T>, _: Self) -> Self {
        given
    }

    fn given(self) -> Option<T> {
        self
    }

    fn value(self) -> Option<ParameterValue> {
        self?.value()
    }
}

macro_rules! stored {
    (optional $type:ty) => { Option<$type> };
    (optional_seconds $type:ty) => { Option<$type> };
    ($kind:ident $type:ty) => { $type };
}

macro_rules! getter {
    (seconds $getter:ident $field:ident $type:ty, $(#[$doc:meta])*) => {
        $(#[$doc])*
        #[must_use]
        pub fn $getter(&self) -> Duration {
            Duration::from_secs(self.$field.into())
        }
    };
    (optional_seconds $getter:ident $field:ident $type:ty, $(#[$doc:meta])*) => {
        $(#[$doc])*
        #[must_use]
        pub fn $getter(&self) -> Option<Duration> {
            self.$field.map(|seconds| Duration::from_secs(seconds.into()))
        }
    };
    ($kind:ident $getter:ident $field:ident $type:ty, $(#[$doc:meta])*) => {
        $(#[$doc])*
        #[must_use]
        pub fn $getter(&self) -> stored!($kind $type) {
            self.$field
        }
    };
}

macro_rules! setter {
    (plain $getter:ident $field:ident $type:ty) => {
        setter!($field, $type, concat!("Sets [`TransferConfig::", stringify!($getter), "`]."));
    };
    (seconds $getter:ident $field:ident $type:ty) => {
        setter!($field, $type, concat!("Sets [`TransferConfig::", stringify!($getter), "`], in whole seconds."));
    };
    (optional $getter:ident $field:ident $type:ty) => {
        setter!(
            $field,
            impl Into<Option<$type>>,
            concat!("Sets [`TransferConfig::", stringify!($getter), "`]; `None` is as if it were not set.")
        );
    };
    (optional_seconds $getter:ident $field:ident $type:ty) => {
        setter!(
            $field,
            impl Into<Option<$type>>,
            concat!("Sets [`TransferConfig::", stringify!($getter), "`], in whole seconds; `None` lifts it.")
        );
    };
    ($field:ident, $type:ty, $doc:expr) => {
        #[doc = $doc]
        #[must_use]
        pub fn $field(mut self, value: $type) -> Self {
            self.$field = value.into();
            self
        }
    };
}

macro_rules! parameters {
    ($(
        $(#[$doc:meta])*
        $getter:ident: $kind:ident $field:ident: $type:ty $(| $alias:literal)?,
        $meaning:literal, $unit:ident, least $least:expr, $origin:ident, boto3 $boto3:expr, default $default:expr;
    )*) => {
        /// The configuration of transfers: part sizes, parallelism, writing, limits.
        ///
        /// [`TransferConfig::boto3`] gives boto3's defaults, [`TransferConfig::default`] ours. Every value is checked
        /// when the configuration is built, and none is changed afterwards. The values that took effect in a transfer
        /// are in its [`TransferReport`](crate::TransferReport).
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
        /// It reads and writes as a table of the same names (TOML, JSON, ...); absent names take the default, unknown
        /// ones are refused.
        #[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
        #[serde(try_from = "TransferConfigBuilder")]
        pub struct TransferConfig {
            $($field: stored!($kind $type),)*
        }

        /// Collects the values of a [`TransferConfig`]. A value that is not set keeps the default of
        /// [`TransferConfig::default`].
        #[derive(Debug, Clone, Default, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct TransferConfigBuilder {
            $($(#[serde(alias = $alias)])? $field: Option<$type>,)*
        }

        impl TransferConfig {
            /// boto3's defaults: 10 requests of 8 MiB at a time, pieces of 256 KiB, a queue of 100 pieces, 5 attempts.
            #[must_use]
            pub fn boto3() -> Self {
                Self { $($field: $boto3,)* }
            }

            /// All parameters, in the order in which they are written.
            #[must_use]
            pub fn parameters() -> Vec<Parameter> {
                let default = Self::default();
                vec![$(Parameter {
                    name: stringify!($field),
                    meaning: $meaning,
                    unit: Unit::$unit,
                    default: default.$field.value(),
                    least: $least,
                    is_boto3s: Origin::$origin == Origin::Boto3,
                },)*]
            }

            /// A builder that holds every value of this configuration, to change some of them.
            #[must_use]
            pub fn to_builder(&self) -> TransferConfigBuilder {
                TransferConfigBuilder { $($field: self.$field.given(),)* }
            }

            $(getter! { $kind $getter $field $type, $(#[$doc])* })*
        }

        impl Default for TransferConfig {
            /// A configuration that needs no tuning: [`adaptive_concurrency`](Self::adaptive_concurrency) is on, so
            /// that the engine finds the number of requests and the size of parts, within wide bounds. 16 pieces may
            /// wait instead of boto3's 100, because a slow disk stays slow, and more pieces only cost memory (3 GiB
            /// over loopback were as fast, with 27 MiB instead of 59).
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        impl Serialize for TransferConfig {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let default = Self::default();
                let mut map = serializer.serialize_map(None)?;
                $(if let Some(value) = self.$field.given()
                    && (Origin::$origin == Origin::Boto3 || self.$field != default.$field)
                {
                    map.serialize_entry(stringify!($field), &value)?;
                })*
                map.end()
            }
        }

        impl TransferConfigBuilder {
            $(setter! { $kind $getter $field $type })*

            /// Checks the values.
            ///
            /// # Errors
            ///
            /// [`ConfigError::NotPositive`] for the first number that is zero (boto3's rule: every parameter must be
            /// greater than 0); [`ConfigError::MemoryLimit`].
            pub fn build(self) -> Result<TransferConfig, ConfigError> {
                let default = TransferConfig::default();
                let config = TransferConfig { $($field: Stored::of(self.$field, default.$field),)* };
                $(if $least > 0 && config.$field.number() == Some(0) {
                    return Err(ConfigError::NotPositive { parameter: stringify!($field) });
                })*
                match config.memory_limit {
                    Some(bytes) if bytes < LEAST_MEMORY => Err(ConfigError::MemoryLimit { bytes, least: LEAST_MEMORY }),
                    _ => Ok(config),
                }
            }
        }
    };
}

parameters! {
    /// Objects of at least this many bytes are fetched in parallel parts; smaller ones by one request, or two in turn
    /// if they are larger than [`multipart_chunksize`](Self::multipart_chunksize) (boto3: a HEAD and a GET).
    multipart_threshold: plain multipart_threshold: u64,
        "Objects below this size are one request.", Bytes, least 1, Boto3, boto3 8 * MIB, default 8 * MIB;

    /// Most requests in flight at once, shared by all transfers of a [`Client`](crate::Client). Connections and memory
    /// grow with their number. With [`adaptive_concurrency`](Self::adaptive_concurrency) the engine chooses how many
    /// there are, up to this bound; without it there is always this number. The default, also where it is set, means at
    /// most 64 for an upload and 16 for a copy in parts. Without effect when [`use_threads`](Self::use_threads) is
    /// false.
    max_concurrency: plain max_concurrency: u32 | "max_request_concurrency",
        "Requests at a time.", Count, least 1, Boto3, boto3 10, default 512;

    /// Bytes of a part; the last one may be shorter. Smaller parts cost more requests, larger ones leave less to do in
    /// parallel. With [`adaptive_concurrency`](Self::adaptive_concurrency) the engine chooses the size of each part, up
    /// to this bound. For downloads neither boto3 nor this engine has a minimum.
    multipart_chunksize: plain multipart_chunksize: u64,
        "Bytes of a request.", Bytes, least 1, Boto3, boto3 8 * MIB, default 64 * MIB;

    /// Total attempts for a part with a *body* that breaks off, stalls, or is too slow or too short. Requests that are
    /// refused before a body begins (throttling, server errors, no connection) do not count;
    /// [`patience`](Self::patience) limits these. Unlike boto3, an attempt resumes where the one before stopped, after
    /// a jittered pause.
    num_download_attempts: plain num_download_attempts: u32,
        "Attempts at a request.", Count, least 1, Boto3, boto3 5, default 5;

    /// Number of pieces, of at most [`io_chunksize`](Self::io_chunksize) each, that may wait for the disk. When that
    /// many wait, the network side of the transfer pauses. Memory for a slow disk grows with the product of the two.
    max_io_queue: plain max_io_queue: u32 | "max_io_queue_size",
        "Pieces that may wait for the disk.", Count, least 1, Boto3, boto3 100, default 16;

    /// Most bytes in a piece that is queued for the disk, and so in one positional write. Larger pieces cost fewer
    /// system calls and more memory: every request in flight holds up to one unfinished piece.
    io_chunksize: plain io_chunksize: u64,
        "Bytes of a write.", Bytes, least 1, Boto3, boto3 256 * KIB, default 256 * KIB;

    /// False: one request at a time, written by the task that fetched it. A download into a file then spawns no tasks
    /// or threads.
    use_threads: plain use_threads: bool,
        "Whether there is more than one request at a time.", Switch, least 0, Boto3, boto3 true, default true;

    /// Bytes per second that all transfers of a [`Client`](crate::Client) may take together; `None` is unlimited.
    max_bandwidth: optional max_bandwidth: u64,
        "Limit in bytes per second.", BytesPerSecond, least 1, Boto3, boto3 None, default None;

    /// Most bytes that the buffers of all transfers of a [`Client`](crate::Client) may hold together; at least 2 MiB.
    /// `None`: a quarter of the machine's memory, or of the control group's limit if that is less.
    ///
    /// The limit holds for any values of the other parameters. If memory is short, fewer requests are in flight than
    /// [`max_concurrency`](Self::max_concurrency) allows, and pieces are written before they have grown to
    /// [`io_chunksize`](Self::io_chunksize); the [report](crate::TransferReport) has the values that took effect.
    /// Memory does not grow with the number of parts. A download that continues an earlier one reads its journal first,
    /// some 100 bytes per part.
    ///
    /// The process grows by no more than this and a few MiB. Not counted are free buffers that the engine's HTTP client
    /// keeps for the next bytes (4 MiB, and while more are in use half as many again), the pages of a listing (at most
    /// 32, and at most 8 MiB), the state of TLS connections, freed memory that malloc keeps, and the kernel's socket
    /// buffers and page cache. With your own HTTP client (for instance the SDK's) a request's buffer is that client's:
    /// hyper's buffers grow to 408 KiB, of which 320 KiB are counted.
    memory_limit: optional memory_limit: u64,
        "Bytes that all buffers may hold together.", Bytes, least LEAST_MEMORY, Ours, boto3 None, default None;

    /// Longest wait for a connection: name lookup, TCP and TLS handshakes.
    connect_timeout: seconds connect_timeout_seconds: u32,
        "Longest wait for a connection.", Seconds, least 1, Ours, boto3 CONNECT_TIMEOUT_SECONDS, default CONNECT_TIMEOUT_SECONDS;

    /// Longest wait for the beginning of an answer, the connection included.
    first_byte_timeout: seconds first_byte_timeout_seconds: u32,
        "Longest wait for an answer to begin.", Seconds, least 1, Ours, boto3 FIRST_BYTE_TIMEOUT_SECONDS, default FIRST_BYTE_TIMEOUT_SECONDS;

    /// Longest time without a byte in a body. The clock stops while the engine itself does not read, because of a slow
    /// disk, the memory or bandwidth limit, or a slow reader.
    stall_timeout: seconds stall_timeout_seconds: u32,
        "Longest time without a byte in a body.", Seconds, least 1, Ours, boto3 STALL_TIMEOUT_SECONDS, default STALL_TIMEOUT_SECONDS;

    /// Longest time during which requests are refused without a byte between them: throttled (503, 429), or failed by
    /// the server (500, 502, 504, 408). After this time the download fails; two minutes by default. A larger value
    /// outlasts longer storms of refusals, and reports a broken server later.
    ///
    /// While a part is throttled or gets no connection, bytes of other parts of the same transfer count. A server error
    /// concerns its own part only. A missing connection or answer counts as an outage only after the server has sent a
    /// byte of the object. Before that the address is probably wrong, and five attempts are made, whatever the value
    /// is. An attempt in flight is not aborted, and the pause before the next attempt is up to 8 s, so the failure may
    /// come that much later.
    patience: seconds patience_seconds: u32,
        "Longest time in which all requests are turned away.", Seconds, least 1, Ours, boto3 PATIENCE_SECONDS, default PATIENCE_SECONDS;

    /// Lowest rate of a transfer, in bytes per second, 64 by default; 0 turns it off. If all parts of a transfer
    /// together bring less over [`min_rate_window`](Self::min_rate_window), the slow body is aborted and retried at its
    /// offset, as one of [`num_download_attempts`](Self::num_download_attempts). A higher rate ends a slow server's
    /// download sooner; a rate above the link's ends every download.
    ///
    /// As for [`stall_timeout`](Self::stall_timeout), only time in which the engine waits for the network counts. Other
    /// downloads of the client do not count: if many share a thin link, each has to bring that much.
    min_bytes_per_second: plain min_bytes_per_second: u64,
        "Lowest rate of a transfer.", BytesPerSecond, least 0, Ours, boto3 MIN_BYTES_PER_SECOND, default MIN_BYTES_PER_SECOND;

    /// The total wait for a body before its transfer's rate is compared with
    /// [`min_bytes_per_second`](Self::min_bytes_per_second); 60 s by default. The longer it is, the longer an outage
    /// may last.
    min_rate_window: seconds min_rate_window_seconds: u32,
        "Time over which the lowest rate is judged.", Seconds, least 1, Ours, boto3 MIN_RATE_WINDOW_SECONDS, default MIN_RATE_WINDOW_SECONDS;

    /// Longest time for a whole transfer, from its first poll. `None`, the default, sets no limit for a transfer that
    /// makes progress.
    transfer_timeout: optional_seconds transfer_timeout_seconds: u32,
        "Longest time for a whole transfer.", Seconds, least 1, Ours, boto3 None, default None;

    /// Whether the bytes are compared with S3's checksum of the whole object, if it has one that can be combined from
    /// parts (CRC32, CRC32C, CRC64NVME). It costs a HEAD request for an object of several parts, and about 3 % of a
    /// transfer's CPU time.
    validate_checksum: plain validate_checksum: bool,
        "Whether the bytes are compared with a checksum of the object.", Switch, least 0, Ours, boto3 true, default true;

    /// Whether the engine chooses the number of requests in flight and the size of parts, from what arrives. It doubles
    /// the number of requests while each of them is as fast as before, and keeps the number that fills the link. It
    /// reduces the number if more requests carry less, if the server refuses some (503), or if this machine is behind.
    /// It cuts small objects into small parts, and makes parts larger if the server is distant or limits requests. Near
    /// the end it gives the end of a slow part to other requests, and it sends a second request if an answer is late.
    ///
    /// It is on by default; then [`max_concurrency`](Self::max_concurrency) and
    /// [`multipart_chunksize`](Self::multipart_chunksize) are upper bounds. If it is off, as in
    /// [`TransferConfig::boto3`], both are used as they are. The [report](crate::TransferReport) has the chosen values.
    /// Small downloads of a client, of one request each, are counted together: 64 of them run at a time, or
    /// [`max_concurrency`](Self::max_concurrency) if that is not the default.
    adaptive_concurrency: plain adaptive_concurrency: bool,
        "Whether the engine chooses requests and part sizes within the bounds.", Switch, least 0, Ours, boto3 false, default true;
}

impl TransferConfig {
    /// Starts from [`TransferConfig::default`].
    #[must_use]
    pub fn builder() -> TransferConfigBuilder {
        TransferConfigBuilder::default()
    }

    /// The part that may differ between transfers. The rest applies to all transfers of a [`Client`](crate::Client)
    /// together: [`max_concurrency`](Self::max_concurrency), [`max_bandwidth`](Self::max_bandwidth),
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
}

/// A [`TransferConfig`] without the limits that all transfers of a [`Client`](crate::Client) share.
/// [`TransferConfig::options`] gives it; [`Download::options`](crate::Download::options) and
/// [`Client::with_options`](crate::Client::with_options) take it.
///
/// It has no memory limit, so no transfer can have a second memory limit by accident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferOptions(TransferConfig);

impl TryFrom<TransferConfigBuilder> for TransferConfig {
    type Error = ConfigError;

    fn try_from(builder: TransferConfigBuilder) -> Result<Self, ConfigError> {
        builder.build()
    }
}

/// Why a [`TransferConfig`] is invalid.
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
        /// The requested limit.
        bytes: u64,
        /// The smallest limit that is possible.
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
        assert_eq!(config.multipart_chunksize(), 64 * MIB);

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
    fn the_table_says_of_every_parameter_what_the_configuration_does() {
        let parameters = TransferConfig::parameters();
        let ours: Vec<_> = parameters.iter().filter(|parameter| !parameter.is_boto3s).map(|p| p.name).collect();
        assert_eq!((parameters.len(), ours.len(), ours[0]), (18, 10, "memory_limit"));
        for Parameter { name, unit, default, least, .. } in parameters {
            let read = |value: u64| toml::from_str::<TransferConfig>(&format!("{name} = {value}"));
            match (unit, default) {
                (Unit::Switch, Some(ParameterValue::Switch(default))) => {
                    assert_eq!(toml::from_str(&format!("{name} = {default}")), Ok(TransferConfig::default()), "{name}");
                }
                (_, default) => {
                    assert!(
                        read(least).is_ok() && least.checked_sub(1).is_none_or(|less| read(less).is_err()),
                        "{name}"
                    );
                    if let Some(ParameterValue::Number(default)) = default {
                        assert_eq!(read(default), Ok(TransferConfig::default()), "{name}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_memory_limit_below_one_request_is_refused_with_the_bound() {
        let error = TransferConfig::builder().memory_limit(LEAST_MEMORY - 1).build().unwrap_err();
        assert!(error.to_string().contains("2097151") && error.to_string().contains("2097152"), "{error}");
    }
}
