//! The engine's own controller, the very file that it runs on.

use std::time::Duration;

use crate::at_once::Beside;
use crate::connections::Connections;
use crate::control::{Bounds, Controller};
use crate::found::Found;
use crate::network::Time;
use crate::play::{Cut, OnTheWay, Part, Rule};
use crate::split::OnItsWay;

const BOUNDS: Bounds = Bounds { requests: 512, part_bytes: 64 << 20, are_uploads: false };

/// The default configuration.
#[derive(Debug, Clone)]
pub(crate) struct Ours(Controller);

impl Ours {
    pub(crate) fn new() -> Self {
        Self(Controller::new(BOUNDS))
    }

    /// After a transfer that has found that, if it has found anything.
    pub(crate) fn told(found: Option<Found>) -> Self {
        let mut controller = Controller::new(BOUNDS);
        if let Some(found) = found {
            controller.tell(found);
        }
        Self(controller)
    }

    /// For the next transfer.
    pub(crate) fn found(&self) -> Option<Found> {
        self.0.found()
    }
}

fn at(seconds: Time) -> Duration {
    Duration::from_secs_f64(seconds)
}

fn on_its_way(part: &OnTheWay) -> OnItsWay {
    OnItsWay { brought: part.brought, left: part.left, flowed: at(part.flowed) }
}

impl Rule for Ours {
    fn first_bytes(&self) -> u64 {
        8 << 20
    }

    fn target(&self) -> u32 {
        self.0.target()
    }

    fn part_bytes(&self, left: u64) -> u64 {
        self.0.part_bytes(left)
    }

    fn is_paced(&self) -> bool {
        self.0.is_paced()
    }

    fn slot(&mut self, now: Time) -> Time {
        self.0.slot(at(now)).as_secs_f64().max(now)
    }

    fn pause(&self) -> (Time, Time) {
        (0.1, 0.4)
    }

    fn connected(&mut self, after: Time) {
        self.0.connections(Connections { round_trip: at(after), served: 1, late: 0 });
    }

    fn wants(&mut self, bytes: u64) {
        self.0.wants(bytes);
    }

    fn asked(&mut self, now: Time) -> Beside {
        self.0.asked(at(now))
    }

    fn answered(&mut self, now: Time, waited: Time, beside: Beside) {
        self.0.answered(at(now), at(waited), beside);
    }

    fn ended(&mut self, now: Time, _: Part) {
        self.0.ended(at(now), true);
    }

    fn refused(&mut self, now: Time, beside: Beside) {
        self.0.refused(at(now), beside, false);
    }

    fn look(&mut self, now: Time, received: f64) {
        self.0.look(at(now), received as u64, 0);
    }

    fn due(&self, at_the_end: bool) -> Option<Time> {
        self.0.due(at_the_end).map(|due| due.as_secs_f64())
    }

    fn late_after(&self, at_the_end: bool) -> Option<Time> {
        Some(self.0.late_after(at_the_end).as_secs_f64())
    }

    fn may_ask_again(&self, second_requests: u64, waited: Time) -> bool {
        self.0.may_ask_again(second_requests, at(waited))
    }

    fn shed(&mut self) -> u32 {
        self.0.shed()
    }

    fn merge(&self, waiting: &[u64], left: u64) -> bool {
        let ends = waiting.iter().scan(0, |end, bytes| {
            let start = std::mem::replace(end, *end + bytes);
            Some(start..*end)
        });
        !self.0.merge(&ends.collect::<Vec<_>>(), left).is_empty()
    }

    fn may_retire(&mut self, now: Time) -> bool {
        self.0.may_retire(at(now))
    }

    fn retire(&mut self, parts: &[OnTheWay]) -> Option<usize> {
        self.0.retire(parts.iter().map(on_its_way))
    }

    fn split(&self, parts: &[OnTheWay]) -> Option<Cut> {
        let split = self.0.split(parts.iter().map(on_its_way))?;
        Some(Cut { index: split.index, bytes: split.bytes, requests: split.requests })
    }
}
