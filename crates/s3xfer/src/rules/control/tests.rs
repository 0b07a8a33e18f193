//! The controller on small links, in steps of a millisecond, and on events in any order.

use proptest::prelude::*;

use super::*;

const BOUNDS: Bounds = Bounds { requests: 512, part_bytes: 64 << 20, are_uploads: false };
const MB: f64 = 1e6;

/// A link that all bodies share, each no faster than a connection; in steps of a millisecond.
struct Link {
    bytes_per_second: f64,
    connection: f64,
    first_byte_ms: u64,
    /// Above so many bodies it carries that share.
    collapses_above: usize,
    carries_then: f64,
    /// Above so many bodies each one more makes it carry less.
    congested_above: usize,
}

/// A transfer over it.
struct Played {
    controller: Controller,
    /// When each request's body begins, and the bytes that are still to come.
    requests: Vec<(u64, f64)>,
    left: u64,
    received: f64,
    ms: u64,
    peak: usize,
}

impl Played {
    fn new(bytes: u64) -> Self {
        let (controller, requests) = (Controller::new(BOUNDS), Vec::new());
        Self { controller, requests, left: bytes, received: 0.0, ms: 0, peak: 0 }
    }

    /// Until everything has come, or the time is over.
    fn over(&mut self, link: &Link, until_ms: u64) {
        while self.ms < until_ms && (self.left > 0 || !self.requests.is_empty()) {
            self.step(link);
        }
    }

    fn step(&mut self, link: &Link) {
        let now = Duration::from_millis(self.ms);
        for _ in 0..self.controller.shed().min(self.requests.len() as u32) {
            let (begins, left) = self.requests.pop().expect("no more than there are");
            self.controller.ended(now, begins <= self.ms);
            self.left += left as u64;
        }
        // The first answer tells how large the object is.
        let most = if self.controller.meter.answers == 0 { 1 } else { self.controller.target() };
        while self.left > 0 && self.requests.len() < most as usize {
            let bytes = self.controller.part_bytes(self.left).min(self.left);
            self.left -= bytes;
            self.controller.asked(now);
            self.requests.push((self.ms + link.first_byte_ms, bytes as f64));
        }
        self.peak = self.peak.max(self.requests.len());
        self.ms += 1;
        let now = Duration::from_millis(self.ms);
        for _ in self.requests.iter().filter(|(begins, _)| *begins == self.ms) {
            self.controller.answered(now, Duration::from_millis(link.first_byte_ms), Beside::default());
        }
        let flowing = self.requests.iter().filter(|(begins, _)| *begins <= self.ms).count();
        let share = if flowing > link.collapses_above { link.carries_then } else { 1.0 };
        let crowd = (flowing as f64 / link.congested_above as f64).max(1.0);
        let carried = share * link.bytes_per_second / crowd;
        let each = link.connection.min(carried / flowing.max(1) as f64) / 1e3;
        for (begins, left) in &mut self.requests {
            if *begins <= self.ms {
                self.received += each.min(*left);
                *left -= each.min(*left);
            }
        }
        let before = self.requests.len();
        self.requests.retain(|(_, left)| *left > 0.0);
        for _ in self.requests.len()..before {
            self.controller.ended(now, true);
        }
        self.controller.look(now, self.received as u64, 0);
    }
}

/// So many requests are sent.
fn ask(controller: &mut Controller, requests: u32, now: Duration) {
    for _ in 0..requests {
        controller.asked(now);
    }
}

/// So many are refused, as by a server that takes so many in a second.
fn refuse(controller: &mut Controller, requests: u32, now: Duration) {
    (0..requests).for_each(|_| controller.refused(now, Beside::default(), false));
}

fn link(link_mb: f64, connection_mb: f64, first_byte_ms: u64) -> Link {
    let (bytes_per_second, connection) = (link_mb * MB, connection_mb * MB);
    let (collapses_above, congested_above) = (usize::MAX, usize::MAX);
    Link { bytes_per_second, connection, first_byte_ms, collapses_above, carries_then: 0.01, congested_above }
}

#[test]
fn the_last_few_parts_begin_together_unless_more_are_worse_or_too_fast() {
    let mut controller = Controller::new(BOUNDS);
    let targets = |controller: &Controller| [9, 8, 1, 0].map(|left| controller.target_before(left));
    assert_eq!(targets(&controller), [16, 24, 24, 24]);
    ask(&mut controller, 16, Duration::ZERO);
    refuse(&mut controller, 2, Duration::from_millis(30));
    assert_eq!(targets(&controller), [controller.target(); 4], "they come too fast");
    let mut worse = Controller::new(BOUNDS);
    worse.raise_ceiling(Reached { requests: 8.0, rate: 1.0, at: 0.0 });
    assert_eq!(targets(&worse), [worse.target(); 4], "more are worse");
}

#[test]
fn slow_connections_become_as_many_as_fill_the_link_within_a_second() {
    let mut played = Played::new(4 << 30);
    let link = link(1000.0, 10.0, 30);
    played.over(&link, 1000);
    let before = played.received;
    played.over(&link, 2000);
    assert!(played.received - before > 900.0 * MB, "{} MB", (played.received - before) / MB);
    assert!(played.peak <= 256, "{}", played.peak);
}

#[test]
fn connections_that_are_far_away_are_opened_while_the_first_answers_are_waited_for() {
    let link = link(2000.0, 5.0, 200);
    let received = |wants: bool| {
        let mut played = Played::new(400 << 20);
        if wants {
            played.controller.wants(400 << 20);
        }
        played.over(&link, 1000);
        (played.received, played.peak)
    };
    let ((told, peak), (untold, _)) = (received(true), received(false));
    assert!(told > 1.35 * untold && peak <= 512, "{} and {} MB, {peak}", told / MB, untold / MB);
}

#[test]
fn no_more_are_opened_than_the_bytes_that_are_left_have_use_for() {
    let mut played = Played::new(256 << 20);
    played.controller.wants(256 << 20);
    // 256 MiB are 34 times the bytes that a body brings in one answer time.
    played.over(&link(40.0, 50.0, 200), 60_000);
    assert!(played.peak <= 40, "{}", played.peak);
}

#[test]
fn requests_that_are_too_many_are_looked_at_though_nothing_happens() {
    let mut controller = Controller::new(BOUNDS);
    let ms = Duration::from_millis;
    ask(&mut controller, 16, ms(0));
    (0..16).for_each(|_| controller.answered(ms(30), ms(30), Beside::default()));
    controller.look(ms(40), 1000, 0);
    controller.phase = Phase::Steady;
    controller.set(4.0);
    let due = controller.due(false).expect("twelve are too many");
    assert!(due <= ms(1100), "{due:?}");
    controller.look(due + ms(20), 1000, 0);
    assert_eq!(controller.shed(), 12);
}

#[test]
fn requests_that_are_too_many_are_cut_off_once() {
    let ms = Duration::from_millis;
    let mut controller = Controller::new(BOUNDS);
    ask(&mut controller, 30, ms(0));
    (0..30).for_each(|_| controller.answered(ms(10), ms(10), Beside::default()));
    let shed = [50, 200, 201, 260].map(|at| {
        controller.look(ms(at), 0, 0);
        controller.shed()
    });
    assert_eq!(shed, [0, 14, 0, 0], "of 30, 16 are wanted");
}

#[test]
fn a_ramp_that_carries_less_than_one_body_is_cut_off_at_once() {
    let ms = Duration::from_millis;
    let mut controller = Controller::new(BOUNDS);
    controller.wants(48 << 20);
    controller.asked(ms(0));
    controller.answered(ms(250), ms(250), Beside::default());
    ask(&mut controller, 31, ms(250));
    let mut received = 0;
    let mut cut = None;
    for at in (260..2000).step_by(10) {
        if at == 500 {
            (1..32).for_each(|_| controller.answered(ms(at), ms(250), Beside::default()));
        }
        // One alone has 12.5 MB/s, all together 7.
        received += if at <= 500 { 125_000 } else { 70_000 };
        controller.look(ms(at), received, 0);
        if controller.target() < 32 {
            cut = Some((at, controller.shed(), controller.target()));
            break;
        }
    }
    let (at, shed, target) = cut.expect("fewer are enough");
    assert!(at <= 1100 && shed == 32 - target && target < 16, "{shed} cut off after {at} ms, {target} left");
}

#[test]
fn where_more_are_worse_fewer_are_tried() {
    let bytes = 64 << 20;
    let mut played = Played::new(bytes);
    played.controller.wants(bytes);
    // Sixteen are too many from the beginning, and more are worse.
    let crowded = Link { congested_above: 4, ..link(7.0, 5.0, 5) };
    played.over(&crowded, 60_000);
    assert!(played.ms < 14_000, "{} ms", played.ms);
}

#[test]
fn a_thin_link_keeps_few_requests_and_loses_nothing() {
    let mut played = Played::new(200 << 20);
    played.over(&link(40.0, 60.0, 30), 60_000);
    let least = f64::from(200 << 20) / (40.0 * MB);
    assert!(f64::from(u32::try_from(played.ms).unwrap()) / 1e3 < 1.06 * least, "{} ms", played.ms);
    assert!(played.peak <= 32, "{}", played.peak);
}

#[test]
fn where_more_are_worse_it_goes_back_at_once_and_stays_below() {
    let mut played = Played::new(4 << 30);
    let collapsing = Link { collapses_above: 24, ..link(3000.0, 30.0, 30) };
    played.over(&collapsing, 1500);
    let before = played.received;
    played.over(&collapsing, 4500);
    // 24 connections of 30 MB/s, or the 16 that there were before it was tried.
    assert!(played.received - before > 3.0 * 430.0 * MB, "{} MB", (played.received - before) / MB);
}

#[test]
fn a_link_that_comes_back_is_full_again_within_seconds() {
    let mut played = Played::new(8 << 30);
    played.over(&link(1000.0, 20.0, 30), 2000);
    played.over(&link(250.0, 20.0, 30), 4000);
    played.over(&link(1000.0, 20.0, 30), 6000);
    let before = played.received;
    played.over(&link(1000.0, 20.0, 30), 7000);
    assert!(played.received - before > 850.0 * MB, "{} MB", (played.received - before) / MB);
}

#[test]
fn refused_requests_make_parts_larger_and_follow_each_other_slowly() {
    let mut controller = Controller::new(BOUNDS);
    let ms = Duration::from_millis;
    ask(&mut controller, 20, ms(10));
    controller.answered(ms(40), ms(30), Beside::default());
    let before = controller.part_bytes(1 << 30);
    refuse(&mut controller, 15, ms(50));
    assert!(controller.part_bytes(1 << 30) >= 8 << 20 && before < 8 << 20, "{before}");
    refuse(&mut controller, 15, ms(400));
    assert_eq!(controller.part_bytes(10 << 30), 16 << 20, "one volley doubles them once");
    let slots: Vec<Duration> = (0..3).map(|_| controller.slot(ms(500))).collect();
    assert!(slots.is_sorted() && slots[2] > ms(510), "{slots:?}");
    assert!(!controller.may_ask_again(0, ms(10_000)));
}

#[test]
fn one_refusal_among_many_answers_changes_nothing() {
    let mut controller = Controller::new(BOUNDS);
    let ms = Duration::from_millis;
    ask(&mut controller, 20, ms(10));
    controller.answered(ms(40), ms(30), Beside::default());
    refuse(&mut controller, 1, ms(50));
    refuse(&mut controller, 1, ms(400));
    assert!(!controller.is_paced() && controller.may_ask_again(0, ms(10_000)));
    refuse(&mut controller, 1, ms(410));
    assert!(controller.is_paced() && !controller.may_ask_again(0, ms(10_000)));
}

#[test]
fn a_few_second_requests_are_kept_for_a_request_that_is_very_late() {
    let mut controller = Controller::new(BOUNDS);
    let ms = Duration::from_millis;
    ask(&mut controller, 20, ms(10));
    for _ in 0..20 {
        controller.answered(ms(40), ms(30), Beside::default());
    }
    // 20 requests have a budget of 5; twice the usual 30 ms is late, four times is very late.
    assert!(controller.may_ask_again(3, ms(40)) && !controller.may_ask_again(4, ms(40)));
    assert!(controller.may_ask_again(4, ms(60)) && !controller.may_ask_again(5, ms(119)));
    assert!(controller.may_ask_again(8, ms(120)) && !controller.may_ask_again(9, ms(10_000)));
}

#[test]
fn a_request_that_was_alone_tells_no_pace() {
    let mut controller = Controller::new(BOUNDS);
    for ms in [0, 300, 800].map(Duration::from_millis) {
        ask(&mut controller, 1, ms);
        refuse(&mut controller, 1, ms + Duration::from_millis(30));
    }
    assert!(!controller.is_paced() && controller.evidence().refused == 3);
    controller.answered(Duration::from_millis(900), Duration::from_millis(30), Beside::default());
    controller.look(Duration::from_secs(1), 8 << 20, 0);
    assert_eq!(controller.found(), None, "nothing for the next transfer to go by");
}

#[test]
fn an_uploaded_part_that_is_refused_flows_no_more() {
    let mut controller = Controller::new(Bounds { are_uploads: true, ..BOUNDS });
    let ms = Duration::from_millis;
    for at in (0..20).map(|part| ms(10 * part)) {
        let beside = controller.asked(at);
        controller.answered(at, ms(30), beside);
        controller.refused(at + ms(5), beside, true);
    }
    assert_eq!((controller.meter.flowing, controller.meter.in_flight), (0, 0));
}

#[test]
fn a_server_that_takes_so_many_at_once_is_asked_for_no_more() {
    for most in [4, 20, 100] {
        let mut controller = Controller::new(BOUNDS);
        let (mut ends, mut received, mut refused) = (Vec::new(), 0, 0);
        for now in (0..3000).map(Duration::from_millis) {
            let before = ends.len();
            ends.retain(|end| *end > now);
            (ends.len()..before).for_each(|_| controller.ended(now, true));
            while ends.len() < controller.target() as usize && controller.slot(now) <= now {
                let beside = controller.asked(now);
                if ends.len() >= most {
                    controller.refused(now, beside, false);
                    refused += 1;
                    break;
                }
                controller.answered(now, Duration::from_millis(20), beside);
                ends.push(now + Duration::from_millis(400));
            }
            received += 20_000 * ends.len() as u64;
            controller.look(now, received, 0);
        }
        let target = controller.target() as usize;
        assert!((most - most / 20..=most + 1).contains(&target) && !controller.is_paced(), "{target} of {most}");
        assert!(refused < 200, "{refused}");
    }
}

#[test]
fn parts_that_wait_for_their_turn_become_larger() {
    let mut controller = Controller::new(BOUNDS);
    let waiting: Vec<Range<u64>> = (0..60_u64).map(|part| part << 20..(part + 1) << 20).collect();
    assert_eq!(controller.merge(&waiting, 0), [], "nothing was refused");
    ask(&mut controller, 80, Duration::from_millis(10));
    controller.answered(Duration::from_millis(40), Duration::from_millis(30), Beside::default());
    refuse(&mut controller, 60, Duration::from_millis(60));
    let merged = controller.merge(&waiting, 0);
    let part_bytes = merged[0].part_bytes;
    assert!(merged.len() == 1 && merged[0].bytes == (0..60 << 20) && part_bytes > 2 << 20, "{merged:?}");
    (1..=5).for_each(|volley| refuse(&mut controller, 60, Duration::from_millis(60 + 200 * volley)));
    assert_eq!(controller.merge(&waiting, 0), [], "it answers nothing at all");
}

#[test]
fn connections_that_are_not_served_are_given_up() {
    let connections = |served, late| Connections { round_trip: Duration::from_millis(1), served, late };
    let mut controller = Controller::new(BOUNDS);
    controller.set(64.0);
    controller.connections(connections(60, 4));
    assert_eq!(controller.target(), 64, "a few are late");
    controller.connections(connections(16, 16));
    assert_eq!(controller.target(), 16);
    controller.set(64.0);
    assert_eq!(controller.target(), 16, "for a while");
}

#[test]
fn a_refusal_of_long_ago_is_forgotten() {
    let mut controller = Controller::new(BOUNDS);
    let ms = Duration::from_millis;
    ask(&mut controller, 20, ms(10));
    controller.answered(ms(40), ms(30), Beside::default());
    refuse(&mut controller, 15, ms(50));
    (1..=99).for_each(|tenth| controller.look(ms(100 * tenth), 1000 * tenth, 0));
    assert!(controller.is_paced());
    controller.look(ms(10_100), 100_000, 0);
    assert!(!controller.is_paced() && controller.may_ask_again(0, ms(10_000)));
}

#[test]
fn parts_are_long_enough_for_connections_that_take_long_to_find_their_rate() {
    let least = |round_trip| {
        let mut controller = Controller::new(BOUNDS);
        controller.asked(Duration::ZERO);
        let round_trip = Duration::from_millis(round_trip);
        controller.connections(Connections { round_trip, served: 0, late: 0 });
        controller.answered(Duration::from_millis(40), Duration::from_millis(40), Beside::default());
        controller.part_bytes(64 << 20)
    };
    assert!(least(2) < 2 << 20 && least(29) < 2 << 20);
    assert_eq!(least(100), 4 << 20);
}

#[test]
fn a_second_transfer_begins_where_the_first_one_ended() {
    let link = link(1000.0, 10.0, 30);
    let mut first = Played::new(2 << 30);
    first.over(&link, 60_000);
    let found = first.controller.found().expect("it took seconds");
    assert!((80.0..=256.0).contains(&found.requests) && found.is_full && !found.more_are_worse, "{found:?}");
    let mut second = Played::new(2 << 30);
    second.controller.tell(found);
    second.over(&link, 300);
    assert!(second.received > 220.0 * MB, "{} MB in 270 ms", second.received / MB);
    let mut cold = Played::new(2 << 30);
    cold.over(&link, 300);
    assert!(second.received > 1.5 * cold.received, "{} MB without being told", cold.received / MB);
}

#[test]
fn the_findings_of_another_network_cost_nearly_nothing() {
    for (found_on, link) in [
        (link(1000.0, 10.0, 30), link(40.0, 60.0, 120)),
        (link(40.0, 60.0, 120), link(1000.0, 10.0, 30)),
        (link(1000.0, 100.0, 30), link(1000.0, 10.0, 30)),
    ] {
        let mut first = Played::new(1 << 30);
        first.over(&found_on, 60_000);
        let (mut told, mut cold) = (Played::new(256 << 20), Played::new(256 << 20));
        told.controller.tell(first.controller.found().unwrap());
        told.over(&link, 60_000);
        cold.over(&link, 60_000);
        assert!(told.ms * 100 <= cold.ms * 103, "{} ms after {} ms", told.ms, cold.ms);
    }
}

#[test]
fn findings_come_too_late_after_the_first_answer() {
    let mut played = Played::new(1 << 30);
    played.over(&link(1000.0, 10.0, 30), 40);
    let before = played.controller.target();
    let found = Found { requests: 400.0, ..found_anywhere() };
    played.controller.tell(found);
    assert_eq!(played.controller.target(), before);
    let mut never_judged = Controller::new(BOUNDS);
    never_judged.tell(found);
    assert_eq!((never_judged.target(), never_judged.found()), (400, None));
    let mut bounded = Controller::new(Bounds { requests: 5, ..BOUNDS });
    bounded.tell(found);
    assert_eq!(bounded.target(), 5);
}

fn found_anywhere() -> Found {
    Found {
        requests: 40.0,
        body_rate: 2e7,
        first_byte: 0.03,
        first_answer: None,
        is_full: true,
        more_are_worse: false,
        per_second: None,
        least_part: 0.0,
    }
}

#[test]
fn parts_that_are_left_are_of_one_size() {
    let controller = Controller::new(BOUNDS);
    let mut left = (20 << 20) + 100_000;
    let mut sizes = Vec::new();
    while left > 0 {
        let bytes = controller.part_bytes(left).min(left);
        sizes.push(bytes);
        left -= bytes;
    }
    assert!(sizes.len() >= 16, "{sizes:?}");
    assert!(sizes.iter().min().unwrap() * 5 / 4 >= *sizes.iter().max().unwrap(), "{sizes:?}");
}

proptest! {
    /// Any events, in any order.
    #[test]
    fn numbers_stay_within_the_bounds(
        requests in 1_u32..600, part_bytes in 1_u64..1 << 30,
        events in prop::collection::vec((0_u8..5, 0_u64..400, any::<u32>()), 0..400),
    ) {
        let mut controller = Controller::new(Bounds { requests, part_bytes, ..BOUNDS });
        let (mut now, mut received) = (Duration::ZERO, 0);
        for (event, ms, bytes) in events {
            now += Duration::from_millis(ms);
            match event {
                0 => ask(&mut controller, 1, now),
                1 => controller.answered(now, Duration::from_millis(ms), Beside::default()),
                2 => controller.ended(now, bytes % 2 == 0),
                3 => controller.refused(now, Beside { in_flight: bytes % 600, refused: ms }, bytes % 2 == 0),
                _ => {
                    received += u64::from(bytes);
                    controller.look(now, received, bytes % 7);
                }
            }
            prop_assert!((1..=requests).contains(&controller.target()));
            let part = controller.part_bytes(u64::from(bytes) << 10);
            prop_assert!((1..=part_bytes).contains(&part.max(1)));
            prop_assert!(controller.due(bytes % 2 == 0).is_none_or(|due| due > now));
            prop_assert!(controller.slot(now) >= now);
        }
    }
}
