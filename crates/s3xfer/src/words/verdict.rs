//! [`Verdict`]: the limit of a transfer, and the measurements that show it.

use std::fmt;
use std::time::Duration;

/// The limit of a transfer, and the measurements that show it. `Display` gives one sentence.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Verdict {
    /// The limit.
    pub bottleneck: Bottleneck,
    /// The measurements.
    pub evidence: Evidence,
}

/// The kinds of limits. Without the one named, the transfer would have been faster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Bottleneck {
    /// Unknown: the transfer ended before its requests had flowed for long.
    TooShort,
    /// The number of requests: each was as fast as a request alone, and no more were allowed
    /// ([`max_concurrency`](crate::TransferConfig::max_concurrency), or the files that the process may open).
    Requests,
    /// The number of requests that fit into [`memory_limit`](crate::TransferConfig::memory_limit).
    Memory,
    /// The link, or the server behind it: the requests shared its rate.
    Link,
    /// [`max_bandwidth`](crate::TransferConfig::max_bandwidth).
    Bandwidth,
    /// The receiver: the disk, or a slow reader.
    Receiver,
    /// The processors.
    Processor,
    /// A server that refused requests for coming too fast (503).
    Throttling,
    /// The last requests: the transfer waited for them while others were done.
    Tail,
    /// The time to the first byte: requests waited for answers for most of their time.
    Latency,
}

/// The measurements behind a [`Verdict`]. Shares are from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub struct Evidence {
    /// Mean number of requests in flight.
    pub requests: f64,
    /// Most requests that could be in flight.
    pub most_requests: u32,
    /// Whether the memory limit reduced that number.
    pub memory_bound: bool,
    /// Mean rate of a body while it flowed, in bytes per second.
    pub body_bytes_per_second: f64,
    /// The highest rate of a body: of the first one while it was alone, and of all over a tenth of a second.
    pub best_body_bytes_per_second: f64,
    /// Whether the adaptive rule found that more requests bring no more.
    pub link_was_full: bool,
    /// Mean time to the first byte.
    pub first_byte: Duration,
    /// The time from the first answer to the end.
    pub flowed: Duration,
    /// The time at the end with less than half of the requests in flight, because nothing was left to request.
    pub tail: Duration,
    /// Requests that were refused for coming too fast.
    pub refused: u64,
    /// Share of the parts' time that went into waiting for the receiver.
    pub receiver_share: f64,
    /// The same for the bandwidth limit.
    pub bandwidth_share: f64,
    /// The same for pauses after failed and refused requests.
    pub retry_share: f64,
    /// Share of the requests' time before their first byte.
    pub waiting_share: f64,
    /// Share of all processors' time that this process took; 0 where it is not known.
    pub processor_share: f64,
}

impl Bottleneck {
    /// A one-word name for tables and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TooShort => "too short",
            Self::Requests => "requests",
            Self::Memory => "memory",
            Self::Link => "link",
            Self::Bandwidth => "bandwidth limit",
            Self::Receiver => "receiver",
            Self::Processor => "processor",
            Self::Throttling => "throttling",
            Self::Tail => "tail",
            Self::Latency => "latency",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Evidence { requests, most_requests, refused, .. } = self.evidence;
        let Evidence { body_bytes_per_second: body, best_body_bytes_per_second: best, .. } = self.evidence;
        let (body, best) = (body / 1e6, best / 1e6);
        let percent = |share: f64| 100.0 * share;
        match self.bottleneck {
            Bottleneck::TooShort => write!(f, "too short to tell its limit"),
            Bottleneck::Requests => write!(
                f,
                "limited by the number of requests: {most_requests} were allowed, and each brought {body:.1} MB/s, as one alone"
            ),
            Bottleneck::Memory => {
                write!(
                    f,
                    "limited by memory: {most_requests} requests fit into the limit, and each brought {body:.1} MB/s"
                )
            }
            Bottleneck::Link => write!(
                f,
                "limited by the link or the server: {requests:.0} requests shared it, {body:.1} MB/s each of up to {best:.1}"
            ),
            Bottleneck::Bandwidth => {
                let share = percent(self.evidence.bandwidth_share);
                write!(f, "limited by max_bandwidth: parts waited for it for {share:.0} % of their time")
            }
            Bottleneck::Receiver => {
                let share = percent(self.evidence.receiver_share);
                write!(f, "limited by the disk or the reader: parts waited for it for {share:.0} % of their time")
            }
            Bottleneck::Processor => {
                let share = percent(self.evidence.processor_share);
                write!(f, "limited by the processors: this process took {share:.0} % of their time")
            }
            Bottleneck::Throttling => write!(f, "limited by the server: it refused {refused} requests as too fast"),
            Bottleneck::Tail => {
                let (tail, flowed) = (self.evidence.tail.as_secs_f64(), self.evidence.flowed.as_secs_f64());
                write!(f, "limited by its last requests: few were left for {tail:.2} s of {flowed:.2} s")
            }
            Bottleneck::Latency => {
                let (share, ms) = (percent(self.evidence.waiting_share), 1e3 * self.evidence.first_byte.as_secs_f64());
                write!(f, "limited by the time to the first byte: {ms:.0} ms, {share:.0} % of the requests' time")
            }
        }
    }
}
