//! [`Connections`]: the connections to one host.

use std::time::Duration;

/// The connections of one client to one host, or to the proxy on the way there, at one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Connections {
    /// The time in which the fastest connection opened: one round trip.
    pub(crate) round_trip: Duration,
    /// The number of open connections that have brought an answer.
    pub(crate) served: u32,
    /// The number of open connections without an answer, although others have answered in a quarter of the time.
    pub(crate) late: u32,
}
