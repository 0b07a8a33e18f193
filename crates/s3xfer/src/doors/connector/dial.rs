//! New TCP connections: names become addresses, and connections spread over all of them.
//!
//! An endpoint of S3 has many addresses, each with its own front end, and a transfer is fastest when it uses all of
//! them. So a new connection goes to the address with the fewest open connections; an address that failed lately comes
//! last. Nothing here outlives a call: a dropped connection is closed. The connections to each host are counted,
//! because the engine chooses their number.

use std::collections::HashMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{io, mem};

use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio::time::{Instant, timeout};

use crate::doors::{blocking, machine};
use crate::words::connections::Connections;

/// Time for which the addresses of a name are used. S3 says a few seconds in its answers and changes them slowly;
/// asking once a minute keeps hundreds of requests a second off the resolver.
const NAME_LIFETIME: Duration = Duration::from_secs(60);

/// For how long an address that did not take a connection is tried last.
const SHUNNED: Duration = Duration::from_secs(60);

/// Most names that are known at once, and most addresses and hosts without a connection.
const MOST_KNOWN: usize = 1024;

/// The most addresses that share the time for a connection. With more, each would have less time than the
/// retransmission of a lost SYN needs (1 s).
const SHARES: u32 = 3;

/// The reason for a missing connection. The causes are part of the text, because callers report the innermost error
/// only.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    /// The name is not known, or no address answered.
    #[error("the address of {host} cannot be found: {cause}")]
    Name {
        /// The host's name.
        host: String,
        /// The resolver's words.
        cause: io::Error,
    },
    /// It has no address.
    #[error("{host} has no address")]
    NoAddress {
        /// The host's name.
        host: String,
    },
    /// The process or the machine has no descriptor left for a socket. It says nothing of the host.
    #[error("no socket can be opened for {host}: {cause}; raise the limit of open files (ulimit -n)")]
    NoDescriptor {
        /// The host's name.
        host: String,
        /// The system's words.
        cause: io::Error,
    },
    /// None of its addresses takes a connection; this is the error of the last one.
    #[error("{address} takes no connection: {cause}")]
    Refused {
        /// The address.
        address: SocketAddr,
        /// The system's words.
        cause: io::Error,
    },
}

/// Names and addresses of one client.
#[derive(Debug, Default)]
pub(super) struct Dialler {
    names: Mutex<HashMap<(String, u16), Name>>,
    addresses: Mutex<HashMap<SocketAddr, Arc<Address>>>,
    counts: Mutex<HashMap<(String, u16), Arc<Count>>>,
    turn: AtomicUsize,
    open: Arc<AtomicUsize>,
}

/// The first user fills the cell; the others wait for it.
#[derive(Debug)]
struct Name {
    asked_at: Instant,
    addresses: Arc<OnceCell<Vec<SocketAddr>>>,
}

#[derive(Debug, Default)]
struct Address {
    open: AtomicUsize,
    failed_at: Mutex<Option<Instant>>,
}

/// The open connections to one host and port.
#[derive(Debug, Default)]
pub(crate) struct Count {
    /// Number of those over which an answer has come.
    served: AtomicU32,
    /// The most of them at one moment.
    most_served: AtomicU32,
    /// The number of connections that replace a served connection.
    made_again: AtomicU32,
    /// The number of connections whose first answer is late.
    late: AtomicU32,
    /// The nanoseconds in which the fastest connection opened, plus one; 0 before the first.
    fastest: AtomicU64,
}

/// A connection's place in the counts of its address, of its host and of all, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    address: Arc<Address>,
    open: Arc<AtomicUsize>,
    count: Arc<Count>,
    is_served: bool,
}

/// A new connection that replaces a served one, until it is served too, or this value is dropped.
#[derive(Debug)]
pub(super) struct Again(Arc<Count>);

/// A connection whose first answer is late, counted until this value is dropped.
#[derive(Debug)]
pub(super) struct Late(Arc<Count>);

impl Dialler {
    /// Number of connections that are open, or on their way, to any host.
    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// The connections to `host`.
    pub(super) fn count(&self, host: &str, port: u16) -> Arc<Count> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (host.to_owned(), port);
        if counts.len() >= MOST_KNOWN && !counts.contains_key(&key) {
            // Each connection holds the count of its host.
            counts.retain(|_, count| Arc::strong_count(count) > 1);
        }
        counts.entry(key).or_default().clone()
    }

    /// A connection to one of the addresses of `host`, before `deadline` (which the caller enforces).
    ///
    /// # Errors
    ///
    /// [`DialError`].
    pub(super) async fn connect(
        &self,
        host: &str,
        port: u16,
        deadline: Instant,
    ) -> Result<(TcpStream, Place), DialError> {
        let addresses = self.addresses_of(host, port).await?;
        let mut failure = DialError::NoAddress { host: host.to_owned() };
        let candidates = self.in_order(&addresses);
        let most = u32::try_from(candidates.len()).unwrap_or(u32::MAX);
        for (tried, (address, state)) in (0..most).zip(candidates) {
            let share = deadline.saturating_duration_since(Instant::now()) / (most - tried).min(SHARES);
            let place = self.place(state, self.count(host, port));
            let late = || io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {} ms", share.as_millis()));
            let began = Instant::now();
            match timeout(share, TcpStream::connect(address)).await.unwrap_or_else(|_| Err(late())) {
                Ok(stream) => {
                    place.count.connected(began.elapsed());
                    place.address.failed(None);
                    // Requests are small and wait for nothing; Nagle's algorithm could only delay them.
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%address, %error, "TCP_NODELAY cannot be set");
                    }
                    return Ok((stream, place));
                }
                // No other address would do better, and this one has done nothing.
                Err(cause) if machine::is_without_descriptor(&cause) => {
                    return Err(DialError::NoDescriptor { host: host.to_owned(), cause });
                }
                Err(cause) => {
                    tracing::debug!(%address, %cause, "no connection");
                    place.address.failed(Some(Instant::now()));
                    failure = DialError::Refused { address, cause };
                }
            }
        }
        // They may have moved.
        self.forget(host, port);
        Err(failure)
    }

    async fn addresses_of(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, DialError> {
        // In a URI, IPv6 addresses are in brackets.
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = host.parse() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let cell = self.name(host, port);
        let looked_up = cell.get_or_try_init(async || {
            let asked = (host.to_owned(), port);
            let found = blocking::run(move || asked.to_socket_addrs()).await;
            found.map(Iterator::collect).map_err(|cause| DialError::name(host, cause))
        });
        let addresses: Vec<SocketAddr> = looked_up.await?.clone();
        if addresses.is_empty() {
            self.forget(host, port);
        }
        Ok(addresses)
    }

    fn name(&self, host: &str, port: u16) -> Arc<OnceCell<Vec<SocketAddr>>> {
        let now = Instant::now();
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.retain(|_, name| now.duration_since(name.asked_at) < NAME_LIFETIME);
        let key = (host.to_owned(), port);
        if names.len() >= MOST_KNOWN && !names.contains_key(&key) {
            let oldest = names.iter().min_by_key(|(_, name)| name.asked_at).map(|(key, _)| key.clone());
            oldest.and_then(|key| names.remove(&key));
        }
        names.entry(key).or_insert_with(|| Name { asked_at: now, addresses: Arc::default() }).addresses.clone()
    }

    fn forget(&self, host: &str, port: u16) {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).remove(&(host.to_owned(), port));
    }

    fn place(&self, address: Arc<Address>, count: Arc<Count>) -> Place {
        address.open.fetch_add(1, Ordering::Relaxed);
        self.open.fetch_add(1, Ordering::Relaxed);
        Place { address, open: self.open.clone(), count, is_served: false }
    }

    fn in_order(&self, found: &[SocketAddr]) -> Vec<(SocketAddr, Arc<Address>)> {
        let now = Instant::now();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut known = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|address, state| {
            found.contains(address) || Arc::strong_count(state) > 1 || state.failed_lately(now)
        });
        forget_surplus(&mut known, found);
        let state = |address: &SocketAddr| (*address, known.entry(*address).or_default().clone());
        let candidates: Vec<_> = found.iter().map(state).collect();
        let loads: Vec<_> = candidates
            .iter()
            .map(|(_, state)| (state.failed_lately(now), state.open.load(Ordering::Relaxed)))
            .collect();
        order(&loads, turn).into_iter().map(|index| candidates[index].clone()).collect()
    }
}

impl DialError {
    fn name(host: &str, cause: io::Error) -> Self {
        let host = host.to_owned();
        if machine::is_without_descriptor(&cause) {
            Self::NoDescriptor { host, cause }
        } else {
            Self::Name { host, cause }
        }
    }
}

/// Besides the addresses with open connections, only addresses with recent failures are remembered; with more than
/// [`MOST_KNOWN`], the oldest failures are forgotten.
fn forget_surplus(known: &mut HashMap<SocketAddr, Arc<Address>>, found: &[SocketAddr]) {
    if known.len() <= MOST_KNOWN {
        return;
    }
    let unused = known.iter().filter(|(address, state)| !found.contains(address) && Arc::strong_count(state) == 1);
    let mut unused: Vec<_> = unused.map(|(address, state)| (state.failed_at(), *address)).collect();
    let surplus = unused.len().saturating_sub(MOST_KNOWN);
    if surplus > 0 {
        unused.select_nth_unstable(surplus - 1);
        for (_, address) in &unused[..surplus] {
            known.remove(address);
        }
    }
}

/// Sorts by `loads` (recent failure, open connections); among equal addresses, `turn` decides the first.
fn order(loads: &[(bool, usize)], turn: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..loads.len()).collect();
    if !order.is_empty() {
        order.rotate_left(turn % loads.len());
    }
    order.sort_by_key(|index| loads[*index]);
    order
}

impl Address {
    fn failed(&self, at: Option<Instant>) {
        *self.failed_at.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }

    fn failed_lately(&self, now: Instant) -> bool {
        self.failed_at().is_some_and(|at| now.duration_since(at) < SHUNNED)
    }

    fn failed_at(&self) -> Option<Instant> {
        *self.failed_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Count {
    /// The connections now; `None` before the first was open.
    pub(crate) fn seen(&self) -> Option<Connections> {
        let nanos = self.fastest.load(Ordering::Relaxed).checked_sub(1)?;
        let (served, late) = (self.served.load(Ordering::Relaxed), self.late.load(Ordering::Relaxed));
        Some(Connections { round_trip: Duration::from_nanos(nanos), served, late })
    }

    /// The place of a connection that was served and is closed, which a new one may have; `None` where there is none:
    /// as many are served as at any moment before.
    pub(super) fn again(self: &Arc<Self>) -> Option<Again> {
        let free = self.most_served.load(Ordering::Relaxed).saturating_sub(self.served.load(Ordering::Relaxed));
        let one_more = |made: u32| (made < free).then_some(made + 1);
        let made = self.made_again.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        made.is_ok().then(|| Again(self.clone()))
    }

    /// Counts a connection whose first answer is late.
    pub(super) fn late(self: &Arc<Self>) -> Late {
        self.late.fetch_add(1, Ordering::Relaxed);
        Late(self.clone())
    }

    /// One was open after so long.
    fn connected(&self, after: Duration) {
        let nanos = u64::try_from(after.as_nanos()).unwrap_or(u64::MAX).saturating_add(1);
        let faster = |fastest: u64| (fastest == 0 || nanos < fastest).then_some(nanos);
        // An error means that a faster connection is already recorded.
        let _ = self.fastest.fetch_update(Ordering::Relaxed, Ordering::Relaxed, faster);
    }
}

impl Place {
    /// An answer has come over the connection.
    pub(super) fn answered(&mut self) {
        if !mem::replace(&mut self.is_served, true) {
            let served = self.count.served.fetch_add(1, Ordering::Relaxed) + 1;
            self.count.most_served.fetch_max(served, Ordering::Relaxed);
        }
    }

    /// All connections to the same host.
    pub(super) fn count(&self) -> &Arc<Count> {
        &self.count
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.address.open.fetch_sub(1, Ordering::Relaxed);
        self.open.fetch_sub(1, Ordering::Relaxed);
        if self.is_served {
            self.count.served.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Again {
    fn drop(&mut self) {
        self.0.made_again.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Late {
    fn drop(&mut self) {
        self.0.late.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(ports: &[u16]) -> Vec<SocketAddr> {
        ports.iter().map(|port| SocketAddr::from(([127, 0, 0, 1], *port))).collect()
    }

    #[test]
    fn the_least_loaded_address_is_first_and_a_failed_one_last() {
        assert_eq!(order(&[(false, 2), (true, 0), (false, 1)], 0), [2, 0, 1]);
        assert_eq!(order(&[(false, 1), (false, 1), (false, 1)], 1), [1, 2, 0]);
        assert_eq!(order(&[(false, 1), (false, 1), (false, 1)], 5), [2, 0, 1]);
        assert_eq!(order(&[], 3), [0; 0]);
    }

    #[tokio::test]
    async fn connections_spread_over_the_addresses_as_long_as_they_are_open() {
        let dialler = Dialler::default();
        let found = addresses(&[1, 2, 3]);
        let mut open = Vec::new();
        for _ in 0..9 {
            let (address, state) = dialler.in_order(&found).swap_remove(0);
            open.push((address, dialler.place(state, Arc::default())));
        }
        for address in &found {
            assert_eq!(open.iter().filter(|(at, _)| at == address).count(), 3);
        }
        open.retain(|(at, _)| at != &found[1]);
        assert_eq!(dialler.in_order(&found)[0].0, found[1]);
    }

    #[tokio::test]
    async fn an_address_that_refuses_is_passed_over_and_remembered() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let good = listener.local_addr().unwrap();
        let bad = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let dialler = Dialler::default();
        let cell = dialler.name("endpoint.example", 1);
        cell.set(vec![bad, good]).unwrap();
        let deadline = || Instant::now() + Duration::from_secs(5);
        let (stream, _first) = dialler.connect("endpoint.example", 1, deadline()).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), good);
        // Though fewer connections to the bad one are open.
        assert_eq!(dialler.in_order(&[bad, good])[0].0, good);
    }

    #[tokio::test]
    async fn names_are_asked_for_again_once_every_address_failed() {
        let bad = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let dialler = Dialler::default();
        dialler.name("endpoint.example", 1).set(vec![bad]).unwrap();
        let error = dialler.connect("endpoint.example", 1, Instant::now() + Duration::from_secs(5)).await.unwrap_err();
        assert!(matches!(error, DialError::Refused { address, .. } if address == bad), "{error}");
        assert!(dialler.name("endpoint.example", 1).get().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn addresses_of_a_name_are_kept_for_a_while() {
        let dialler = Dialler::default();
        dialler.name("endpoint.example", 1).set(addresses(&[1])).unwrap();
        tokio::time::advance(NAME_LIFETIME / 2).await;
        assert!(dialler.name("endpoint.example", 1).get().is_some());
        tokio::time::advance(NAME_LIFETIME).await;
        assert!(dialler.name("endpoint.example", 1).get().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_than_so_many_names_and_failed_addresses_are_known() {
        let dialler = Dialler::default();
        let hosts = u32::try_from(MOST_KNOWN).unwrap() + 100;
        let address = |host: u32| SocketAddr::from(((0x0a00_0000 + host).to_be_bytes(), 80));
        let mut open = None;
        for host in 0..hosts {
            dialler.name(&format!("{host}.example"), 80);
            dialler.count(&format!("{host}.example"), 80);
            let (_, state) = dialler.in_order(&[address(host)]).swap_remove(0);
            match host {
                0 => open = Some(dialler.place(state, dialler.count("0.example", 80))),
                _ => state.failed(Some(Instant::now())),
            }
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        let (names, known) = (dialler.names.lock().unwrap(), dialler.addresses.lock().unwrap());
        assert_eq!(names.len(), MOST_KNOWN);
        assert!(names.contains_key(&(format!("{}.example", hosts - 1), 80)));
        assert!(!names.contains_key(&("0.example".to_owned(), 80)), "the oldest goes first");
        // The one to which a connection is open, and the newest.
        assert!((MOST_KNOWN..MOST_KNOWN + 3).contains(&known.len()), "{}", known.len());
        assert!(known.contains_key(&address(0)) && known.contains_key(&address(hosts - 1)));
        assert!(!known.contains_key(&address(1)));
        let counts = dialler.counts.lock().unwrap();
        assert!(counts.len() <= MOST_KNOWN && counts.contains_key(&("0.example".to_owned(), 80)), "{}", counts.len());
        drop(open);
    }

    #[tokio::test]
    async fn each_host_has_counts_and_a_round_trip_of_its_own() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let dialler = Dialler::default();
        for name in ["far.example", "near.example"] {
            dialler.name(name, port).set(addresses(&[port])).unwrap();
        }
        let (far, near) = (dialler.count("far.example", port), dialler.count("near.example", port));
        far.connected(Duration::from_secs(100));
        assert!(near.seen().is_none(), "no connection to it was made");
        let deadline = Instant::now() + Duration::from_secs(5);
        let (_stream, mut place) = dialler.connect("near.example", port, deadline).await.unwrap();
        let of = |count: &Count| count.seen().map(|seen| (seen.round_trip > Duration::from_secs(50), seen.served));
        assert_eq!((of(&far), of(&near)), (Some((true, 0)), Some((false, 0))));
        assert!(near.again().is_none(), "nothing was served");
        place.answered();
        place.answered();
        assert_eq!((of(&far), of(&near)), (Some((true, 0)), Some((false, 1))));
        assert!(near.again().is_none(), "as many are served as before");
        drop(place);
        let again = near.again();
        assert!(again.is_some() && near.again().is_none() && far.again().is_none(), "one is closed");
        drop(again);
        assert!(near.again().is_some());
        let late = near.late();
        assert_eq!(near.seen().map(|seen| (seen.served, seen.late)), Some((0, 1)));
        drop(late);
        assert_eq!(near.seen().map(|seen| seen.late), Some(0));
    }

    #[tokio::test]
    async fn literal_addresses_are_not_looked_up() {
        let dialler = Dialler::default();
        assert_eq!(dialler.addresses_of("127.0.0.1", 7).await.unwrap(), addresses(&[7]));
        assert_eq!(dialler.addresses_of("[::1]", 7).await.unwrap(), [SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 7))]);
        assert!(dialler.names.lock().unwrap().is_empty());
    }
}
