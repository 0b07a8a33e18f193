//! The limit of a transfer, by its measurements.

use std::time::Duration;

use crate::words::verdict::{Bottleneck, Evidence, Verdict};

/// Bodies that flowed for less tell nothing.
const SHORT: Duration = Duration::from_millis(60);
/// Share of the time from which on a wait is the limit.
const MOST: f64 = 0.5;
/// The same for pauses after refused requests, which others fill.
const PAUSES: f64 = 0.1;
/// Share of the processors' time from which on they are the limit.
const BUSY: f64 = 0.9;
/// The share of the time in which few requests were left.
const TAIL: f64 = 0.25;
/// Share of a body's best rate: above it, bodies did not share anything.
const ALONE: f64 = 0.8;
/// Share of the requests that could be in flight: above it, there were as many as could be.
const ALL: f64 = 0.8;

/// The first of these that holds: nearer to this machine first, because a near limit hides those behind it.
pub(crate) fn verdict(evidence: Evidence) -> Verdict {
    let Evidence { flowed, refused, .. } = evidence;
    let alone = evidence.body_bytes_per_second >= ALONE * evidence.best_body_bytes_per_second;
    let all = evidence.requests >= ALL * f64::from(evidence.most_requests);
    let bottleneck = if flowed < SHORT {
        Bottleneck::TooShort
    } else if evidence.bandwidth_share >= MOST {
        Bottleneck::Bandwidth
    } else if evidence.receiver_share >= MOST {
        Bottleneck::Receiver
    } else if evidence.processor_share >= BUSY {
        Bottleneck::Processor
    } else if refused > 0 && evidence.retry_share >= PAUSES {
        Bottleneck::Throttling
    } else if evidence.tail.as_secs_f64() >= TAIL * flowed.as_secs_f64() {
        Bottleneck::Tail
    } else if alone && evidence.waiting_share >= MOST {
        Bottleneck::Latency
    } else if all && alone && evidence.memory_bound {
        Bottleneck::Memory
    } else if all && alone {
        Bottleneck::Requests
    } else if !alone || evidence.link_was_full {
        Bottleneck::Link
    } else {
        // Fewer than there could be, each as fast as one alone: it was over before there were more.
        Bottleneck::TooShort
    };
    Verdict { bottleneck, evidence }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten of ten requests for ten seconds, sharing a link.
    fn shared() -> Evidence {
        Evidence {
            requests: 9.5,
            most_requests: 10,
            body_bytes_per_second: 5e6,
            best_body_bytes_per_second: 2e7,
            first_byte: Duration::from_millis(30),
            flowed: Duration::from_secs(10),
            ..Evidence::default()
        }
    }

    #[test]
    fn each_limit_is_told_by_what_shows_it() {
        let alone = Evidence { body_bytes_per_second: 1.9e7, ..shared() };
        for (evidence, bottleneck, says) in [
            (shared(), Bottleneck::Link, "10 requests shared it, 5.0 MB/s each of up to 20.0"),
            (alone, Bottleneck::Requests, "10 were allowed"),
            (Evidence { memory_bound: true, ..alone }, Bottleneck::Memory, "10 requests fit"),
            (Evidence { memory_bound: true, ..shared() }, Bottleneck::Link, "link"),
            (Evidence { bandwidth_share: 0.6, ..shared() }, Bottleneck::Bandwidth, "60 %"),
            (Evidence { receiver_share: 0.7, ..shared() }, Bottleneck::Receiver, "70 %"),
            (Evidence { processor_share: 0.95, ..shared() }, Bottleneck::Processor, "95 %"),
            (Evidence { refused: 4, retry_share: 0.2, ..shared() }, Bottleneck::Throttling, "refused 4 requests"),
            (Evidence { refused: 4, ..shared() }, Bottleneck::Link, "link"),
            (Evidence { tail: Duration::from_secs(3), ..shared() }, Bottleneck::Tail, "3.00 s of 10.00 s"),
            (Evidence { requests: 3.0, waiting_share: 0.8, ..alone }, Bottleneck::Latency, "30 ms, 80 %"),
            (Evidence { flowed: Duration::from_millis(20), ..shared() }, Bottleneck::TooShort, "too short"),
            (Evidence { requests: 3.0, link_was_full: true, ..alone }, Bottleneck::Link, "3 requests shared it"),
            (Evidence { requests: 3.0, ..alone }, Bottleneck::TooShort, "too short"),
        ] {
            let verdict = verdict(evidence);
            assert_eq!(verdict.bottleneck, bottleneck, "{evidence:?}");
            assert!(verdict.to_string().contains(says), "{verdict}");
        }
    }
}
