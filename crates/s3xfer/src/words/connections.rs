//! [`Connections`]: the connections to one host.

use std::time::Duration;

/// The connections of one client to one host, or to the proxy on the way there, at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Connections {
    /// The time in which the fastest one was open: a round trip.
    pub(crate) round_trip: Duration,
    /// Number of open ones over which an answer has come.
    pub(crate) served: u32,
    /// Number of open ones over which no answer has come, though others have one after a quarter of the time.
    pub(crate) late: u32,
}
