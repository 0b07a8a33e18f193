//! The noise by which PASHA (Bohdal, Balles, Wistuba, Ermis, Archambeau and Zappella 2023) tells whether two trials
//! differ: estimated from curves that cross. Its scheduler is `Asha`.

use crate::words::trial::Measurement;

/// PASHA compares so many of the best: its cost is quadratic in them.
pub(super) const COMPARED: usize = 16;

/// PASHA's epsilon: the 90th percentile of how far apart two curves are at their last common step, over pairs that
/// changed places and back (criss-crossed); 0 without any.
pub(super) fn criss_cross(curves: &[&[Measurement]]) -> f64 {
    let mut gaps = Vec::new();
    for (i, a) in curves.iter().enumerate() {
        for b in &curves[i + 1..] {
            let (mut swaps, mut last_sign, mut gap) = (0, 0.0, None);
            let mut rest = b.iter();
            for m in *a {
                let Some(other) = rest.by_ref().find(|o| o.step >= m.step).filter(|o| o.step == m.step) else { break };
                let difference = m.value - other.value;
                if difference != 0.0 {
                    if last_sign * difference.signum() < 0.0 {
                        swaps += 1;
                    }
                    last_sign = difference.signum();
                }
                gap = Some(difference.abs());
            }
            if swaps >= 2 {
                gaps.extend(gap);
            }
        }
    }
    gaps.sort_by(f64::total_cmp);
    gaps.get((gaps.len() * 9 / 10).min(gaps.len().saturating_sub(1))).copied().unwrap_or(0.0)
}
