//! One transfer over a fluid network, steered by a rule.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use crate::at_once::Beside;
use crate::network::{Id, Link, Profile, Time};

/// A rule that decides about a transfer.
pub(crate) trait Rule {
    /// Bytes of the first request, which tells the object's size.
    fn first_bytes(&self) -> u64;
    /// Requests to have in flight.
    fn target(&self) -> u32;
    /// Bytes of the next part.
    fn part_bytes(&self, left: u64) -> u64;
    /// Whether requests wait for their turn.
    fn is_paced(&self) -> bool {
        false
    }
    /// When the next request may be sent. Its turn is taken if that is now.
    fn slot(&mut self, now: Time) -> Time {
        now
    }
    /// Longest pause after the first refusal, and after any.
    fn pause(&self) -> (Time, Time) {
        (0.5, 8.0)
    }
    /// A new connection was open after a round trip.
    fn connected(&mut self, _after: Time) {}
    /// The bytes that the object has.
    fn wants(&mut self, _bytes: u64) {}
    fn asked(&mut self, _now: Time) -> Beside {
        Beside::default()
    }
    fn answered(&mut self, _now: Time, _waited: Time, _beside: Beside) {}
    fn ended(&mut self, _now: Time, _part: Part) {}
    /// It was sent `beside` others.
    fn refused(&mut self, _now: Time, _beside: Beside) {}
    /// Looks at the bytes that all bodies have brought.
    fn look(&mut self, _now: Time, _received: f64) {}
    /// The next time to look, even without news.
    fn due(&self, _is_end: bool) -> Option<Time> {
        None
    }
    /// After how long without a first byte a second request is sent.
    fn late_after(&self, _is_end: bool) -> Option<Time> {
        None
    }
    /// Number of parts to cut off.
    fn shed(&mut self) -> u32 {
        0
    }
    /// Whether the parts of these bytes, which wait for their turn, are planned anew; they are neighbours.
    fn merge(&self, _waiting: &[u64], _left: u64) -> bool {
        false
    }
    /// Whether it is time to look for slow connections.
    fn may_retire(&mut self, _now: Time) -> bool {
        false
    }
    /// The part whose connection is given up as too slow.
    fn retire(&mut self, _parts: &[OnTheWay]) -> Option<usize> {
        None
    }
    /// Whether one more second request may be sent where the first has waited so long.
    fn may_ask_again(&self, _second_requests: u64, _waited: Time) -> bool {
        false
    }
    /// The part whose end is cut off.
    fn split(&self, _parts: &[OnTheWay]) -> Option<Cut> {
        None
    }
}

/// A part on its way: bytes that came and will come, and since when they do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OnTheWay {
    pub(crate) brought: u64,
    pub(crate) left: u64,
    pub(crate) flowed: Time,
}

/// Bytes of a part's end, for so many requests.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut {
    pub(crate) index: usize,
    pub(crate) bytes: u64,
    pub(crate) requests: u32,
}

/// A part that has ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part;

/// The course of a transfer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Played {
    pub(crate) seconds: Time,
    pub(crate) requests: u64,
    pub(crate) peak: u32,
    pub(crate) refused: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
enum Event {
    Refused,
    FirstByte,
    Late,
    Again,
    Turn,
    Dialled,
    Look,
}

struct Request {
    bytes: u64,
    asked: Time,
    /// When the newest request for its bytes was sent.
    sent: Time,
    first_byte: Time,
    flowing_since: Option<Time>,
    refused: u32,
    /// Whether it waits for its turn, or for the end of a pause.
    waits: bool,
    beside: Beside,
    connections: u32,
    /// Class of its connection.
    class: usize,
    /// When its new connection is open, and the wait for the answer after that.
    dialled: Time,
    answer: Time,
}

impl Request {
    /// A request that was sent, and has not been sent as often as may be.
    fn may_be_asked_again(&self) -> bool {
        (1..MOST_REQUESTS_OF_A_PART).contains(&self.connections)
    }
}

/// Requests for the same bytes, the first one included.
const MOST_REQUESTS_OF_A_PART: u32 = 3;

/// The turn of a request is looked at again after so many seconds, for the rate may have changed.
const LONGEST_NAP: Time = 0.1;

struct Play<'a, R> {
    profile: &'a Profile,
    rule: &'a mut R,
    link: Link<'a>,
    chance: Chance,
    now: Time,
    events: BinaryHeap<Reverse<(u64, u64, u8, Id)>>,
    ordinal: u64,
    requests: BTreeMap<Id, Request>,
    /// Open connections that wait, by class.
    idle: Vec<u32>,
    /// Requests that wait for a new connection, the oldest first; some of them have it meanwhile.
    dialling: VecDeque<Id>,
    /// Requests that wait for their turn.
    turns: VecDeque<Id>,
    turn_at: Option<Time>,
    /// Generic cell rate algorithm: the next request's theoretical arrival.
    expected: Time,
    left: u64,
    in_flight: u32,
    /// Requests that the server has taken and not finished.
    taken: u32,
    sized: bool,
    second_requests: u64,
    played: Played,
    look_at: Option<Time>,
}

/// Plays the transfer of the profile's object; `None` after ten hours of virtual time.
pub(crate) fn play<R: Rule>(profile: &Profile, rule: &mut R, seed: u64) -> Option<Played> {
    let played = Played { seconds: 0.0, requests: 0, peak: 0, refused: 0 };
    let mut play = Play {
        profile,
        rule,
        link: Link::new(profile),
        chance: Chance::new(seed),
        now: 0.0,
        events: BinaryHeap::new(),
        ordinal: 0,
        requests: BTreeMap::new(),
        idle: vec![0; 2 * profile.classes()],
        dialling: VecDeque::new(),
        turns: VecDeque::new(),
        turn_at: None,
        expected: 0.0,
        left: profile.object,
        in_flight: 0,
        taken: 0,
        sized: false,
        second_requests: 0,
        played,
        look_at: None,
    };
    play.run()
}

impl<R: Rule> Play<'_, R> {
    fn run(&mut self) -> Option<Played> {
        let first = self.rule.first_bytes().min(self.left);
        self.start(first);
        while !(self.requests.is_empty() && self.left == 0) {
            let due = self.rule.due(self.left == 0).filter(|due| self.look_at.is_none_or(|at| *due < at));
            if let Some(due) = due {
                self.look_at = Some(due.max(self.now));
                self.schedule(due.max(self.now), Event::Look, 0);
            }
            let event = self.events.peek().map(|Reverse((at, ..))| f64::from_bits(*at));
            let next = match (event, self.link.next_event()) {
                (Some(event), Some(body)) => event.min(body),
                (event, body) => event.or(body)?,
            };
            if next > 3600.0 * 10.0 {
                return None;
            }
            self.now = next.max(self.now);
            self.link.advance(self.now);
            for (id, class) in self.link.ended() {
                self.end(id, class);
            }
            while let Some(Reverse((at, _, kind, id))) = self.events.peek().copied() {
                if f64::from_bits(at) > self.now {
                    break;
                }
                self.events.pop();
                self.happens(kind, id);
            }
            self.rule.look(self.now, self.link.received);
            self.shed();
            self.merge();
            self.retire();
            for (id, class) in self.link.ended() {
                self.end(id, class);
            }
            if self.sized {
                self.fill();
            }
        }
        self.played.seconds = self.now;
        Some(self.played)
    }

    fn schedule(&mut self, at: Time, event: Event, id: Id) {
        self.ordinal += 1;
        self.events.push(Reverse((at.to_bits(), self.ordinal, event as u8, id)));
    }

    fn shed(&mut self) {
        let count = self.rule.shed() as usize;
        let mut parts: Vec<(u64, Id)> =
            self.requests.keys().filter_map(|id| Some((self.link.progress(*id)?.1 as u64, *id))).collect();
        parts.sort_unstable_by(|one, other| other.cmp(one));
        for (left, id) in parts.into_iter().take(count) {
            self.cut(id, left);
        }
    }

    /// Plans parts anew that wait for their turn.
    fn merge(&mut self) {
        if !self.rule.is_paced() {
            return;
        }
        let waiting = self.requests.iter().filter(|(_, request)| request.waits);
        let bytes: Vec<u64> = waiting.map(|(_, request)| request.bytes).collect();
        if !self.rule.merge(&bytes, self.left) {
            return;
        }
        self.requests.retain(|_, request| !request.waits);
        self.in_flight -= bytes.len() as u32;
        self.left += bytes.iter().sum::<u64>();
        self.turns.clear();
    }

    /// Gives connections up that are far slower than the others.
    fn retire(&mut self) {
        while self.rule.may_retire(self.now) {
            let (ids, parts) = self.on_the_way();
            let Some(index) = self.rule.retire(&parts) else { return };
            self.cut(ids[index], parts[index].left);
        }
    }

    /// The end of the part is for others to fetch.
    fn cut(&mut self, id: Id, bytes: u64) {
        self.link.shorten(id, bytes);
        let request = self.requests.get_mut(&id).expect("it flows");
        request.bytes -= bytes;
        // Its connection has more bytes on the way than are wanted, and is given up.
        request.connections = 0;
        self.left += bytes;
    }

    fn fill(&mut self) {
        while self.left > 0 && self.in_flight < self.rule.target() {
            let bytes = self.rule.part_bytes(self.left).clamp(1, self.left);
            self.start(bytes);
        }
        if self.left == 0 && self.in_flight < self.rule.target() {
            if let Some(late) = self.rule.late_after(true) {
                let waits = |request: &Request| request.flowing_since.is_none() && request.may_be_asked_again();
                let late = |request: &Request| waits(request) && self.now >= request.sent + late;
                let late: Vec<Id> = self.requests.iter().filter(|(_, it)| late(it)).map(|(id, _)| *id).collect();
                for id in late {
                    self.send(id);
                }
            }
            while let Some((id, cut)) = self.split() {
                self.cut(id, cut.bytes);
                while self.left > 0 && self.in_flight < self.rule.target() {
                    self.start(cut.bytes.div_ceil(cut.requests.into()).min(self.left));
                }
            }
        }
    }

    /// The part that is to be cut short.
    fn split(&self) -> Option<(Id, Cut)> {
        let (ids, parts) = self.on_the_way();
        let cut = self.rule.split(&parts)?;
        Some((ids[cut.index], cut))
    }

    fn on_the_way(&self) -> (Vec<Id>, Vec<OnTheWay>) {
        self.requests
            .iter()
            .filter_map(|(id, request)| {
                let (brought, left) = self.link.progress(*id)?;
                let flowed = self.now - request.flowing_since?;
                Some((*id, OnTheWay { brought: brought as u64, left: left as u64, flowed }))
            })
            .unzip()
    }

    fn start(&mut self, bytes: u64) {
        self.ordinal += 1;
        let id = self.ordinal;
        self.left -= bytes;
        self.in_flight += 1;
        self.played.peak = self.played.peak.max(self.in_flight);
        let request = Request {
            bytes,
            asked: self.now,
            sent: self.now,
            first_byte: f64::INFINITY,
            flowing_since: None,
            refused: 0,
            waits: true,
            beside: Beside::default(),
            connections: 0,
            class: 0,
            dialled: 0.0,
            answer: 0.0,
        };
        self.requests.insert(id, request);
        self.send_in_turn(id);
    }

    fn send_in_turn(&mut self, id: Id) {
        if self.turns.is_empty() && !self.rule.is_paced() {
            return self.send(id);
        }
        self.turns.push_back(id);
        self.take_turns();
    }

    /// Sends the requests whose turn has come, one after the other.
    fn take_turns(&mut self) {
        while let Some(id) = self.turns.front().copied() {
            let at = self.rule.slot(self.now);
            if at > self.now {
                let at = at.min(self.now + LONGEST_NAP);
                if self.turn_at.is_none_or(|before| before <= self.now || at < before) {
                    self.turn_at = Some(at);
                    self.schedule(at, Event::Turn, 0);
                }
                return;
            }
            self.turns.pop_front();
            self.send(id);
        }
    }

    /// Sends the request, or a second one for the same bytes.
    fn send(&mut self, id: Id) {
        let is_first = self.requests[&id].connections == 0;
        if !is_first {
            if !self.rule.may_ask_again(self.second_requests, self.now - self.requests[&id].sent) {
                return;
            }
            self.second_requests += 1;
        }
        self.played.requests += 1;
        if is_first {
            let beside = self.rule.asked(self.now);
            let request = self.requests.get_mut(&id).expect("it is there");
            (request.asked, request.waits, request.beside) = (self.now, false, beside);
        }
        if self.profile.storm.is_some_and(|(from, to)| (from..to).contains(&self.now)) {
            if is_first {
                self.played.refused += 1;
                self.schedule(self.now + self.profile.first_byte / 2.0, Event::Refused, id);
            }
            return;
        }
        if self.profile.at_once.is_some_and(|most| self.taken >= most) {
            if is_first {
                self.played.refused += 1;
                self.schedule(self.now + self.profile.first_byte / 2.0, Event::Refused, id);
            }
            return;
        }
        if let Some(rate) = self.profile.requests {
            let interval = 1.0 / rate;
            let tolerance = interval * ((rate / 10.0).ceil().max(1.0) - 1.0);
            if self.now + tolerance < self.expected {
                if is_first {
                    self.played.refused += 1;
                    self.schedule(self.now + self.profile.first_byte / 2.0, Event::Refused, id);
                }
                return;
            }
            self.expected = self.expected.max(self.now) + interval;
        }
        let (connect, class) = match self.idle.iter().position(|idle| *idle > 0) {
            Some(class) => {
                self.idle[class] -= 1;
                (0.0, class)
            }
            None => {
                let share = self.profile.slow_addresses.map_or(0.0, |(share, _)| share);
                let address = usize::from(self.chance.uniform() < share);
                (self.profile.connect, (address + 1) * self.profile.classes() - 1)
            }
        };
        let normal = self.chance.normal();
        let mut answer = self.profile.first_byte * (self.profile.sigma * normal).exp();
        if self.chance.uniform() < self.profile.tail_share {
            answer += self.profile.tail;
        }
        let dialled = self.now + connect;
        let at = dialled + answer;
        self.taken += u32::from(is_first);
        let request = self.requests.get_mut(&id).expect("it is there");
        request.connections += 1;
        request.sent = self.now;
        if at < request.first_byte {
            (request.first_byte, request.class) = (at, class);
            (request.dialled, request.answer) = (dialled, answer);
            if connect > 0.0 {
                self.dialling.push_back(id);
            }
            self.schedule(at, Event::FirstByte, id);
        }
        if let Some(late) = self.rule.late_after(false) {
            self.schedule(self.now + late, Event::Late, id);
        }
    }

    fn happens(&mut self, kind: u8, id: Id) {
        if kind == Event::Look as u8 {
            self.look_at = None;
            return;
        }
        if kind == Event::Dialled as u8 {
            let class = id as usize;
            if !self.hand_over(class) {
                self.idle[class] += 1;
            }
            return;
        }
        if kind == Event::Turn as u8 {
            self.turn_at = None;
            return self.take_turns();
        }
        let Some(request) = self.requests.get_mut(&id) else { return };
        if kind == Event::FirstByte as u8 {
            if request.flowing_since.is_some() || request.first_byte > self.now {
                return;
            }
            request.flowing_since = Some(self.now);
            // Those that were not first are given up.
            request.connections = 1;
            let (waited, bytes, class) = (self.now - request.asked, request.bytes, request.class);
            let beside = request.beside;
            self.link.begin(id, bytes, class);
            if let Some(seconds) = self.profile.round_trip {
                self.rule.connected(seconds);
            }
            self.rule.answered(self.now, waited, beside);
            if !self.sized {
                self.rule.wants(self.profile.object);
            }
            self.sized = true;
        } else if kind == Event::Late as u8 {
            let is_late = self.now >= request.sent + self.rule.late_after(false).unwrap_or(0.0);
            if request.flowing_since.is_none() && request.may_be_asked_again() && is_late {
                self.send(id);
            }
        } else if kind == Event::Refused as u8 {
            request.refused += 1;
            request.waits = true;
            let (first, longest) = self.rule.pause();
            let pause = (first * 2_f64.powi(request.refused as i32 - 1)).min(longest) * self.chance.uniform();
            self.rule.refused(self.now, request.beside);
            self.schedule(self.now + pause, Event::Again, id);
        } else if kind == Event::Again as u8 {
            self.send_in_turn(id);
        }
    }

    fn end(&mut self, id: Id, class: usize) {
        let Some(request) = self.requests.remove(&id) else { return };
        self.in_flight -= 1;
        self.taken -= 1;
        if request.connections > 0 && !self.hand_over(class) {
            self.idle[class] += 1;
        }
        self.rule.ended(self.now, Part);
    }
}

impl<R: Rule> Play<'_, R> {
    /// Gives the connection to the request that has waited longest for a new one, which is idle once it is open.
    fn hand_over(&mut self, class: usize) -> bool {
        while let Some(id) = self.dialling.pop_front() {
            let Some(request) = self.requests.get_mut(&id) else { continue };
            if request.dialled <= self.now || request.flowing_since.is_some() {
                continue;
            }
            self.events.push(Reverse((request.dialled.to_bits(), u64::MAX, Event::Dialled as u8, request.class as Id)));
            request.first_byte = self.now + request.answer;
            (request.class, request.dialled) = (class, self.now);
            let at = request.first_byte;
            self.schedule(at, Event::FirstByte, id);
            return true;
        }
        false
    }
}

/// A small generator (SplitMix64): the same seed plays the same transfer everywhere.
#[derive(Debug, Clone)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(crate) fn log_uniform(&mut self, from: f64, to: f64) -> f64 {
        from * (to / from).powf(self.uniform())
    }

    /// Box and Muller.
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}
