//! A network as a fluid: bytes flow at rates, and nothing is moved. A transfer of 50 GiB at 100 Gbit/s takes
//! milliseconds.
//!
//! The link is shared max-min fair among the bodies that flow (processor sharing with a cap on each): bodies of one
//! class of connection all flow at one rate, so one running sum of bytes a class gives every body's place, and an event
//! costs the logarithm of the bodies.

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
    /// Above so many bodies at once the link carries less.
    pub(crate) crowd: Option<Crowd>,
    /// Share of the addresses whose connections have only that share of the rate.
    pub(crate) slow_addresses: Option<(f64, f64)>,
    /// The link's share of its rate between two moments.
    pub(crate) outage: Option<(Time, Time, f64)>,
}

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
            crowd: None,
            slow_addresses: None,
            outage: None,
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
    /// Fast and slow addresses.
    classes: [Class; 2],
    bodies: BTreeMap<Id, Body>,
    pub(crate) received: f64,
}

#[derive(Debug, Clone, Copy)]
struct Body {
    class: usize,
    began_at: f64,
    ends_at: f64,
}

fn key(place: f64, id: Id) -> (u64, Id) {
    (place.max(0.0).to_bits(), id)
}

impl<'a> Link<'a> {
    pub(crate) fn new(profile: &'a Profile) -> Self {
        Self { profile, now: 0.0, classes: Default::default(), bodies: BTreeMap::new(), received: 0.0 }
    }

    /// When the next body ends, or the link's rate changes by itself.
    pub(crate) fn next_event(&self) -> Option<Time> {
        let ends = self.classes.iter().filter(|class| class.rate > 0.0).filter_map(|class| {
            let ((at, _), ()) = class.ends.first_key_value()?;
            Some(self.now + ((f64::from_bits(*at) - class.served) / class.rate).max(0.0))
        });
        let outage = self.profile.outage.into_iter().flat_map(|(from, to, _)| [from, to]).filter(|at| *at > self.now);
        ends.chain(outage.filter(|_| !self.bodies.is_empty())).min_by(f64::total_cmp)
    }

    /// Lets time pass; there is no event before `now`.
    pub(crate) fn advance(&mut self, now: Time) {
        let passed = now - self.now;
        self.now = now;
        if passed <= 0.0 {
            return;
        }
        for class in &mut self.classes {
            class.served += class.rate * passed;
            self.received += class.rate * passed * class.ends.len() as f64;
        }
        self.share();
    }

    /// Bodies that have all their bytes.
    pub(crate) fn ended(&mut self) -> Vec<Id> {
        let mut ended = Vec::new();
        for class in &mut self.classes {
            while let Some(((at, id), ())) = class.ends.first_key_value() {
                if f64::from_bits(*at) > class.served + 0.5 {
                    break;
                }
                ended.push(*id);
                class.ends.pop_first();
            }
        }
        for id in &ended {
            self.bodies.remove(id);
        }
        self.share();
        ended
    }

    pub(crate) fn begin(&mut self, id: Id, bytes: u64, slow: bool) {
        let class = usize::from(slow);
        let began_at = self.classes[class].served;
        let ends_at = began_at + bytes as f64;
        self.classes[class].ends.insert(key(ends_at, id), ());
        self.bodies.insert(id, Body { class, began_at, ends_at });
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

    /// Max-min fair: a body that cannot use an equal share leaves the rest to the others.
    fn share(&mut self) {
        let slow_cap = self.profile.connection * self.profile.slow_addresses.map_or(1.0, |(_, share)| share);
        let caps = [self.profile.connection, slow_cap];
        let counts = [self.classes[0].ends.len() as f64, self.classes[1].ends.len() as f64];
        let link = self.profile.link_rate(self.bodies.len(), self.now);
        let all = counts[0] + counts[1];
        if all == 0.0 {
            return;
        }
        let slow = slow_cap.min(link / all);
        let fast = if counts[0] > 0.0 { caps[0].min((link - slow * counts[1]) / counts[0]) } else { 0.0 };
        self.classes[0].rate = fast;
        self.classes[1].rate = slow;
    }
}
