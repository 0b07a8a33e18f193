//! Ranks where there are several objectives or constraints: fronts one behind the other, and the order within a front.
//! Smaller is better throughout.
//!
//! The first front holds the results that no other result beats; each later front, those of the remaining results. All
//! fronts are found in one pass over the results in lexicographic order, with a search by halves for the front of each
//! (Zhang, Tian, Cheng and Jin 2015, "An efficient approach to nondominated sorting for evolutionary multiobjective
//! optimization"). Within a front come first those with room around them (Deb, Pratap, Agarwal and Meyarivan 2002), or
//! those of an epsilon-net: each is the farthest from those before it (Schmucker, Donini, Zafar, Salinas and Archambeau
//! 2021).

use super::pareto::{dominates, lexicographic};

/// The number of each point's front, from 0; `None` for a point with a NaN, which is on none. Takes time in proportion
/// to n log n in one and two objectives, and in more to n and the length of the fronts.
pub(super) fn fronts(points: &[Vec<f64>]) -> Vec<Option<usize>> {
    let mut order: Vec<usize> = (0..points.len()).filter(|i| points[*i].iter().all(|v| !v.is_nan())).collect();
    order.sort_by(|a, b| lexicographic(&points[*a], &points[*b]).then(a.cmp(b)));
    let mut numbers = vec![None; points.len()];
    let mut fronts: Vec<Vec<usize>> = Vec::new();
    for i in order {
        let point = &points[i];
        // In two objectives the last one of a front has the least second value: if that does not beat it, none does.
        let members = |front: &Vec<usize>| if point.len() <= 2 { front.len().saturating_sub(1) } else { 0 };
        let beats = |front: &Vec<usize>| front[members(front)..].iter().any(|other| dominates(&points[*other], point));
        // A point that a front beats is beaten by the fronts before it.
        let number = fronts.partition_point(beats);
        match fronts.get_mut(number) {
            Some(front) => front.push(i),
            None => fronts.push(vec![i]),
        }
        numbers[i] = Some(number);
    }
    numbers
}

/// Crowding of each point of a front, in [0, 1): 0 at the ends of an objective.
pub(super) fn crowding(front: &[&[f64]]) -> Vec<f64> {
    let mut room = vec![0.0; front.len()];
    for m in 0..front.first().map_or(0, |point| point.len()) {
        let mut order: Vec<usize> = (0..front.len()).collect();
        order.sort_by(|a, b| front[*a][m].total_cmp(&front[*b][m]).then(a.cmp(b)));
        let (first, last) = (order[0], order[order.len() - 1]);
        let range = front[last][m] - front[first][m];
        (room[first], room[last]) = (f64::INFINITY, f64::INFINITY);
        for w in order.windows(3).filter(|_| range > 0.0) {
            room[w[1]] += (front[w[2]][m] - front[w[0]][m]) / range;
        }
    }
    room.into_iter().map(|room: f64| 0.999 / (1.0 + room)).collect()
}

/// Points of an epsilon-net that are looked for; the others follow in their own order. A front of 10,000 points takes
/// some milliseconds.
const NET: usize = 256;

/// The places of a front's points in the order of an epsilon-net: first the best point in the first objective, then
/// each time the point that is farthest from all earlier ones. Each objective is measured by its range on the front.
pub(super) fn epsilon_net(front: &[&[f64]]) -> Vec<usize> {
    let dimensions = front.first().map_or(0, |point| point.len());
    let scales: Vec<f64> = (0..dimensions)
        .map(|m| {
            let ends = front.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), p| (a.min(p[m]), b.max(p[m])));
            let range = ends.1 - ends.0;
            if range > 0.0 && range.is_finite() { range } else { f64::INFINITY }
        })
        .collect();
    let distance = |a: &[f64], b: &[f64]| -> f64 {
        let each =
            a.iter().zip(b).zip(&scales).map(|((a, b), scale)| if scale.is_finite() { (a - b) / scale } else { 0.0 });
        each.map(|d| d * d).sum()
    };
    let mut left: Vec<usize> = (0..front.len()).collect();
    let first = left.iter().copied().min_by(|a, b| front[*a][0].total_cmp(&front[*b][0]).then(a.cmp(b)));
    let mut next = first;
    let mut net = Vec::with_capacity(front.len());
    // Distance of each to the nearest of the net.
    let mut apart = vec![f64::INFINITY; front.len()];
    while let Some(chosen) = next.filter(|_| net.len() < NET) {
        net.push(chosen);
        left.retain(|i| *i != chosen);
        left.iter().for_each(|i| apart[*i] = apart[*i].min(distance(front[*i], front[chosen])));
        // The first of equals.
        next = left.iter().copied().reduce(|a, b| if apart[b] > apart[a] { b } else { a });
    }
    net.extend(left);
    net
}

/// Distance of each result from meeting the constraints, which are met at 0 or below: the sum of their excesses, each
/// measured by the constraint's largest value of any result, for each has a scale of its own. A NaN counts as met.
pub(super) fn excess(constraints: &[Vec<f64>]) -> Vec<f64> {
    let count = constraints.first().map_or(0, Vec::len);
    let worst = |c: usize| constraints.iter().filter_map(|values| values.get(c)).copied().fold(0.0, f64::max);
    let scales: Vec<f64> = (0..count).map(worst).collect();
    let one = |(value, scale): (&f64, &f64)| if *scale > 0.0 { value.max(0.0) / scale } else { 0.0 };
    constraints.iter().map(|values| values.iter().zip(&scales).map(one).sum()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rules::pareto::non_dominated;

    /// By the definition: the front of the rest, again and again.
    fn slow(points: &[Vec<f64>]) -> Vec<Option<usize>> {
        let mut numbers = vec![None; points.len()];
        for number in 0.. {
            let left: Vec<usize> = (0..points.len()).filter(|i| numbers[*i].is_none()).collect();
            let front = non_dominated(&left.iter().map(|i| points[*i].clone()).collect::<Vec<_>>());
            if front.is_empty() {
                break;
            }
            front.into_iter().for_each(|k| numbers[left[k]] = Some(number));
        }
        numbers
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn fronts_are_what_the_definition_says(
            dimensions in 1..4_usize,
            points in prop::collection::vec(prop::collection::vec(-3..4_i32, 3), 0..40),
            unknown in prop::collection::vec(prop::bool::weighted(0.05), 40),
        ) {
            let value = |v: &i32, unknown: bool| match v {
                0 if unknown => -0.0,
                3 if unknown => f64::NAN,
                v => f64::from(*v),
            };
            let points: Vec<Vec<f64>> = points
                .iter()
                .zip(unknown)
                .map(|(p, unknown)| p.iter().take(dimensions).map(|v| value(v, unknown)).collect())
                .collect();
            prop_assert_eq!(fronts(&points), slow(&points));
        }

        #[test]
        fn a_net_is_every_point_once(points in prop::collection::vec(prop::collection::vec(-3..4_i32, 2), 0..30)) {
            let points: Vec<Vec<f64>> = points.iter().map(|p| p.iter().copied().map(f64::from).collect()).collect();
            let front: Vec<&[f64]> = points.iter().map(Vec::as_slice).collect();
            let mut net = epsilon_net(&front);
            net.sort_unstable();
            prop_assert_eq!(net, (0..points.len()).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_net_begins_at_an_end_and_goes_where_nobody_is() {
        let of = |points: &[[f64; 2]]| {
            let front: Vec<&[f64]> = points.iter().map(<[f64; 2]>::as_slice).collect();
            epsilon_net(&front)
        };
        // From one end to the other, then the middle, then the quarter with more room; the second objective is in other
        // units.
        assert_eq!(of(&[[2.0, 1e6], [0.0, 4e6], [4.0, 0.0], [0.5, 3e6], [3.5, 0.2e6]]), [1, 2, 0, 3, 4]);
        assert_eq!(of(&[[1.0, 1.0], [1.0, 1.0]]), [0, 1]);
        assert_eq!(of(&[[f64::MIN, 1.0], [f64::MAX, 0.0]]), [0, 1]);
        assert_eq!(of(&[]), [0_usize; 0]);
    }

    #[test]
    fn room_is_measured_between_neighbours() {
        let front: [&[f64]; 4] = [&[0.0, 4.0], &[1.0, 3.0], &[3.5, 0.5], &[4.0, 0.0]];
        let crowded = crowding(&front);
        // The ends have all the room; of the others the second has 3.5 / 4 twice, the third 3 / 4 twice.
        assert_eq!((crowded[0], crowded[3]), (0.0, 0.0));
        assert_eq!((crowded[1], crowded[2]), (0.999 / 2.75, 0.999 / 2.5));
        assert_eq!(crowding(&[]), [0.0; 0]);
    }

    #[test]
    fn what_exceeds_a_constraint_is_measured_by_its_own_scale() {
        let excess = excess(&[vec![300.0, -1.0], vec![-5.0, 0.25], vec![150.0, 0.5], vec![f64::NAN, 0.0]]);
        assert_eq!(excess, [1.0, 0.5, 1.5, 0.0]);
        assert_eq!(super::excess(&[vec![], vec![]]), [0.0, 0.0]);
    }
}
