//! [`Ranges`]: a listing that is cut into ranges of keys, requested separately and given out in order.
//!
//! S3 answers with at most 1000 keys, and the end of a page gives the start of the next one. A request may also begin
//! after any text (API reference, "ListObjectsV2", `start-after`), so later pages are requested at the same time, from
//! their probable starts ([`Sample`]). A range ends where the next one begins. So a wrong guess makes a page of few
//! keys, or a range of several pages, and never loses or repeats a key.
//!
//! - Pages are requested one at a time until two of them have shown that the server lists in order. Then the number
//!   doubles whenever the receiver had to wait for the next page. A receiver that is slower than the listing costs no
//!   more requests.
//! - At most twice as many pages as requests are held or requested, at most [`MOST_PAGES`], and at most [`MOST_BYTES`]
//!   of long keys.
//! - If fewer than half of the received keys were useful, the number of requests is halved, down to one; several are
//!   tried again later.
//! - If a server ignores `start-after`, the listing starts over, page by page, and keys that were given out are
//!   dropped. The order tells which these are, so a listing without order is an error then.

use std::collections::VecDeque;
use std::sync::Arc;

use super::key_space::Sample;
use crate::words::listing::{ListedObject, Page, PageAt};

/// Most requests at a time.
pub(crate) const MOST_REQUESTS: usize = 16;
/// The limit on pages that are held or requested, and on their bytes, by the largest page so far. Keys of S3 have up to
/// 1,024 bytes, and pages of usual keys have 200 KB.
const MOST_PAGES: usize = 32;
const MOST_BYTES: usize = 8 << 20;
/// Pages that must be in order before anything is asked for out of turn.
const IN_ORDER: u32 = 2;
/// Share of a page that a range is to hold: where there are a few more keys than were guessed, one request is enough.
const FILLED: f64 = 0.85;
/// Share of keys that are of use, below which there are too many requests; and the newest page's weight in it.
const USEFUL: f64 = 0.5;
const WEIGHT: f64 = 0.15;
/// Pages after which several requests are tried again.
const AGAIN_AFTER: u32 = 32;

/// A listing on its way. See the [module](self).
#[derive(Debug)]
pub(crate) struct Ranges {
    /// In order; objects are given out from the first one. None: there is nothing more.
    ranges: VecDeque<Range>,
    /// Objects of the page that is given out.
    ready: VecDeque<ListedObject>,
    numbers: u64,
    /// The limit on requests, and their present number.
    most: usize,
    target: usize,
    in_flight: usize,
    prefix_bytes: usize,
    /// The receiver has nothing and waits.
    is_waiting: bool,
    order: Order,
    /// Most keys of a page, and most bytes.
    page_keys: usize,
    page_bytes: usize,
    /// Mean share of keys that were of use.
    useful: f64,
    /// Pages until several requests are tried again.
    rest: u32,
    /// The sample of the page furthest ahead, with its last key.
    furthest: Option<(String, Option<Arc<Sample>>)>,
    /// The last key that was given out.
    given: Option<String>,
    /// Keys up to this one were given out before, and come again.
    skip: Option<String>,
}

/// The knowledge about the server's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// So many pages were in order.
    InOrder(u32),
    /// There is none, or `start-after` is not heeded.
    Unknown,
}

/// Keys behind one text, up to and with another one.
#[derive(Debug)]
struct Range {
    number: u64,
    from: PageAt,
    /// Its next keys are behind this one.
    after: Option<String>,
    /// `None`: to the end.
    until: Option<String>,
    state: State,
    pages: VecDeque<Vec<ListedObject>>,
    sample: Option<Arc<Sample>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    Asked,
    Failed,
    Done,
}

/// A page to be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) number: u64,
    pub(crate) from: PageAt,
}

/// The next of the objects.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    Object(ListedObject),
    /// Its page is not there yet.
    Wait,
    /// The request of that number has failed for good, and later keys are not known.
    Failed(u64),
    End,
}

/// The keys do not come in order, after some were given out that rely on it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Disorder {
    pub(crate) key: String,
}

impl Ranges {
    /// A listing by `most` requests at a time (1: page by page) of keys with a prefix of `prefix_bytes` bytes.
    pub(crate) fn new(most: usize, prefix_bytes: usize) -> Self {
        Self {
            ranges: [Range::new(0, PageAt::Start, None, None, None)].into(),
            ready: VecDeque::new(),
            numbers: 1,
            most: most.clamp(1, MOST_REQUESTS),
            target: 1,
            in_flight: 0,
            prefix_bytes,
            is_waiting: false,
            order: Order::InOrder(0),
            page_keys: 0,
            page_bytes: 0,
            useful: 1.0,
            rest: 0,
            furthest: None,
            given: None,
            skip: None,
        }
    }

    /// The next object. [`Taken::Wait`] is remembered: the receiver is faster than the listing.
    pub(crate) fn take(&mut self) -> Taken {
        loop {
            if let Some(object) = self.ready.pop_front() {
                if self.ready.is_empty() {
                    self.given = Some(object.key.clone());
                }
                return Taken::Object(object);
            }
            let Some(first) = self.ranges.front_mut() else { return Taken::End };
            match (first.pages.pop_front(), first.state) {
                (Some(page), _) => {
                    self.ready = page.into();
                    self.is_waiting = false;
                }
                (None, State::Done) => drop(self.ranges.pop_front()),
                (None, State::Failed) => return Taken::Failed(first.number),
                (None, State::Idle | State::Asked) => {
                    self.is_waiting = true;
                    return Taken::Wait;
                }
            }
        }
    }

    /// Whether the page that is given out has another object.
    pub(crate) fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// The next page to be asked for now, if any.
    pub(crate) fn ask(&mut self) -> Option<Asked> {
        if self.in_flight >= self.target {
            return None;
        }
        let held: usize = self.ranges.iter().map(|range| range.pages.len()).sum();
        let most = if self.target == 1 { 1 } else { (2 * self.target).min(MOST_PAGES) };
        let most = most.min(MOST_BYTES / self.page_bytes.max(1)).max(1);
        let index = self.ranges.iter().position(|range| range.state == State::Idle)?;
        // The page that the receiver waits for is always worth its room.
        let is_next = index == 0 && self.ranges[0].pages.is_empty();
        if held + self.in_flight >= most && !is_next {
            return None;
        }
        if self.target > 1 {
            self.split(index);
        }
        let range = &mut self.ranges[index];
        range.state = State::Asked;
        self.in_flight += 1;
        Some(Asked { number: range.number, from: range.from.clone() })
    }

    /// Ends a range where its next page probably does, and begins another one there.
    fn split(&mut self, index: usize) {
        let furthest = self.furthest.as_ref().and_then(|(_, sample)| sample.clone());
        let range = &self.ranges[index];
        let own = range.sample.clone().filter(|_| range.until.is_some());
        let Some(sample) = own.or(furthest) else { return };
        let Some(after) = &range.after else { return };
        let keys = (self.page_keys as f64 * FILLED) as usize;
        let Some(end) = sample.ahead(after, keys) else { return };
        if range.until.as_ref().is_some_and(|until| end >= *until) {
            return;
        }
        let number = self.numbers;
        self.numbers += 1;
        let range = &mut self.ranges[index];
        let (until, own) = (range.until.replace(end.clone()), range.sample.clone());
        self.ranges.insert(index + 1, Range::new(number, PageAt::After(end.clone()), Some(end), until, own));
    }

    /// The request of that number has failed for good.
    pub(crate) fn failed(&mut self, number: u64) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if let Some(range) = self.ranges.iter_mut().find(|range| range.number == number) {
            range.state = State::Failed;
        }
    }

    /// The page with this request number has arrived.
    ///
    /// # Errors
    ///
    /// [`Disorder`]: the keys are not in a known order.
    pub(crate) fn answered(&mut self, number: u64, page: Page) -> Result<(), Disorder> {
        self.in_flight = self.in_flight.saturating_sub(1);
        // A page after the end, or of a listing that was started over.
        let Some(index) = self.ranges.iter().position(|range| range.number == number) else { return Ok(()) };
        let Page { mut objects, next } = page;
        if let Some(early) = self.disorder(index, &objects) {
            // Keys that were given out are dropped by their place in the order when they come again.
            let needs_order = self.skip.is_some();
            if !needs_order && (self.order == Order::Unknown || self.is_whole()) {
                self.order = Order::Unknown;
                self.target = 1;
            } else if matches!(self.ranges[index].from, PageAt::After(_)) {
                self.begin_anew();
                return Ok(());
            } else {
                return Err(Disorder { key: early });
            }
        }
        let last = objects.last().map(|object| object.key.clone());
        if let Some(skip) = &self.skip {
            objects.retain(|object| object.key > *skip);
        }
        self.learn(index, &objects);
        let came = objects.len();
        match (&last, &next) {
            // Nothing is behind this page, and it holds the keys of other ranges.
            (_, None) => {
                self.ranges.truncate(index + 1);
                self.ranges[index].until = None;
            }
            (Some(last), Some(_)) => self.extend(index, last),
            (None, Some(_)) => {}
        }
        let range = &mut self.ranges[index];
        if let Some(until) = &range.until {
            objects.truncate(objects.partition_point(|object| object.key <= *until));
        }
        let kept = objects.len();
        let is_done = match (&range.until, &next) {
            (_, None) => true,
            (Some(until), Some(_)) => last.as_ref().is_some_and(|last| last >= until),
            (None, Some(_)) => false,
        };
        if is_done {
            range.state = State::Done;
        } else {
            range.state = State::Idle;
            range.after = last.or(range.after.take());
            range.from = next.map_or(PageAt::Start, PageAt::Token);
        }
        if !objects.is_empty() {
            range.pages.push_back(objects);
        }
        let waits_for_it = self.is_waiting && index == 0;
        self.pace(kept, came, waits_for_it);
        Ok(())
    }

    /// The first key that is not behind the one before it.
    fn disorder(&self, index: usize, objects: &[ListedObject]) -> Option<String> {
        let mut before = self.ranges[index].after.as_ref();
        objects.iter().find_map(|object| {
            let early = before.is_some_and(|before| object.key <= *before);
            before = Some(&object.key);
            early.then(|| object.key.clone())
        })
    }

    /// Whether all of it is one range, so that nothing depends on the order.
    fn is_whole(&self) -> bool {
        self.numbers == 1
    }

    /// Records the density of the keys there.
    fn learn(&mut self, index: usize, objects: &[ListedObject]) {
        self.page_keys = self.page_keys.max(objects.len());
        self.page_bytes = self.page_bytes.max(objects.iter().map(held_bytes).sum());
        if let Order::InOrder(pages) = &mut self.order {
            *pages += 1;
        }
        let Some(last) = objects.last().filter(|_| self.most > 1 && self.order != Order::Unknown) else { return };
        let sample = Sample::new(objects.iter().map(|object| object.key.as_str()), self.prefix_bytes).map(Arc::new);
        if self.furthest.as_ref().is_none_or(|(furthest, _)| *furthest <= last.key) {
            self.furthest = Some((last.key.clone(), sample.clone()));
        }
        self.ranges[index].sample = sample;
    }

    /// A page extends to `last`: keys after its range belong to it if no other range has requested them.
    fn extend(&mut self, index: usize, last: &str) {
        while self.ranges[index].until.as_deref().is_some_and(|until| until < last)
            && let Some(behind) = self.ranges.get_mut(index + 1)
            && behind.state == State::Idle
            && behind.pages.is_empty()
        {
            if behind.until.as_deref().is_none_or(|until| until > last) {
                (behind.from, behind.after) = (PageAt::After(last.to_owned()), Some(last.to_owned()));
                self.ranges[index].until = Some(last.to_owned());
                return;
            }
            let absorbed = self.ranges.remove(index + 1);
            self.ranges[index].until = absorbed.and_then(|absorbed| absorbed.until);
        }
    }

    /// Changes the number of requests. Of the keys that `came`, `kept` were of use.
    fn pace(&mut self, kept: usize, came: usize, is_waited_for: bool) {
        self.rest = self.rest.saturating_sub(1);
        let share = if came > 0 { kept as f64 / came as f64 } else { 0.0 };
        self.useful += WEIGHT * (share - self.useful);
        if self.target > 1 && self.useful < USEFUL {
            self.target /= 2;
            (self.useful, self.rest) = (1.0, AGAIN_AFTER);
            return;
        }
        let in_order = matches!(self.order, Order::InOrder(pages) if pages >= IN_ORDER);
        if is_waited_for && in_order && self.rest == 0 {
            self.target = (2 * self.target).min(self.most);
        }
    }

    /// All of it, page by page; keys that were given out are dropped.
    fn begin_anew(&mut self) {
        let given = self.ready.back().map(|object| object.key.clone()).or(self.given.take());
        let number = self.numbers;
        self.numbers += 1;
        self.ranges = [Range::new(number, PageAt::Start, None, None, None)].into();
        (self.order, self.target, self.skip) = (Order::Unknown, 1, given);
    }
}

impl Range {
    fn new(
        number: u64,
        from: PageAt,
        after: Option<String>,
        until: Option<String>,
        sample: Option<Arc<Sample>>,
    ) -> Self {
        Self { number, from, after, until, state: State::Idle, pages: VecDeque::new(), sample }
    }
}

fn held_bytes(object: &ListedObject) -> usize {
    size_of::<ListedObject>() + object.key.len() + object.e_tag.as_ref().map_or(0, String::len)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// A server that answers after so many ticks, and a receiver that takes so many objects in each tick.
    struct Played {
        keys: Vec<String>,
        page_keys: usize,
        answers_after: u64,
        takes: usize,
        heeds_start_after: bool,
        /// The keys are in the order of their small letters.
        folds_case: bool,
    }

    #[derive(Debug, Default)]
    struct Outcome {
        keys: Vec<String>,
        ticks: u64,
        requests: u64,
        most_held: usize,
    }

    fn object(key: &str) -> ListedObject {
        ListedObject { key: key.to_owned(), bytes: 0, e_tag: None, last_modified: None }
    }

    impl Played {
        fn new(keys: impl IntoIterator<Item = String>) -> Self {
            let mut keys: Vec<String> = keys.into_iter().collect();
            keys.sort();
            let (page_keys, answers_after, takes) = (1000, 100, usize::MAX);
            Self { keys, page_keys, answers_after, takes, heeds_start_after: true, folds_case: false }
        }

        fn folding_case(mut self) -> Self {
            self.keys.sort_by_key(|key| key.to_lowercase());
            Self { folds_case: true, ..self }
        }

        fn page(&self, from: &PageAt) -> Page {
            let start = match from {
                PageAt::Start => 0,
                PageAt::Token(token) => token.parse().expect("ours"),
                PageAt::After(after) if self.heeds_start_after && self.folds_case => {
                    let after = after.to_lowercase();
                    self.keys.partition_point(|key| key.to_lowercase() <= after)
                }
                PageAt::After(after) if self.heeds_start_after => self.keys.partition_point(|key| key <= after),
                PageAt::After(_) => 0,
            };
            let end = self.keys.len().min(start + self.page_keys);
            let objects = self.keys[start..end].iter().map(|key| object(key)).collect();
            Page { objects, next: (end < self.keys.len()).then(|| end.to_string()) }
        }

        fn run(&self, most: usize, seed: u64) -> Outcome {
            let (outcome, ended) = self.play(most, seed);
            assert_eq!(ended, Ok(()));
            outcome
        }

        /// The objects that came, and whether they came to their end.
        fn play(&self, most: usize, seed: u64) -> (Outcome, Result<(), Disorder>) {
            let (mut ranges, mut outcome) = (Ranges::new(most, 0), Outcome::default());
            let mut asked: Vec<(u64, Asked)> = Vec::new();
            let mut luck = seed;
            loop {
                let now = outcome.ticks;
                let (due, later): (Vec<_>, Vec<_>) = asked.into_iter().partition(|(at, _)| *at <= now);
                asked = later;
                for (_, Asked { number, from }) in due {
                    if let Err(disorder) = ranges.answered(number, self.page(&from)) {
                        return (outcome, Err(disorder));
                    }
                }
                let mut taken = 0;
                let end = loop {
                    if taken == self.takes {
                        break false;
                    }
                    match ranges.take() {
                        Taken::Object(object) => outcome.keys.push(object.key),
                        Taken::End => break true,
                        Taken::Wait => break false,
                        Taken::Failed(_) => unreachable!("nothing fails"),
                    }
                    taken += 1;
                };
                if end {
                    return (outcome, Ok(()));
                }
                while let Some(next) = ranges.ask() {
                    outcome.requests += 1;
                    luck = luck.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    let jitter = if seed == 0 { 0 } else { (luck >> 33) % (self.answers_after + 1) };
                    asked.push((now + self.answers_after + jitter, next));
                }
                let held: usize = ranges.ranges.iter().flat_map(|range| &range.pages).map(Vec::len).sum();
                outcome.most_held = outcome.most_held.max(held + ranges.ready.len());
                outcome.ticks += 1;
                assert!(outcome.ticks < 10_000_000, "it does not end: {ranges:?}");
            }
        }
    }

    fn hash(n: u64) -> String {
        let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        format!("{:016x}", n ^ (n >> 31))
    }

    fn days() -> impl Iterator<Item = String> {
        let days = (1..=12).flat_map(|month| (1..=28).map(move |day| format!("2026/{month:02}/{day:02}")));
        days.flat_map(|day| (0..300).map(move |n| format!("{day}/part-{n:05}.parquet")))
    }

    #[test]
    fn several_requests_list_many_times_as_fast_where_answers_are_slow() {
        for (name, played, least) in [
            ("numbers", Played::new((0..200_000).map(|n| format!("img-{n:08}.jpg"))), 6.0),
            ("hashes", Played::new((0..200_000).map(|n| format!("set/{}", hash(n)))), 6.0),
            ("days", Played::new(days()), 2.0),
            ("folders of numbers", Played::new((0..200_000_u64).map(|n| format!("u{}/{n:07}", n % 37))), 2.0),
            (
                "words",
                Played::new(
                    (0..100_000_u64).map(|n| format!("{}-{}", ["a", "the", "of"][n as usize % 3], hash(n / 3))),
                ),
                2.0,
            ),
        ] {
            let (one, many) = (played.run(1, 0), played.run(MOST_REQUESTS, 0));
            assert!(many.keys == played.keys && one.keys == played.keys, "{name}");
            let faster = one.ticks as f64 / many.ticks as f64;
            let more = many.requests as f64 / one.requests as f64;
            eprintln!("{name}: {faster:.1} times as fast, {more:.2} times the requests, {} held", many.most_held);
            assert!(faster >= least, "{name}: {faster:.1} times as fast");
            assert!(more < 2.0, "{name}: {more:.2} times as many requests");
            assert!(many.most_held <= (MOST_PAGES + 1) * 1000, "{name}: {}", many.most_held);
        }
    }

    #[test]
    fn a_slow_receiver_and_a_short_listing_cost_no_more_requests() {
        let slow = Played { takes: 5, ..Played::new((0..50_000).map(|n| format!("{n:06}"))) };
        let (one, many) = (slow.run(1, 0), slow.run(MOST_REQUESTS, 0));
        assert!(many.requests <= one.requests + 2, "{} instead of {}", many.requests, one.requests);
        let short = Played::new((0..1_500).map(|n| format!("{n:06}")));
        assert_eq!(short.run(MOST_REQUESTS, 0).requests, 2);
    }

    /// Pages that are held, and requests that were sent, where the first of those in flight is never answered.
    fn held_behind_one(played: &Played) -> (usize, usize) {
        let mut ranges = Ranges::new(MOST_REQUESTS, 0);
        let (mut waiting, mut sent): (Vec<Asked>, _) = (Vec::new(), 0);
        for round in 0..300 {
            while let Taken::Object(_) = ranges.take() {}
            waiting.extend(std::iter::from_fn(|| ranges.ask()).inspect(|_| sent += 1));
            let answered = if round < 10 { 0 } else { 1 };
            for Asked { number, from } in waiting.drain(answered.min(waiting.len())..) {
                ranges.answered(number, played.page(&from)).expect("in order");
            }
        }
        (ranges.ranges.iter().map(|range| range.pages.len()).sum(), sent)
    }

    #[test]
    fn a_page_that_is_waited_for_holds_back_those_behind_it() {
        let (held, sent) = held_behind_one(&Played::new((0..200_000).map(|n| format!("{n:06}"))));
        assert!((MOST_REQUESTS..=MOST_PAGES).contains(&held), "{held}");
        assert!(sent < 200, "{sent} requests");
    }

    #[test]
    fn pages_of_long_keys_are_fewer() {
        let played = Played::new((0..200_000).map(|n| format!("{}{n:06}", "k".repeat(1000))));
        let (held, _) = held_behind_one(&played);
        let bytes = held * played.page_keys * held_bytes(&object(&played.keys[0]));
        assert!((1..=MOST_BYTES).contains(&bytes), "{bytes}");
    }

    #[test]
    fn a_server_that_does_not_heed_start_after_is_asked_page_by_page() {
        let played = Played { heeds_start_after: false, ..Played::new((0..20_000).map(|n| format!("{n:06}"))) };
        assert_eq!(played.run(MOST_REQUESTS, 0).keys, played.keys);
    }

    #[test]
    fn an_order_that_ends_late_is_an_error_and_loses_no_key_in_silence() {
        let keys = || ["a", "B", "c"].into_iter().flat_map(|letter| (0..6_000).map(move |n| format!("{letter}{n:05}")));
        let played = Played::new(keys()).folding_case();
        let (outcome, ended) = played.play(MOST_REQUESTS, 0);
        assert!(ended.is_err(), "{} of {} keys came", outcome.keys.len(), played.keys.len());
        assert!(outcome.keys.len() >= 2_000 && played.keys.starts_with(&outcome.keys), "{}", outcome.keys.len());
        assert_eq!(played.run(1, 0).keys, played.keys, "page by page, any order will do");
    }

    #[test]
    fn a_server_without_an_order_is_asked_page_by_page() {
        let mut ranges = Ranges::new(MOST_REQUESTS, 0);
        let mut keys = Vec::new();
        for page in 0..20_u32 {
            let asked = ranges.ask().expect("a page is waited for");
            assert_eq!(ranges.ask(), None, "one at a time");
            let objects = (0..3).map(|n| object(&format!("{}", (page * 3 + n) * 7 % 61))).collect();
            let next = (page < 19).then(|| page.to_string());
            ranges.answered(asked.number, Page { objects, next }).expect("nothing relies on the order");
            while let Taken::Object(object) = ranges.take() {
                keys.push(object.key);
            }
        }
        assert_eq!((keys.len(), ranges.take()), (60, Taken::End));
    }

    #[test]
    fn a_request_that_fails_ends_the_listing_in_its_turn() {
        let played = Played::new((0..20_000).map(|n| format!("{n:06}")));
        let mut ranges = Ranges::new(MOST_REQUESTS, 0);
        let (mut given, mut sent) = (0, 0);
        loop {
            match ranges.take() {
                Taken::Object(object) => {
                    assert_eq!(object.key, played.keys[given]);
                    given += 1;
                    continue;
                }
                Taken::Failed(_) => break,
                Taken::Wait => {}
                Taken::End => panic!("it has failed before"),
            }
            let asked: Vec<_> = std::iter::from_fn(|| ranges.ask()).collect();
            for asked in asked {
                sent += 1;
                match sent == 9 {
                    true => ranges.failed(asked.number),
                    false => ranges.answered(asked.number, played.page(&asked.from)).expect("in order"),
                }
            }
        }
        assert!((2000..20_000).contains(&given), "{given}");
    }

    proptest! {
        #[test]
        fn every_key_comes_once_and_in_order(
            keys in prop_oneof![
                prop::collection::btree_set("[ab/]{1,5}", 0..200),
                prop::collection::btree_set("[0-9]{3}", 0..900),
                prop::collection::btree_set("\\PC{1,4}", 0..300),
                Just((0..600).map(|n| format!("x{n}")).collect::<BTreeSet<_>>()),
            ],
            page_keys in 1_usize..80,
            takes in prop_oneof![Just(usize::MAX), 1_usize..50],
            answers_after in 1_u64..9,
            heeds_start_after in prop::bool::weighted(0.8),
            seed: u64,
        ) {
            let keys: Vec<String> = keys.into_iter().collect();
            let played = Played { keys, page_keys, takes, answers_after, heeds_start_after, folds_case: false };
            let outcome = played.run(MOST_REQUESTS, seed);
            prop_assert_eq!(&outcome.keys, &played.keys);
            prop_assert!(outcome.most_held <= (MOST_PAGES + 1) * page_keys);
        }
    }
}
