//! The emulated network: the times at which answers begin and bytes arrive, and the service's limit of requests.
//!
//! - The time to the first byte is log-normal, with a tail. It is a function of (seed, request number), so the same run
//!   meets the same delays on a busy machine as on an idle one.
//! - Bandwidth is handed out in quanta. A connection asks for its next quantum when the last one arrived, so the link's
//!   queue holds at most one of each connection: first come first served is then round robin, which is max-min fair
//!   (Demers, Keshav and Shenker 1989, with equal quanta).
//! - Arrival times follow from ideal times, not from the moment when a timer fired: a caller that wakes late finds its
//!   next quanta due at once. The catch-up is bounded by [`CATCH_UP`], so an idle link or a slow reader saves up no
//!   more.
//! - The order of arrival is by ideal time, too: if two callers wake late together, the caller that runs first yields
//!   to the other ([`Link::reserve`] gives `None`) before it takes a second quantum.
//! - Requests pass a generic cell rate algorithm (ITU-T I.371); the burst is a tenth of a second's worth.
//!
//! `now` is the time since the lab's start, given by the caller.

use std::collections::BTreeSet;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;
use rand_distr::{Bernoulli, Distribution as _, StandardNormal};

use crate::words::NetworkProfile;

/// Bytes of one quantum: at 28 MB/s one takes 2.3 ms, more than the 1 ms tokio's timers resolve.
pub(crate) const QUANTUM_BYTES: usize = 64 << 10;

/// Longest lateness of a wake-up that is compensated. It is above the few ms by which a busy machine delays a timer; at
/// 400 MB/s it allows a burst of 4 MB.
const CATCH_UP: Duration = Duration::from_millis(10);

/// One direction of the link, shared by all connections.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    /// The seconds per byte; 0 without a limit.
    link_s_per_byte: f64,
    connection_s_per_byte: f64,
    /// When the link has carried all that was handed to it.
    free: Duration,
    /// When each flow's quantum on its way arrives, and whose it is.
    travelling: BTreeSet<(Duration, u64)>,
    flows: u64,
}

/// One body on its connection: where it is in ideal time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flow {
    at: Duration,
    id: u64,
}

impl Link {
    fn new(profile: &NetworkProfile) -> Self {
        let s_per_byte = |rate: Option<f64>| rate.map_or(0.0, |mb_per_s| 1.0 / (mb_per_s * 1e6));
        Self {
            link_s_per_byte: s_per_byte(profile.link_mb_per_s()),
            connection_s_per_byte: s_per_byte(profile.connection_mb_per_s()),
            free: Duration::ZERO,
            travelling: BTreeSet::new(),
            flows: 0,
        }
    }

    /// Whether bandwidth is limited at all.
    pub(crate) fn is_limited(&self) -> bool {
        self.link_s_per_byte > 0.0 || self.connection_s_per_byte > 0.0
    }

    /// A body whose first byte is ready at `at`.
    pub(crate) fn open(&mut self, at: Duration) -> Flow {
        self.flows += 1;
        Flow { at, id: self.flows }
    }

    /// Hands `bytes` of `flow` to the link; gives when they arrive. The next call for the same flow is due then, behind
    /// [`arrived`](Self::arrived).
    ///
    /// `None` if another flow comes first and its caller is about to take its turn: call again once that caller could
    /// run. A caller that `insists` is served anyway.
    pub(crate) fn reserve(&mut self, flow: &mut Flow, bytes: usize, now: Duration, insists: bool) -> Option<Duration> {
        let earliest = now.saturating_sub(CATCH_UP);
        let asked = flow.at.max(earliest);
        // A flow that does not take its quantum within the catch-up has a slow reader, and delays no other flow.
        let mut before = self.travelling.range((earliest, 0)..);
        if !insists && before.next().is_some_and(|(arrives, _)| *arrives < asked && *arrives <= now) {
            return None;
        }
        let took = |s_per_byte: f64| Duration::from_secs_f64(bytes as f64 * s_per_byte);
        let mut arrives = asked + took(self.connection_s_per_byte);
        if self.link_s_per_byte > 0.0 {
            self.free = self.free.max(earliest) + took(self.link_s_per_byte);
            arrives = arrives.max(self.free);
            self.travelling.insert((arrives, flow.id));
        }
        flow.at = arrives;
        Some(arrives)
    }

    /// The flow's quantum was handed over, or its body given up.
    pub(crate) fn arrived(&mut self, flow: &Flow) {
        self.travelling.remove(&(flow.at, flow.id));
    }
}

/// The service's limit of requests a second.
#[derive(Debug, Clone)]
struct Admission {
    interval: Duration,
    tolerance: Duration,
    /// The theoretical arrival time of the next request.
    expected: Duration,
}

impl Admission {
    fn new(requests_per_s: f64) -> Self {
        let interval = Duration::from_secs_f64(1.0 / requests_per_s);
        // A burst of b requests needs a tolerance of b - 1 intervals.
        let burst = (requests_per_s / 10.0).ceil().max(1.0);
        Self { interval, tolerance: interval.mul_f64(burst - 1.0), expected: Duration::ZERO }
    }

    fn admit(&mut self, now: Duration) -> bool {
        if now + self.tolerance < self.expected {
            return false;
        }
        self.expected = self.expected.max(now) + self.interval;
        true
    }
}

/// The whole model of one lab.
#[derive(Debug, Clone)]
pub(crate) struct Network {
    profile: NetworkProfile,
    admission: Option<Admission>,
    /// Answers.
    pub(crate) down: Link,
    /// Request bodies.
    pub(crate) up: Link,
}

impl Network {
    pub(crate) fn new(profile: &NetworkProfile) -> Self {
        Self {
            profile: profile.clone(),
            admission: profile.requests_per_s().map(Admission::new),
            down: Link::new(profile),
            up: Link::new(profile),
        }
    }

    /// Whether a request that arrives now is served, or answered 503.
    pub(crate) fn admit(&mut self, now: Duration) -> bool {
        self.admission.as_mut().is_none_or(|admission| admission.admit(now))
    }

    /// The wait of the `ordinal`-th request for its first byte.
    pub(crate) fn first_byte(&self, ordinal: u64) -> Duration {
        let (Some(median), sigma) = (self.profile.first_byte_ms(), self.profile.first_byte_sigma().unwrap_or(0.0))
        else {
            return Duration::from_secs_f64(self.tail(ordinal) / 1e3);
        };
        let normal: f64 = StandardNormal.sample(&mut self.stream(ordinal));
        Duration::from_secs_f64((median * (sigma * normal).exp() + self.tail(ordinal)) / 1e3)
    }

    fn tail(&self, ordinal: u64) -> f64 {
        let (Some(fraction), Some(ms)) = (self.profile.tail_fraction(), self.profile.tail_ms()) else { return 0.0 };
        let slow = Bernoulli::new(fraction).expect("a profile's fraction is between 0 and 1");
        // A stream of its own: the tail does not move when sigma changes.
        if slow.sample(&mut self.stream(ordinal | 1 << 63)) { ms } else { 0.0 }
    }

    fn stream(&self, number: u64) -> ChaCha8Rng {
        let mut rng = ChaCha8Rng::seed_from_u64(self.profile.seed());
        rng.set_stream(number);
        rng
    }

    /// The extra wait of a new connection's first request.
    pub(crate) fn connect(&self) -> Duration {
        Duration::from_secs_f64(self.profile.connect_ms().unwrap_or(0.0) / 1e3)
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;
    use std::collections::BinaryHeap;

    use proptest::prelude::*;

    use super::*;

    fn profile(link: Option<f64>, connection: Option<f64>) -> NetworkProfile {
        NetworkProfile::unlimited()
            .with_link_mb_per_s(link)
            .and_then(|p| p.with_connection_mb_per_s(connection))
            .expect("in range")
    }

    /// Bytes each body got in `seconds`, when timers fire late: at the next whole ms and `late` more. Body `i` wants
    /// at most `wants(i)` MB/s.
    fn run(profile: &NetworkProfile, n: usize, seconds: u64, late: Duration, wants: impl Fn(usize) -> f64) -> Vec<u64> {
        let mut link = Network::new(profile).down;
        let mut flows: Vec<_> = (0..n).map(|_| link.open(Duration::ZERO)).collect();
        let mut got = vec![0; n];
        // Ties run in the order they were put to sleep in; one that gives way runs behind all others.
        let mut wakes: BinaryHeap<_> = (0..n).map(|i| Reverse((Duration::ZERO, i, i))).collect();
        let mut order = n;
        let mut yields = vec![0; n];
        let end = Duration::from_secs(seconds);
        while let Some(Reverse((now, _, i))) = wakes.pop() {
            if now >= end {
                break;
            }
            link.arrived(&flows[i]);
            order += 1;
            let Some(arrives) = link.reserve(&mut flows[i], QUANTUM_BYTES, now, yields[i] >= 8) else {
                yields[i] += 1;
                wakes.push(Reverse((now, order, i)));
                continue;
            };
            yields[i] = 0;
            got[i] += QUANTUM_BYTES as u64;
            let own = Duration::from_secs_f64(QUANTUM_BYTES as f64 / (wants(i) * 1e6));
            let due = arrives.max(if own > Duration::from_micros(1) { now + own } else { Duration::ZERO });
            let fires = Duration::from_millis(u64::try_from(due.as_micros().div_ceil(1000)).expect("small")) + late;
            wakes.push(Reverse((if due <= now { now } else { fires }, order, i)));
        }
        got
    }

    fn greedy(profile: &NetworkProfile, n: usize, seconds: u64, late: Duration) -> Vec<u64> {
        run(profile, n, seconds, late, |_| f64::INFINITY)
    }

    /// Jain, Chiu and Hawe 1984: 1 where all got the same, 1/n where one got all.
    fn jain(got: &[u64]) -> f64 {
        let (sum, squares) = got.iter().fold((0.0, 0.0), |(s, q), x| (s + *x as f64, q + (*x as f64).powi(2)));
        sum * sum / (got.len() as f64 * squares)
    }

    #[test]
    fn rates_hold_within_five_per_cent_and_are_shared_fairly() {
        for late in [Duration::ZERO, Duration::from_millis(1)] {
            for (link, connection) in
                [(Some(400.0), Some(28.0)), (Some(400.0), None), (None, Some(28.0)), (Some(1000.0), Some(500.0))]
            {
                for n in [1, 2, 3, 10, 14, 15, 33, 64] {
                    let got = greedy(&profile(link, connection), n, 4, late);
                    let rate = got.iter().sum::<u64>() as f64 / 4e6;
                    let fair = connection.map_or(f64::INFINITY, |c| c * n as f64).min(link.unwrap_or(f64::INFINITY));
                    assert!(
                        (rate / fair - 1.0).abs() < 0.05,
                        "{n} connections at {link:?} {connection:?}: {rate} MB/s, not {fair}"
                    );
                    // A timer that is late has slept through its turns; other bodies have used them, and they are not
                    // given back.
                    let least = if late.is_zero() { 0.99 } else { 0.95 };
                    assert!(jain(&got) > least, "{n} connections at {link:?} {connection:?}: {got:?}");
                }
            }
        }
    }

    #[test]
    fn what_a_slow_connection_leaves_goes_to_the_others() {
        // One body that wants 5 MB/s beside two greedy ones on 100 MB/s: max-min is 5, 47.5, 47.5.
        let wants = |i| if i == 0 { 5.0 } else { f64::INFINITY };
        let got = run(&profile(Some(100.0), None), 3, 4, Duration::ZERO, wants);
        let rates: Vec<_> = got.iter().map(|bytes| *bytes as f64 / 4e6).collect();
        assert!(
            (rates[0] - 5.0).abs() < 1.0 && (rates[1] - 47.5).abs() < 1.5 && (rates[2] - 47.5).abs() < 1.5,
            "{rates:?}"
        );
    }

    #[test]
    fn an_idle_link_saves_up_no_more_than_the_catch_up() {
        let mut link = Network::new(&profile(Some(100.0), None)).down;
        let now = Duration::from_secs(100);
        let mut flow = link.open(now);
        let mut at_once = 0;
        while link.reserve(&mut flow, QUANTUM_BYTES, now, true).is_some_and(|arrives| arrives <= now) {
            link.arrived(&flow);
            at_once += QUANTUM_BYTES;
        }
        assert!(at_once as f64 <= 100e6 * CATCH_UP.as_secs_f64(), "{at_once}");
    }

    /// Seconds a download of `size` bytes takes in ranges of `part` bytes over `connections`, each asking for its next
    /// part as soon as it has one.
    fn download(profile: &NetworkProfile, size: usize, part: usize, connections: usize) -> f64 {
        let mut network = Network::new(profile);
        let parts = size.div_ceil(part);
        let (mut next, mut end) = (0, Duration::ZERO);
        // Per connection: the flow of its body and the bytes it still misses.
        let mut bodies: Vec<Option<(Flow, usize)>> = vec![None; connections.min(parts)];
        let mut wakes: BinaryHeap<_> = (0..bodies.len()).map(|i| Reverse((network.connect(), i))).collect();
        while let Some(Reverse((now, i))) = wakes.pop() {
            if let Some((flow, _)) = &bodies[i] {
                network.down.arrived(flow);
            }
            let (mut flow, left) = match bodies[i].filter(|(_, left)| *left > 0) {
                Some(body) => body,
                None => {
                    end = end.max(now);
                    if next == parts {
                        continue;
                    }
                    let ready = now + network.first_byte(next as u64);
                    let bytes = part.min(size - next * part);
                    next += 1;
                    bodies[i] = Some((network.down.open(ready), bytes));
                    wakes.push(Reverse((ready, i)));
                    continue;
                }
            };
            let bytes = left.min(QUANTUM_BYTES);
            let arrives = network.down.reserve(&mut flow, bytes, now, true).expect("it insists");
            bodies[i] = Some((flow, left - bytes));
            wakes.push(Reverse((arrives.max(now), i)));
        }
        end.as_secs_f64()
    }

    #[test]
    fn the_same_region_leaves_boto3s_defaults_two_fifths_behind() {
        for seed in 0..5 {
            let profile = NetworkProfile::named("same-region").and_then(|p| p.with_seed(seed)).expect("built in");
            let took = |part_mib: usize, connections| download(&profile, 256 << 20, part_mib << 20, connections);
            let defaults = took(8, 10);
            let grid = [2, 4, 8, 16, 32].into_iter().flat_map(|part| [5, 10, 16, 24, 32, 64].map(|n| took(part, n)));
            let best = grid.fold(f64::INFINITY, f64::min);
            let gain = 1.0 - best / defaults;
            assert!((0.35..0.5).contains(&gain), "defaults {defaults:.3} s, best {best:.3} s: {gain:.3}");
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_delays_and_another_does_not() {
        let base = NetworkProfile::named("same-region").expect("built in");
        let delays = |seed| {
            let network = Network::new(&base.with_seed(seed).expect("in range"));
            (0..100).map(|ordinal| network.first_byte(ordinal)).collect::<Vec<_>>()
        };
        assert_eq!(delays(1), delays(1));
        assert_ne!(delays(1), delays(2));
    }

    #[test]
    fn delays_have_the_profiles_median_and_tail() {
        let network = Network::new(&NetworkProfile::named("same-region").expect("built in"));
        let mut delays: Vec<f64> = (0..20_000).map(|n| network.first_byte(n).as_secs_f64() * 1e3).collect();
        delays.sort_by(f64::total_cmp);
        // Median 30 ms, 1 % of requests 150 ms later.
        assert!((delays[10_000] - 30.0).abs() < 1.0, "{}", delays[10_000]);
        let slow = delays.iter().filter(|ms| **ms > 150.0).count();
        assert!((150..250).contains(&slow), "{slow}");
    }

    #[test]
    fn requests_beyond_the_rate_are_refused_after_the_burst() {
        let mut network =
            Network::new(&NetworkProfile::unlimited().with_requests_per_s(Some(100.0)).expect("in range"));
        let at_once = (0..50).filter(|_| network.admit(Duration::ZERO)).count();
        assert_eq!(at_once, 10);
        let later: usize = (1..=1000).filter(|ms| network.admit(Duration::from_millis(*ms))).count();
        assert!((99..=101).contains(&later), "{later}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn any_rate_holds_for_any_number_of_connections(link in 20.0..2000.0, connection in 5.0..600.0, n in 1..65_usize, late_ms in 0..5_u64) {
            let got = greedy(&profile(Some(link), Some(connection)), n, 2, Duration::from_millis(late_ms));
            let (rate, fair) = (got.iter().sum::<u64>() as f64 / 2e6, (connection * n as f64).min(link));
            // At the end each connection has up to one quantum on its way; 64 of them at 20 MB/s are 10 % of two
            // seconds.
            let slack = 0.05 * fair + n as f64 * QUANTUM_BYTES as f64 / 2e6;
            prop_assert!((rate - fair).abs() <= slack, "{} MB/s, not {}", rate, fair);
        }

        #[test]
        fn time_never_runs_backwards(steps in prop::collection::vec((0..3_usize, 0..100_000_usize, 0..20_u64), 1..100)) {
            let mut link = Network::new(&profile(Some(50.0), Some(20.0))).down;
            let mut flows = [(); 3].map(|()| link.open(Duration::ZERO));
            let mut now = Duration::ZERO;
            for (i, bytes, ms) in steps {
                now += Duration::from_millis(ms);
                let before = flows[i].at;
                link.arrived(&flows[i]);
                let arrives = link.reserve(&mut flows[i], bytes, now, true);
                prop_assert!(arrives >= Some(before));
            }
        }
    }
}
