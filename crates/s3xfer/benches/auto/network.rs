//! A network as a fluid: bytes flow at rates, and nothing is moved. A transfer of 50 GiB at 100 Gbit/s takes
//! milliseconds.
//!
//! The link is shared max-min fair among the bodies that flow (processor sharing with a cap on each): bodies of one
//! class of connection all flow at one rate, so one running sum of bytes a class gives every body's place, and an event
//! costs the logarithm of the bodies. Connections differ by address and, where there is a round-trip time, by how far
//! TCP's slow start has opened them (RFC 5681): twice as many bytes in each round trip.

use std::collections::BTreeMap;

/// Seconds.
pub(crate) type Time = f64;

/// A network and a service, as numbers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Profile {
    pub(crate) name: String,
    /// Bytes.
    pub(crate) object: u64,
    /// Median time to the first byte of an answer.
    pub(crate) first_byte: Time,
    /// Its log-normal's sigma.
    pub(crate) sigma: f64,
    /// Share of requests that take `tail` longer.
    pub(crate) tail_share: f64,
    pub(crate) tail: Time,
    /// A new connection's first answer comes that much later.
    pub(crate) connect: Time,
    /// Bytes per second of a connection.
    pub(crate) connection: f64,
    /// Bytes per second of the link.
    pub(crate) link: f64,
    /// Requests per second before 503.
    pub(crate) requests: Option<f64>,
    /// Requests at once before 503.
    pub(crate) at_once: Option<u32>,
    /// Above so many bodies at once the link carries less.
    pub(crate) crowd: Option<Crowd>,
    /// Share of the addresses whose connections have only that share of the rate.
    pub(crate) slow_addresses: Option<(f64, f64)>,
    /// The link's share of its rate between two moments.
    pub(crate) outage: Option<(Time, Time, f64)>,
    /// Between two moments every request is refused with 503.
    pub(crate) storm: Option<(Time, Time)>,
    /// Seconds of a round trip; new connections begin with TCP's slow start then.
    pub(crate) round_trip: Option<Time>,
}

/// Bytes of the first round trip (RFC 6928).
const INITIAL_WINDOW: f64 = 14_600.0;

/// More is worse here.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Crowd {
    /// The link's rate is divided by 1 + excess / (bodies allowed).
    Congestion(u32),
    /// The link's rate falls to that share.
    Collapse(u32, f64),
}

impl Profile {
    pub(crate) fn new(name: impl Into<String>, object: u64, first_byte: Time, connection: f64, link: f64) -> Self {
        Self {
            name: name.into(),
            object,
            first_byte,
            sigma: 0.2,
            tail_share: 0.0,
            tail: 0.0,
            connect: first_byte / 2.0,
            connection,
            link,
            requests: None,
            at_once: None,
            crowd: None,
            slow_addresses: None,
            outage: None,
            storm: None,
            round_trip: None,
        }
    }

    /// Round trips after which a connection has its full rate.
    fn round_trips(&self) -> usize {
        self.round_trip
            .map_or(0, |seconds| (self.connection * seconds / INITIAL_WINDOW).log2().ceil().max(0.0) as usize)
    }

    /// Classes of connections for each kind of address: one for each round trip of slow start, the fastest first.
    pub(crate) fn classes(&self) -> usize {
        1 + self.round_trips()
    }

    /// Bytes per second of a connection of that class.
    fn cap(&self, class: usize) -> f64 {
        let (address, behind) = (class / self.classes(), class % self.classes());
        let full =
            self.connection * if address == 0 { 1.0 } else { self.slow_addresses.map_or(1.0, |(_, share)| share) };
        match self.round_trip {
            Some(seconds) if behind > 0 => {
                let opened = self.round_trips() - behind;
                full.min(INITIAL_WINDOW * 2_f64.powi(opened as i32) / seconds)
            }
            _ => full,
        }
    }

    /// The link's rate with so many bodies at that moment.
    fn link_rate(&self, bodies: usize, now: Time) -> f64 {
        let there = match self.outage {
            Some((from, to, share)) if (from..to).contains(&now) => self.link * share,
            _ => self.link,
        };
        match self.crowd {
            Some(Crowd::Congestion(most)) if bodies > most as usize => {
                there / (1.0 + (bodies as f64 - f64::from(most)) / f64::from(most))
            }
            Some(Crowd::Collapse(most, share)) if bodies > most as usize => there * share,
            _ => there,
        }
    }
}

/// A body's identity.
pub(crate) type Id = u64;

#[derive(Debug, Default)]
struct Class {
    /// Bytes that each body of the class could have had since the beginning.
    served: f64,
    rate: f64,
    /// By where `served` will be when they end.
    ends: BTreeMap<(u64, Id), ()>,
}

/// The link, and the bodies on it.
#[derive(Debug)]
pub(crate) struct Link<'a> {
    profile: &'a Profile,
    now: Time,
    classes: Vec<Class>,
    /// The classes, those with the least bytes per second first.
    by_cap: Vec<usize>,
    bodies: BTreeMap<Id, Body>,
    /// When a round trip of slow start ends.
    widens: BTreeMap<(u64, Id), ()>,
    pub(crate) received: f64,
}

#[derive(Debug, Clone, Copy)]
struct Body {
    class: usize,
    began_at: f64,
    ends_at: f64,
    /// When its class changes; infinite where it does not.
    widens: Time,
}

fn key(place: f64, id: Id) -> (u64, Id) {
    (place.max(0.0).to_bits(), id)
}

impl<'a> Link<'a> {
    pub(crate) fn new(profile: &'a Profile) -> Self {
        let count = 2 * profile.classes();
        let classes = (0..count).map(|_| Class::default()).collect();
        let mut by_cap: Vec<usize> = (0..count).collect();
        by_cap.sort_by(|one, other| profile.cap(*one).total_cmp(&profile.cap(*other)));
        let (bodies, widens) = (BTreeMap::new(), BTreeMap::new());
        Self { profile, now: 0.0, classes, by_cap, bodies, widens, received: 0.0 }
    }

    /// When the next body ends, or a rate changes by itself.
    pub(crate) fn next_event(&self) -> Option<Time> {
        let ends = self.classes.iter().filter(|class| class.rate > 0.0).filter_map(|class| {
            let ((at, _), ()) = class.ends.first_key_value()?;
            Some(self.now + ((f64::from_bits(*at) - class.served) / class.rate).max(0.0))
        });
        let widens = self.widens.first_key_value().map(|((at, _), ())| f64::from_bits(*at));
        let outage = self.profile.outage.into_iter().flat_map(|(from, to, _)| [from, to]).filter(|at| *at > self.now);
        ends.chain(widens).chain(outage.filter(|_| !self.bodies.is_empty())).min_by(f64::total_cmp)
    }

    /// Lets time pass; there is no event before `now`.
    pub(crate) fn advance(&mut self, now: Time) {
        let passed = now - self.now;
        self.now = now;
        if passed > 0.0 {
            for class in &mut self.classes {
                class.served += class.rate * passed;
                self.received += class.rate * passed * class.ends.len() as f64;
            }
        }
        let widened = self.widen();
        if passed > 0.0 || widened {
            self.share();
        }
    }

    /// Moves the bodies whose round trip has ended to the next class. Whether there were any.
    fn widen(&mut self) -> bool {
        let mut any = false;
        while let Some(((at, id), ())) = self.widens.first_key_value().map(|(key, ())| (*key, ())) {
            if f64::from_bits(at) > self.now {
                break;
            }
            self.widens.pop_first();
            let Some(body) = self.bodies.remove(&id) else { continue };
            let from = &mut self.classes[body.class];
            from.ends.remove(&key(body.ends_at, id));
            let (brought, left) = (from.served - body.began_at, body.ends_at - from.served);
            self.put(id, body.class - 1, brought, left);
            any = true;
        }
        any
    }

    fn put(&mut self, id: Id, class: usize, brought: f64, left: f64) {
        let served = self.classes[class].served;
        let (began_at, ends_at) = (served - brought, served + left);
        self.classes[class].ends.insert(key(ends_at, id), ());
        let opening = self.profile.round_trip.filter(|_| !class.is_multiple_of(self.profile.classes()));
        let widens = opening.map_or(f64::INFINITY, |seconds| self.now + seconds);
        if widens.is_finite() {
            self.widens.insert(key(widens, id), ());
        }
        self.bodies.insert(id, Body { class, began_at, ends_at, widens });
    }

    /// Bodies that have all their bytes, and the classes of their connections.
    pub(crate) fn ended(&mut self) -> Vec<(Id, usize)> {
        let mut ended = Vec::new();
        for (number, class) in self.classes.iter_mut().enumerate() {
            while let Some(((at, id), ())) = class.ends.first_key_value() {
                if f64::from_bits(*at) > class.served + 0.5 {
                    break;
                }
                ended.push((*id, number));
                class.ends.pop_first();
            }
        }
        for (id, _) in &ended {
            if let Some(body) = self.bodies.remove(id) {
                self.widens.remove(&key(body.widens, *id));
            }
        }
        self.share();
        ended
    }

    pub(crate) fn begin(&mut self, id: Id, bytes: u64, class: usize) {
        self.put(id, class, 0.0, bytes as f64);
        self.share();
    }

    /// Bytes that the body has brought, and that are still to come.
    pub(crate) fn progress(&self, id: Id) -> Option<(f64, f64)> {
        let body = self.bodies.get(&id)?;
        let served = self.classes[body.class].served;
        Some((served - body.began_at, (body.ends_at - served).max(0.0)))
    }

    /// The body brings so many bytes less.
    pub(crate) fn shorten(&mut self, id: Id, less: u64) {
        let Some(body) = self.bodies.get_mut(&id) else { return };
        let ends = &mut self.classes[body.class].ends;
        ends.remove(&key(body.ends_at, id));
        body.ends_at -= less as f64;
        ends.insert(key(body.ends_at, id), ());
    }

    /// Max-min fair: bodies that cannot use an equal share leave the rest to the others.
    fn share(&mut self) {
        let mut left = self.profile.link_rate(self.bodies.len(), self.now);
        let mut bodies: f64 = self.classes.iter().map(|class| class.ends.len() as f64).sum();
        for number in self.by_cap.iter().copied() {
            let class = &mut self.classes[number];
            let count = class.ends.len() as f64;
            if count == 0.0 {
                class.rate = 0.0;
                continue;
            }
            class.rate = self.profile.cap(number).min(left / bodies);
            left -= class.rate * count;
            bodies -= count;
        }
    }
}
