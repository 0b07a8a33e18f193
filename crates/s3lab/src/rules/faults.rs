//! The planned faults' effect on one request or its answer, and the moment in the body when they strike.

use std::collections::VecDeque;
use std::time::Duration;

use crate::words::{FaultKind, FaultPlan, RequestKind};

/// An answer instead of the object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    SlowDown,
    InternalError,
    /// 409 ConditionalRequestConflict.
    Conflict,
    /// 200, and an error of that code.
    InSuccess(String),
}

/// The end of a request that was carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aftermath {
    /// The connection is reset.
    Lost,
    InternalError,
}

/// The effect of the faults that meet one request, on it or on its answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Effects {
    pub(crate) replace: bool,
    pub(crate) refusal: Option<Refusal>,
    pub(crate) aftermath: Option<Aftermath>,
    pub(crate) ignore_range: bool,
    /// The header's value instead of the true one; the inner `None` leaves it out.
    pub(crate) content_range: Option<Option<String>>,
    /// The body's and `Content-Length`'s upper bound.
    pub(crate) max_length: Option<u64>,
    /// Offsets, in the object or in the request's body, whose bytes are inverted.
    pub(crate) corrupt: Vec<u64>,
    pub(crate) body: BodyFaults,
    /// Number of planned faults that met the request.
    pub(crate) count: u64,
}

/// The faults of a body while it is sent. Positions count the body's bytes from 0.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct BodyFaults {
    reset_at: Option<u64>,
    end_at: Option<u64>,
    /// In ascending order; a stall that struck is taken out.
    stalls: VecDeque<(u64, Option<Duration>)>,
    pub(crate) bytes_per_s: Option<u64>,
}

/// The next step of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Send at most this many bytes, then ask again.
    Send(u64),
    /// Pause; for ever if there is no duration.
    Stall(Option<Duration>),
    /// Abort the connection.
    Reset,
    /// Close the connection.
    End,
}

impl BodyFaults {
    /// The step at `position`. A stall is answered once.
    pub(crate) fn step(&mut self, position: u64) -> Step {
        if let Some((_, duration)) = self.stalls.front().copied().filter(|(at, _)| *at <= position) {
            self.stalls.pop_front();
            return Step::Stall(duration);
        }
        if self.reset_at.is_some_and(|at| at <= position) {
            return Step::Reset;
        }
        if self.end_at.is_some_and(|at| at <= position) {
            return Step::End;
        }
        let next = [self.stalls.front().map(|(at, _)| *at), self.reset_at, self.end_at].into_iter().flatten().min();
        Step::Send(next.map_or(u64::MAX, |at| at - position))
    }

    /// The action at the end of a body that comes in, wherever that is.
    pub(crate) fn at_the_end(&mut self) -> Step {
        self.step(u64::MAX)
    }

    /// Whether there is nothing to do but send.
    pub(crate) fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

fn least(a: Option<u64>, b: u64) -> Option<u64> {
    Some(a.map_or(b, |a| a.min(b)))
}

/// The faults of `plan` that meet the `ordinal`-th request of that kind for `key`, merged: of two limits the smaller
/// one strikes.
pub(crate) fn effects(plan: &FaultPlan, on: RequestKind, key: &str, ordinal: u64) -> Effects {
    let mut effects = Effects::default();
    let mut stalls = Vec::new();
    let met = |fault: &&crate::words::Fault| {
        fault.on == on && (fault.key == "*" || fault.key == key) && fault.requests.contain(ordinal)
    };
    for fault in plan.faults().iter().filter(met) {
        effects.count += 1;
        let body = &mut effects.body;
        match &fault.kind {
            FaultKind::Reset { after_bytes } => body.reset_at = least(body.reset_at, *after_bytes),
            FaultKind::Truncate { after_bytes } => body.end_at = least(body.end_at, *after_bytes),
            FaultKind::Stall { after_bytes, duration } => stalls.push((*after_bytes, *duration)),
            FaultKind::Slow { bytes_per_s } => body.bytes_per_s = least(body.bytes_per_s, *bytes_per_s),
            FaultKind::ShortLength { length } => effects.max_length = least(effects.max_length, *length),
            FaultKind::SlowDown => effects.refusal = Some(Refusal::SlowDown),
            FaultKind::InternalError => effects.refusal = Some(Refusal::InternalError),
            FaultKind::ContentRange { value } => effects.content_range = Some(value.clone()),
            FaultKind::IgnoreRange => effects.ignore_range = true,
            FaultKind::Corrupt { at } => effects.corrupt.push(*at),
            FaultKind::Replace => effects.replace = true,
            FaultKind::LostAnswer => effects.aftermath = Some(Aftermath::Lost),
            FaultKind::LateError => effects.aftermath = Some(Aftermath::InternalError),
            FaultKind::Conflict => effects.refusal = Some(Refusal::Conflict),
            FaultKind::ErrorInSuccess { code } => effects.refusal = Some(Refusal::InSuccess(code.clone())),
        }
    }
    stalls.sort_by_key(|(at, _)| *at);
    effects.body.stalls = stalls.into();
    effects
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::{Fault, Requests};

    const GET: RequestKind = RequestKind::GetObject;

    fn plan(kinds: &[FaultKind]) -> FaultPlan {
        kinds.iter().fold(FaultPlan::none(), |plan, kind| plan.and("k", Requests::At(1), kind.clone()).expect("valid"))
    }

    #[test]
    fn faults_meet_their_key_and_ordinal_only() {
        let plan = plan(&[FaultKind::Replace]);
        assert_eq!(effects(&plan, GET, "k", 0), Effects::default());
        assert_eq!(effects(&plan, GET, "j", 1), Effects::default());
        assert!(effects(&plan, GET, "k", 1).replace);
        let every = FaultPlan::none().and("*", Requests::Every, FaultKind::SlowDown).expect("valid");
        assert_eq!(effects(&every, GET, "any", 99).refusal, Some(Refusal::SlowDown));
    }

    #[test]
    fn a_body_stalls_once_and_is_reset_where_planned() {
        let second = Some(Duration::from_secs(1));
        let plan = plan(&[
            FaultKind::Reset { after_bytes: 30 },
            FaultKind::Stall { after_bytes: 10, duration: second },
            FaultKind::Stall { after_bytes: 0, duration: None },
        ]);
        let mut body = effects(&plan, GET, "k", 1).body;
        let steps: Vec<_> = [0, 0, 10, 10, 29, 30].into_iter().map(|at| body.step(at)).collect();
        let (stall, pause) = (Step::Stall(None), Step::Stall(second));
        assert_eq!(steps, [stall, Step::Send(10), pause, Step::Send(20), Step::Send(1), Step::Reset]);
    }

    #[test]
    fn of_two_limits_the_smaller_strikes() {
        let plan = plan(&[FaultKind::Truncate { after_bytes: 9 }, FaultKind::Truncate { after_bytes: 4 }]);
        let mut body = effects(&plan, GET, "k", 1).body;
        assert_eq!((body.step(0), body.step(4)), (Step::Send(4), Step::End));
    }

    #[test]
    fn faults_meet_their_kind_of_request_only() {
        let fault = Fault::new("k", Requests::Every, FaultKind::Reset { after_bytes: 5 }).on(RequestKind::UploadPart);
        let plan = FaultPlan::new([fault]).expect("valid");
        assert_eq!(effects(&plan, GET, "k", 0), Effects::default());
        let mut body = effects(&plan, RequestKind::UploadPart, "k", 0).body;
        assert_eq!((body.step(0), body.at_the_end()), (Step::Send(5), Step::Reset), "a shorter body is reset, too");
        assert_eq!(BodyFaults::default().at_the_end(), Step::Send(u64::MAX), "there is nothing to do");
    }
}
